"""One pipeline of this folder's project by flowpipe: `by_flowpipe.py NAME` prints its seconds."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import hamilton.driver  # noqa: F401  (imported beforehand, as by_hand.py imports what it uses)
import pandera.backends.polars.builtin_checks  # (with Hypothesis, where that is installed)
import pandera.polars  # noqa: F401

from benchmarks.sinks.by_hand import LIBRARIES, emptied
from flowpipe.adapters import installed
from flowpipe.project import Project

if __name__ == "__main__":
    name = sys.argv[1]
    if name == "postgres":
        emptied()
    assert LIBRARIES
    for adapter in installed().values():
        adapter.load()
    started = time.perf_counter()
    result = Project.load(Path.cwd()).run(name)
    if result.error:
        raise result.error
    print(time.perf_counter() - started)
