"""The job by flowpipe in this folder's project; prints its seconds."""

from __future__ import annotations

import time
from pathlib import Path

import hamilton.driver  # noqa: F401  (imported beforehand, as by_hand.py imports Polars)
import pandera.backends.polars.builtin_checks  # (with Hypothesis, where that is installed)
import pandera.polars  # noqa: F401

from flowpipe.project import Project

if __name__ == "__main__":
    started = time.perf_counter()
    result = Project.load(Path.cwd()).run()
    if result.error:
        raise result.error
    print(time.perf_counter() - started)
