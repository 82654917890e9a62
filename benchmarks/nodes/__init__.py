"""What flowpipe adds to a node that does nothing, beside Hamilton's own engines, at 1,000 nodes in 100 layers."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import PYTHON, Command, Options, Row, alternately

ENGINES = ("hamilton", "hamilton-futures", "hamilton-threads", "sync", "threads")


def rows(options: Options) -> Iterator[Row]:
    """Microseconds a node, as each child measured them."""
    commands = {name: Command((PYTHON, "-m", "benchmarks.nodes.overhead", name), reports=True) for name in ENGINES}
    took = {name: sample.reported for name, sample in alternately(commands, options.runs).items()}
    yield Row("node, sync beside Hamilton", "us", took["sync"], took["hamilton"], 20, "value")
    yield Row("node, threads beside FutureAdapter", "us", took["threads"], took["hamilton-futures"], 80, "value")
    yield Row("node, threads beside task-based", "us", took["threads"], took["hamilton-threads"])
