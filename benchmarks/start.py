"""What a cold start may cost, beside importing the libraries that a command needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import FLOWPIPE, PYTHON, Command, Options, Row, alternately

COMMANDS = ("--help", "list", "runs")
ONE = Path(__file__).parent / "one"


def rows(options: Options) -> Iterator[Row]:
    """CPU seconds of commands that read no data, in the repository's own project; and of a project of one node."""
    commands = {name: Command((*FLOWPIPE, name)) for name in COMMANDS}
    commands["imports"] = Command((PYTHON, "-c", "import typer, yaml, pydantic, rich.console"))
    took = alternately(commands, options.runs)
    for name in COMMANDS:
        yield Row(f"flowpipe {name}", "CPU s", took[name].cpu, took["imports"].cpu, 1.5)
    one = {"run": Command((*FLOWPIPE, "run"), ONE), "by hand": Command((PYTHON, "by_hand.py"), ONE)}
    took = alternately(one, options.runs)
    yield Row("flowpipe run, one node", "CPU s", took["run"].cpu, took["by hand"].cpu, 1.25)
