"""What three audited outputs of one TPC-H join cost, beside one hand-written `collect_all` and three separate sinks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import DATA, PYTHON, Command, Row, alternately

HERE = Path(__file__).parent
TABLES = [DATA / "tpch" / f"{name}.parquet" for name in ("lineitem", "orders")]


def rows(runs: int) -> Iterator[Row]:
    """Wall seconds of the job itself, libraries imported, and peak memory of the whole process."""
    if not all(table.exists() for table in TABLES):
        generator = Path(PYTHON).with_name("tpchgen-cli")
        folder = str(DATA / "tpch")
        args = ["parquet", "-s", "1", "--tables", "lineitem,orders", "--output-dir", folder]
        subprocess.run([generator, *args], check=True)
    took = alternately({name: _command(name) for name in ("by_flowpipe", "together", "apart")}, runs)
    flowpipe, together, apart = took.values()
    yield Row("TPC-H, beside one collect_all", "wall s", flowpipe.reported, together.reported, 1.1)
    yield Row("TPC-H, beside three sinks", "wall s", flowpipe.reported, apart.reported, 1.0)
    yield Row("TPC-H, peak beside one collect_all", "MiB", flowpipe.peak, together.peak, 1.2)


def _command(name: str) -> Command:
    by_hand = name != "by_flowpipe"
    module = "benchmarks.tpch.by_hand" if by_hand else "benchmarks.tpch.by_flowpipe"
    args = (PYTHON, "-m", module, *([name] if by_hand else []))
    return Command(args, HERE / "project", TABLES, reports=True)
