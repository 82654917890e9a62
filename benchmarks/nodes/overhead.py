"""One engine's overhead: `python -m benchmarks.nodes.overhead ENGINE` prints the microseconds a node takes."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.executors.engines import opened
from benchmarks.executors.graphs import layered

REPEATS = 7


def main(engine: str) -> None:
    """Build the graph once, execute it a few times, print the median."""
    graph = layered(100, 10)
    seconds = []
    with tempfile.TemporaryDirectory() as name, opened(engine, graph, Path(name)) as execute:
        for _ in range(REPEATS):
            started = time.perf_counter()
            execute()
            seconds.append(time.perf_counter() - started)
    print(1e6 * median(seconds) / graph.nodes)


if __name__ == "__main__":
    main(sys.argv[1])
