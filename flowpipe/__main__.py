"""`python -m flowpipe`: the command, where its script is not on the path."""

from flowpipe.cli import main

main()
