"""Projects of a few modules, written and loaded by tests of code and graphs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowpipe import pipeline
from flowpipe.config import PipelineConfig, RetryConfig
from flowpipe.errors import Where
from flowpipe.executors import Site
from flowpipe.executors.local import Sync, SyncOptions
from flowpipe.executors.retry import Policy
from flowpipe.executors.scheduler import Scheduler
from flowpipe.executors.task import Settings
from flowpipe.importer import Importer
from flowpipe.modules import ProjectCode
from flowpipe.pipeline import Pipeline

SITE = Site("run", Path("scratch"), Importer("_flowpipe_none", {}))


def once(graph: Pipeline) -> dict[str, Settings]:
    """How nodes are run where it does not matter."""
    return dict.fromkeys(graph.nodes, Settings(Policy(RetryConfig())))


def project(root: Path, **files: str) -> ProjectCode:
    """A project whose `pipelines/` holds these files; `sub__mod` is `sub/mod.py`."""
    for name, text in files.items():
        path = root / "pipelines" / f"{name.replace('__', '/', 1) if not name.startswith('__') else name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
    return ProjectCode(root / "pipelines")


def graph_of(root: Path, config: Mapping[str, Any] | None = None, **files: str) -> Pipeline:
    """The graph of all modules of a project but those whose names begin with `lib`."""
    names = [name for name in files if not name.startswith("lib")]
    settings = PipelineConfig(modules=names, writes={}, config=dict(config or {}))
    return pipeline.load("job", project(root, **files), settings, locate)


def locate(*path: str | int) -> Where:
    """A place of the pipeline's YAML, with the path of keys for a line."""
    return Where("conf/pipelines/job.yml:" + ".".join(map(str, path)))


def compute(graph: Pipeline, *wanted: str, **inputs: Any) -> dict[str, Any]:
    """Values of a graph's nodes."""
    scheduler = Scheduler(Sync(SyncOptions(), SITE))
    return graph.compute(wanted, inputs, scheduler=scheduler, settings=once(graph), progress=lambda _: None)
