"""A pipeline bound to its catalog: what it reads, what it writes, which slices it has; data alone, to be planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flowpipe import partition
from flowpipe.adapters import Dataset
from flowpipe.audit import Audit
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import Problem
from flowpipe.executors import ONE_CPU
from flowpipe.executors.task import Settings
from flowpipe.fields import duration
from flowpipe.frames import Kind
from flowpipe.hooks import Hook
from flowpipe.partition import WHOLE, Slice, Window
from flowpipe.pipeline import Pipeline
from flowpipe.pipelinefile import PipelineConfig

GIVEN = ("partition", "run_time")


@dataclass(frozen=True)
class Read:
    """A parameter that a dataset feeds; `contract` audits its rows when no pipeline of the project writes it."""

    parameter: str
    dataset: Dataset
    kind: Kind
    trigger: bool = True
    watermark: str | None = None
    contract: Audit | None = None
    schema_code: str | None = None


@dataclass(frozen=True)
class Write:
    """A node whose frame is published as a dataset."""

    node: str
    dataset: Dataset
    kind: Kind
    audit: Audit
    schema_code: str | None = None


@dataclass(frozen=True)
class Bound:
    """One pipeline, ready to be planned and run; the `shown_` values have `***` in the place of secrets.

    `settings` are of every node; `notes` are what its user should know, though nothing is wrong.
    """

    name: str
    config: PipelineConfig
    graph: Pipeline
    params: Mapping[str, Any]
    shown_params: Mapping[str, Any]
    shown_config: Mapping[str, Any]
    reads: Mapping[str, Read]
    writes: tuple[Write, ...]
    code: Mapping[str, str]
    settings: Mapping[str, Settings]
    notes: tuple[Problem, ...] = ()
    checkpoints: frozenset[str] = frozenset()
    hooks: tuple[Hook, ...] = ()

    def __repr__(self) -> str:
        written = ", ".join(write.dataset.name for write in self.writes)
        return f"<pipeline {self.name}: {', '.join(self.reads) or 'no dataset'} -> {written}>"

    @property
    def timeout(self) -> float | None:
        """How many seconds a step may take."""
        return None if self.config.timeout is None else duration(self.config.timeout).total_seconds()

    @property
    def needs_the_driver(self) -> bool:
        """Whether its nodes are each given to the executor: something is to be done for one of them alone."""
        settings = self.settings.values()
        return bool(self.hooks) or any(each.timeout is not None or each.takes != ONE_CPU for each in settings)

    @property
    def increment(self) -> Read | None:
        """The read of which only the rows above its watermark are loaded."""
        return next((read for read in self.reads.values() if read.watermark), None)

    def slices(self, now: datetime) -> tuple[Slice, ...]:
        """Every slice the pipeline has at `now`, in order: its closed windows, or the whole."""
        windows = self.config.partitions
        if windows is None:
            return (WHOLE,)
        first = partition.parse(windows.start, windows.every, windows.timezone)
        last = (
            partition.parse(windows.end, windows.every, windows.timezone)
            if windows.end is not None
            else partition.last_closed(now, windows.every, windows.timezone)
        )
        return tuple(partition.of_window(window) for window in partition.between(first, last))

    def given(self, part: Slice, run_time: datetime) -> dict[str, Any]:
        """Values for the parameters `partition` and `run_time`, as their annotations ask."""
        values: dict[str, Any] = {}
        for name in GIVEN:
            entry = self.graph.inputs.get(name)
            if entry is not None and not (entry.optional and part.window is None):
                values[name] = _as_annotated(part if name == "partition" else run_time, entry.annotation)
        return values

    def free_values(self, write: Write) -> frozenset[str]:
        """Nodes under a write that depend on no dataset and feed nodes that do, or are written themselves."""
        return self.free_above(write.node)

    def free_above(self, node: str) -> frozenset[str]:
        """Nodes at or above a node that depend on no dataset and feed nodes that do, or are the node itself."""
        above = self.graph.upstream([node])
        free = {name for name in above & self.graph.nodes.keys() if not self._reads_under(name)}
        return frozenset(
            name
            for name in free
            if name == node or any(user in above and user not in free for user in self.graph.consumers(name))
        )

    def datasets_under(self, write: Write) -> tuple[Read, ...]:
        """The reads a write depends on, in the order of their names."""
        return self.reads_above(write.node)

    def reads_above(self, node: str) -> tuple[Read, ...]:
        """The reads a node depends on, in the order of their names."""
        return tuple(self.reads[name] for name in sorted(self._reads_under(node)))

    def _reads_under(self, node: str) -> frozenset[str]:
        return self.graph.upstream([node]) & self.reads.keys()


def read_slice(dataset: DatasetConfig, part: Slice) -> Slice:
    """The slice of a dataset that a step reads: its window where the dataset has windows, else all of it."""
    return part if part.window is not None and dataset.partition is not None else WHOLE


def _as_annotated(value: Slice | datetime, annotation: Any) -> Any:
    moment = value.window.start if isinstance(value, Slice) and value.window else value
    if annotation is Window and isinstance(value, Slice):
        return value.window
    if annotation is str:
        return str(value) if isinstance(value, Slice) else value.isoformat()
    if annotation is date and isinstance(moment, datetime):
        return moment.date()
    return moment
