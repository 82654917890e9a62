"""What tests of pipelines and adapters need: real servers on this machine, and the suite every adapter must pass."""
