"""Kills by the hundred: every mode of every store is killed inside and around its publishes, mended and compared."""
