"""A backfill of this folder's project: `backfill.py NUMBER EXECUTOR` runs so many days and prints the seconds."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flowpipe.project import Project


def main(number: int, executor: str) -> None:
    """Run them all, in the folder that is the project."""
    last = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(days=number - 1)
    started = time.perf_counter()
    result = Project.load(Path.cwd(), profile=executor).run(last=f"{last:%Y-%m-%d}")
    if result.error:
        raise result.error
    assert len(result.steps) == number, result.steps
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
