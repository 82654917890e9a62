"""What the small job costs from a cold start: one CSV of 336,776 flights in, 5,432 rows out as Parquet and DuckDB."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import DATA, FLOWPIPE, PYTHON, REPOSITORY, Command, Options, Row, alternately

HERE = Path(__file__).parent
FLIGHTS = DATA / "flights.csv"


def rows(options: Options) -> Iterator[Row]:
    """CPU seconds and peak memory beside the script that also imports Hamilton, as flowpipe must."""
    if not FLIGHTS.exists():
        subprocess.run([PYTHON, HERE / "make_csv.py", REPOSITORY / "data" / "landing" / "flights", FLIGHTS], check=True)
    project = HERE / "project"
    took = alternately(
        {
            "flowpipe": Command((*FLOWPIPE, "run"), project, [FLIGHTS]),
            "script": Command((PYTHON, str(HERE / "by_hand.py")), project, [FLIGHTS]),
        },
        options.runs,
    )
    yield Row("group-by job", "CPU s", took["flowpipe"].cpu, took["script"].cpu, 1.6)
    yield Row("group-by job, peak", "MiB", took["flowpipe"].peak, took["script"].peak)
