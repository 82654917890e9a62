"""What a cold start may cost: the commands that read no data, beside importing the libraries of a command line."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import FLOWPIPE, PYTHON, Command, Options, Row, alternately

COMMANDS = ("--help", "list", "runs")


def rows(options: Options) -> Iterator[Row]:
    """CPU seconds of each command, in the repository's own project."""
    commands = {name: Command((*FLOWPIPE, name)) for name in COMMANDS}
    commands["imports"] = Command((PYTHON, "-c", "import typer, yaml, pydantic, rich.console"))
    took = alternately(commands, options.runs)
    for name in COMMANDS:
        yield Row(f"flowpipe {name}", "CPU s", took[name].cpu, took["imports"].cpu, 1.5)
