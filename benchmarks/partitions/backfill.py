"""A backfill of this folder's project: `backfill.py NUMBER` runs so many days and prints the seconds."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flowpipe.project import Project

if __name__ == "__main__":
    last = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(days=int(sys.argv[1]) - 1)
    started = time.perf_counter()
    result = Project.load(Path.cwd()).run(last=f"{last:%Y-%m-%d}")
    if result.error:
        raise result.error
    assert len(result.steps) == int(sys.argv[1]), result.steps
    print(time.perf_counter() - started)
