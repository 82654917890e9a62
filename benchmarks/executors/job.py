"""One measurement of one engine: `python -m benchmarks.executors.job JOB ENGINE` prints its number."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.executors.engines import opened
from benchmarks.executors.graphs import MB, Graph, diamond, frames, layered, shared_frame, waiting, wide

REPEATS = 3
Measure = Callable[[Callable[[], object], Graph], float]


@dataclass(frozen=True)
class Job:
    """A graph, and what is measured of its execution; `is_warm`: it is executed once before."""

    graph: Graph
    measure: Measure
    slots: int | None = None
    is_warm: bool = True


def seconds(execute: Callable[[], object], graph: Graph) -> float:
    del graph
    return median(_seconds(execute) for _ in range(REPEATS))


def microseconds_a_node(execute: Callable[[], object], graph: Graph) -> float:
    return 1e6 * seconds(execute, graph) / graph.nodes


def busy(execute: Callable[[], object], graph: Graph) -> float:
    """What the driver's process takes of a CPU while nodes run, in percent."""
    del graph
    before = time.process_time()
    wall = _seconds(execute)
    return 100 * (time.process_time() - before) / wall


def peak(execute: Callable[[], object], graph: Graph) -> float:
    """The most memory that the driver's process had, in MB."""
    del graph
    execute()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def _seconds(execute: Callable[[], object]) -> float:
    started = time.perf_counter()
    execute()
    return time.perf_counter() - started


SLEEP, MIDDLE = 0.5, 4
JOBS = {
    "diamond": Job(diamond(MIDDLE, SLEEP), seconds, MIDDLE),
    "layered": Job(layered(100, 10), microseconds_a_node),
    "wide": Job(wide(1_000), microseconds_a_node),
    "small": Job(layered(20, 10), microseconds_a_node),
    "waiting": Job(waiting(3), busy),
    "shared": Job(shared_frame(200 * MB), seconds),
    "one-frame": Job(frames(1, 200 * MB), peak, is_warm=False),
    "frames": Job(frames(50, 200 * MB), peak, is_warm=False),
}


def main(job: Job, engine: str) -> None:
    """Start the engine, execute once to see whether it is right, measure."""
    graph = job.graph
    with tempfile.TemporaryDirectory() as name, opened(engine, graph, Path(name), job.slots) as execute:
        if job.is_warm:
            assert (found := execute()[graph.wanted[0]]) == graph.expected, found
        took = job.measure(execute, graph)
    print(took)


if __name__ == "__main__":
    main(JOBS[sys.argv[1]], sys.argv[2])
