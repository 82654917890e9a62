"""What three audited outputs of one TPC-H join cost, beside one hand-written `collect_all` and three separate sinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import PYTHON, Command, Options, Row, alternately
from benchmarks.tables import tpch_tables

HERE = Path(__file__).parent


def rows(options: Options) -> Iterator[Row]:
    """Wall seconds of the job itself, libraries imported, and peak memory of the whole process."""
    tables = tpch_tables(1, "lineitem", "orders")
    took = alternately({name: _command(name, tables) for name in ("by_flowpipe", "together", "apart")}, options.runs)
    flowpipe, together, apart = took.values()
    yield Row("TPC-H, beside one collect_all", "wall s", flowpipe.reported, together.reported, 1.1)
    yield Row("TPC-H, beside three sinks", "wall s", flowpipe.reported, apart.reported, 1.0)
    yield Row("TPC-H, peak beside one collect_all", "MiB", flowpipe.peak, together.peak, 1.2)


def _command(name: str, tables: Sequence[Path]) -> Command:
    by_hand = name != "by_flowpipe"
    module = "benchmarks.tpch.by_hand" if by_hand else "benchmarks.tpch.by_flowpipe"
    args = (PYTHON, "-m", module, *([name] if by_hand else []))
    return Command(args, HERE / "project", tables, reports=True)
