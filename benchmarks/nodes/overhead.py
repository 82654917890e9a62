"""One engine's overhead: `python -m benchmarks.nodes.overhead ENGINE` prints the microseconds a node takes."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

LAYERS, WIDTH, REPEATS = 100, 10, 7
LAST = [f"n{LAYERS - 1}_{place}" for place in range(WIDTH)]


def source() -> str:
    """A module of `LAYERS * WIDTH` functions that add, each fed by two of the layer before."""
    lines = [f"def n0_{place}(start: int) -> int:\n    return start\n" for place in range(WIDTH)]
    for layer in range(1, LAYERS):
        for place in range(WIDTH):
            left, right = f"n{layer - 1}_{place}", f"n{layer - 1}_{(place + 1) % WIDTH}"
            lines.append(f"def n{layer}_{place}({left}: int, {right}: int) -> int:\n    return {left} + {right}\n")
    return "\n".join(lines)


def by_hamilton(folder: Path, engine: str) -> Callable[[], Any]:
    """One execution by an engine of Hamilton's."""
    import importlib

    from hamilton import driver
    from hamilton.execution.executors import MultiThreadingExecutor
    from hamilton.plugins.h_threadpool import FutureAdapter

    sys.path.insert(0, str(folder))
    builder = driver.Builder().with_modules(importlib.import_module("layers"))
    if engine == "hamilton-futures":
        builder = builder.with_adapters(FutureAdapter(max_workers=4))
    elif engine == "hamilton-tasks":
        builder = builder.enable_dynamic_execution(allow_experimental_mode=True)
        builder = builder.with_remote_executor(MultiThreadingExecutor(max_tasks=4))
    return partial(builder.build().execute, LAST, inputs={"start": 1})


def by_flowpipe(folder: Path, engine: str) -> Callable[[], Any]:
    """One execution by an executor of flowpipe's."""
    from flowpipe import pipeline
    from flowpipe.config import PipelineConfig, RetryConfig
    from flowpipe.executors import Site
    from flowpipe.executors.local import Sync, SyncOptions, Threads, ThreadsOptions
    from flowpipe.executors.retry import Policy
    from flowpipe.executors.scheduler import Scheduler
    from flowpipe.executors.task import Settings
    from flowpipe.modules import ProjectCode

    settings = PipelineConfig(modules=["layers"], writes={name: name for name in LAST})
    code = ProjectCode(folder)
    graph = pipeline.load("layers", code, settings)
    site = Site("run", folder, code.importer)
    executor = Sync(SyncOptions(), site) if engine == "sync" else Threads(ThreadsOptions(workers=4), site)
    once = Settings(Policy(RetryConfig()))
    return partial(
        graph.compute,
        LAST,
        {"start": 1},
        scheduler=Scheduler(executor),
        settings=dict.fromkeys(graph.nodes, once),
        progress=lambda _: None,
    )


def main(engine: str) -> None:
    """Build the graph once, execute it a few times, print the median."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "layers.py").write_text(source(), encoding="utf-8")
        execute = (by_hamilton if engine.startswith("hamilton") else by_flowpipe)(folder, engine)
        seconds = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            execute()
            seconds.append(time.perf_counter() - started)
    print(1e6 * median(seconds) / (LAYERS * WIDTH))


if __name__ == "__main__":
    main(sys.argv[1])
