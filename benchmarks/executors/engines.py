"""How each engine executes a graph: `opened` gives one call for flowpipe's, Hamilton's and FlowerPower's executors."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.executors.graphs import Graph

MODULE = "flow"
Execute = Callable[[], Mapping[str, Any]]
OPTIONS: dict[str, dict[str, int]] = {
    "sync": {},
    "threads": {"workers": 4},
    "processes": {"workers": 2},
    "dask": {"workers": 2},
    "ray": {"workers": 2},
}


@contextmanager
def opened(engine: str, graph: Graph, folder: Path, slots: int | None = None) -> Iterator[Execute]:
    """An engine that has started, where it can be started beforehand; what it gives executes the graph.

    Args:
        engine: such as `threads`, `hamilton-threads`, `flowerpower-threadpool`.
        graph: what it executes.
        folder: an empty one.
        slots: nodes that run at once, where the engine's number is not right.
    """
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / f"{MODULE}.py").write_text(graph.source, encoding="utf-8")
    library, _, kind = engine.partition("-")
    if library == "hamilton":
        opening = _hamilton(kind, graph, folder, slots or 4)
    elif library == "flowerpower":
        opening = _flowerpower(kind, graph, folder, slots or 4)
    else:
        opening = _flowpipe(engine, graph, folder, slots)
    with opening as execute:
        yield execute


@contextmanager
def _flowpipe(name: str, graph: Graph, folder: Path, slots: int | None) -> Iterator[Execute]:
    from flowpipe import pipeline
    from flowpipe.config import PipelineConfig
    from flowpipe.executors import Site, installed
    from flowpipe.executors.retry import Policy
    from flowpipe.executors.scheduler import Scheduler
    from flowpipe.executors.task import Settings
    from flowpipe.modules import ProjectCode
    from flowpipe.running import RetryConfig

    code = ProjectCode(folder / "pipelines")
    settings = PipelineConfig(modules=[MODULE], writes={name: name for name in graph.wanted})
    made = pipeline.load(MODULE, code, settings)
    once = Settings(Policy(RetryConfig()))
    kind = installed()[name].load()
    options = OPTIONS[name] if slots is None or name == "sync" else {"workers": slots}
    with closing(kind(kind.Options(**options), Site("bench", folder / "scratch", code.importer))) as executor:
        yield partial(
            made.compute,
            graph.wanted,
            graph.inputs,
            scheduler=Scheduler(executor),
            settings=dict.fromkeys(made.nodes, once),
            progress=lambda _: None,
        )


@contextmanager
def _hamilton(kind: str, graph: Graph, folder: Path, slots: int) -> Iterator[Execute]:
    from hamilton import driver
    from hamilton.plugins.h_threadpool import FutureAdapter

    sys.path.insert(0, str(folder / "pipelines"))
    builder = driver.Builder().with_modules(importlib.import_module(MODULE))
    if kind == "futures":
        builder = builder.with_adapters(FutureAdapter(max_workers=slots))
    if kind in {"", "futures"}:
        yield partial(builder.build().execute, list(graph.wanted), inputs=graph.inputs)
        return
    with _task_executor(kind, folder / "pipelines", slots) as executor:
        builder = builder.enable_dynamic_execution(allow_experimental_mode=True)
        built = builder.with_execution_manager(_everywhere(executor)).build()
        yield partial(built.execute, list(graph.wanted), inputs=graph.inputs)


def _everywhere(executor: Any) -> Any:
    """As it is configured by hand, Hamilton gives an executor only what is within a fan-out: all would be sync."""
    from hamilton.execution.executors import ExecutionManager

    class Everywhere(ExecutionManager):  # type: ignore[misc]  # Hamilton's classes are untyped
        def get_executor_for_task(self, task: Any) -> Any:
            del task
            return executor

    return Everywhere([executor])


@contextmanager
def _task_executor(kind: str, code: Path, slots: int) -> Iterator[Any]:
    """An executor of Hamilton's; those of a cluster find it running."""
    from hamilton.execution import executors

    if kind == "dask":
        from distributed import Client, LocalCluster
        from hamilton.plugins.h_dask import DaskExecutor

        cluster = LocalCluster(n_workers=slots, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            client.run(sys.path.insert, 0, str(code))
            yield DaskExecutor(client=client)
    elif kind == "ray":
        import ray
        from hamilton.plugins.h_ray import RayTaskExecutor

        path = {"env_vars": {"PYTHONPATH": str(code)}}
        with ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, runtime_env=path):
            yield RayTaskExecutor(skip_init=True)
    elif kind == "processes":
        yield executors.MultiProcessingExecutor(max_tasks=slots)
    else:
        yield executors.MultiThreadingExecutor(max_tasks=slots)


@contextmanager
def _flowerpower(kind: str, graph: Graph, folder: Path, slots: int) -> Iterator[Execute]:
    """As its own documentation has it: a project, and the executor by its name."""
    from flowerpower import FlowerPowerProject

    for name, text in (("project", "name: bench\n"), (f"pipelines/{MODULE}", f"run: {{executor: {{type: {kind}}}}}\n")):
        path = folder / "conf" / f"{name}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    project = FlowerPowerProject.load(str(folder), log_level="ERROR")
    yield partial(
        project.run,
        MODULE,
        inputs=dict(graph.inputs),
        final_vars=list(graph.wanted),
        executor_cfg={"type": kind, "max_workers": slots, "num_cpus": slots},
        max_retries=0,
    )
