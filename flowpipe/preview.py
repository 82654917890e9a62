"""Nodes computed for one slice and handed to whoever asks: nothing is staged, published, locked or recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from flowpipe import executors, memory
from flowpipe.audit import Audit
from flowpipe.blame import blamed
from flowpipe.bound import Read, read_slice
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration
from flowpipe.datasets import DatasetConfig
from flowpipe.dry_audit import DryAudit
from flowpipe.errors import ConfigError, FlowpipeError, UsageError, redact, unexpected, unknown
from flowpipe.executors import NodeEnd, NodeProgress, Site
from flowpipe.executors.scheduler import Scheduler
from flowpipe.frames import collected, kind_of, present, rows_of, to_lazy
from flowpipe.importer import Importer
from flowpipe.ledger import new_run_id
from flowpipe.partition import Slice
from flowpipe.picking import Pick
from flowpipe.reading import Reading
from flowpipe.stop import Stop

# So many windows back an input is looked for: a table asked window by window answers slowly.
_LATEST = 400


@dataclass(frozen=True)
class Shown:
    """A node's value, or its first rows.

    What is not in memory (a LazyFrame, a reader, a relation) has become a Polars DataFrame. `type` is what the node
    gave, `rows` how many rows it has in all, None where that is not known.
    """

    pipeline: str
    slice: Slice
    node: str
    type: str
    value: Any
    rows: int | None


@dataclass(frozen=True)
class Desk:
    """What the previews of one command share; `note` is called with what people should know of them."""

    configuration: Configuration
    catalog: Catalog
    scheduler: Scheduler
    scratch: Path
    run_time: datetime
    stop: Stop
    note: Callable[[str], None]


@contextmanager
def opened(
    configuration: Configuration, catalog: Catalog, code: Importer, now: datetime, note: Callable[[str], None]
) -> Iterator[Desk]:
    """A desk whose scratch lies outside of the project, where a run may be at work.

    Raises:
        ConfigError: the executor cannot be made.
        FlowpipeError: what went wrong in the block; Interrupted for a signal, whatever a library made of it.
    """
    stop = Stop()

    def hidden(text: str) -> None:
        note(redact(text, configuration.secrets))

    with TemporaryDirectory(prefix="flowpipe-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        spill = scratch if configuration.memory_budget is None else memory.own_spill()
        executor = executors.create(
            configuration.executor, configuration, Site(new_run_id(now), scratch / "executor", code)
        )
        try:
            with stop.listening(), memory.bounded(configuration.memory_budget, spill):
                yield Desk(configuration, catalog, Scheduler(executor), scratch, now, stop, hidden)
        except Exception as error:
            if isinstance(error, FlowpipeError) and not stop.interrupted:
                raise
            raise stop.interrupted or unexpected(error) from error
        finally:
            executor.close()
            catalog.close()


def preview(
    picks: Sequence[tuple[Pick, Sequence[Slice]]], overrides: Mapping[str, Any], head: int | None, desk: Desk
) -> list[Shown]:
    """The values of picked nodes for the latest of their slices whose inputs are there, in order.

    Raises:
        ConfigError: inputs are not there, or there is no node or input of an override's name.
        UsageError: a pipeline has no slice yet.
        NodeError: a node failed.
        DataError: an input cannot be read.
    """
    graphs = [pick.bound.graph for pick, _ in picks]
    known = {name for graph in graphs for name in (*graph.nodes, *graph.inputs)}
    if foreign := [name for name in overrides if name not in known]:
        raise ConfigError(unknown("node or input", name, known) for name in foreign)
    return [shown for pick, slices in picks for shown in _Preview(pick, slices, overrides, head, desk).values()]


@dataclass
class _Preview:
    pick: Pick
    slices: Sequence[Slice]
    overrides: Mapping[str, Any]
    head: int | None
    desk: Desk
    _spooled: dict[str, pl.LazyFrame] = field(default_factory=dict)

    def values(self) -> Iterator[Shown]:
        bound, graph = self.pick.bound, self.pick.bound.graph
        own = {name: self._as_annotated(name, value) for name, value in self.overrides.items() if self._has(name)}
        needed = graph.upstream(self.pick.names, given=own.keys())
        reading = self._held({name for name in bound.reads if name in needed and name not in own})
        frames = {
            name: self._read(read, reading)
            for name, read in reading.bound.reads.items()
            if read.dataset.name in reading.pins
        }
        inputs = {name: value for name, value in own.items() if name in graph.inputs}
        values = graph.compute(
            self.pick.names,
            {**bound.params, **bound.given(reading.slice, self.desk.run_time), **frames, **inputs},
            scheduler=self.desk.scheduler,
            settings=bound.settings,
            progress=self._progress,
            overrides={name: value for name, value in own.items() if name in graph.nodes},
            handed_on=self._receivers(needed),
            check_stop=self.desk.stop.check,
        )
        for name in self.pick.names:
            yield self._shown(name, values.pop(name), reading.slice)

    def _has(self, name: str) -> bool:
        graph = self.pick.bound.graph
        return name in graph.nodes or name in graph.inputs

    def _held(self, reads: AbstractSet[str]) -> Reading:
        """The reads that are needed, pinned for the latest slice that has them all."""
        bound, desk = self.pick.bound, self.desk
        narrow = replace(bound, reads={name: read for name, read in bound.reads.items() if name in reads})
        empty: Reading | None = None
        first: ConfigError | None = None
        for part in list(reversed(self.slices))[:_LATEST]:
            try:
                reading = Reading.hold(narrow, part, desk.catalog, desk.configuration)
            except ConfigError as missing:
                first = first or missing
                continue
            if len(self.slices) == 1:
                return reading
            if not self._has_empty_table(reading):
                desk.note(f"{bound.name}: partition {part}, the latest whose inputs are there; see --partition")
                return reading
            empty = empty or reading
        if empty:
            desk.note(f"{bound.name}: partition {empty.slice}, though no partition has rows in all its inputs")
            return empty
        hint = "name the one to compute: --partition"
        raise first or UsageError(f"pipeline {bound.name} has no closed window yet", hint=hint)

    def _has_empty_table(self, reading: Reading) -> bool:
        """Whether a table has no row of the slice: unlike a file, it is there before its rows are."""
        datasets = [read.dataset for read in reading.bound.reads.values()]
        return any(
            self.desk.catalog.adapter(dataset).is_empty(dataset, read_slice(dataset.config, reading.slice))
            for dataset in datasets
            if dataset.config.table and dataset.config.partition and dataset.name in reading.pins
        )

    def _read(self, read: Read, reading: Reading) -> Any:
        value = present(reading.frame(read, self.desk.scratch), read.kind, self.desk.scratch)
        if read.contract is not None:
            value = self._audit(f"input {read.dataset.name}", read.contract, read.dataset.config, value)
        return self._kept(read.parameter, value)

    def _receivers(self, needed: AbstractSet[str]) -> dict[str, Callable[[Any], Any]]:
        """What takes a node's value, and gives what its consumers get: of a written node, the audited rows."""
        written = {write.node: write for write in self.pick.bound.writes}

        def receive(name: str, value: Any) -> Any:
            if write := written.get(name):
                value = self._audit(f"node {name}", write.audit, write.dataset.config, value)
            return self._kept(name, value)

        nodes = self.pick.bound.graph.nodes
        return {name: partial(receive, name) for name in needed & nodes.keys() if name in {*written, *self.pick.names}}

    def _audit(self, what: str, audit: Audit, config: DatasetConfig, value: Any) -> Any:
        return DryAudit(what, audit, config, self.desk.scratch, self.desk.note).passed(value)

    def _kept(self, name: str, value: Any) -> Any:
        """A value that its consumers may use up without taking it from those who look at it."""
        if kind_of(type(value)) != "reader" or name not in self.pick.names:
            return value
        self._spooled[name] = to_lazy(value, self.desk.scratch)
        return present(self._spooled[name], "reader", self.desk.scratch)

    def _as_annotated(self, name: str, value: Any) -> Any:
        """A frame that is given for a node or an input, as the kind that its consumers ask for."""
        bound, given = self.pick.bound, kind_of(type(value))
        entry = bound.graph.nodes.get(name) or bound.graph.inputs[name]
        wanted = kind_of(entry.annotation)
        if given is None or wanted is None or given == wanted:
            return value
        return present(to_lazy(value, self.desk.scratch), wanted, self.desk.scratch)

    def _progress(self, event: NodeProgress) -> None:
        if isinstance(event, NodeEnd) and event.warning:
            self.desk.note(f"node {event.node}: {event.warning}")

    def _shown(self, name: str, value: Any, part: Slice) -> Shown:
        node = self.pick.bound.graph.nodes.get(name)
        type_name = _type_name(type(value))
        try:
            value, rows = _first(self._spooled.pop(name, value), self.head, self.desk.scratch)
        except FlowpipeError:
            raise
        except Exception as error:
            raise blamed("node" if node else "input", name, error, self.pick.bound.graph) from error
        return Shown(self.pick.bound.name, part, name, type_name, value, rows)


def _first(value: Any, head: int | None, scratch: Path) -> tuple[Any, int | None]:
    """The first rows of a frame, in memory, and how many there are in all; of a lazy one no more is computed."""
    kind, rows = kind_of(type(value)), rows_of(value)
    if kind in {"lazy", "reader", "relation"}:
        whole = value.limit(head) if kind == "relation" and head is not None else value
        frame = to_lazy(whole, scratch)
        found = collected(frame if head is None else frame.head(head))
        return found, found.height if head is None or found.height < head else None
    if rows is None or head is None or rows <= head:
        return value, rows
    return value.slice(0, head) if kind == "arrow" else value.head(head), rows


def _type_name(kind: type) -> str:
    """A frame's type as people write it, of other types the bare name.

    >>> _type_name(pl.LazyFrame), _type_name(int)
    ('polars.LazyFrame', 'int')
    """
    module = kind.__module__.partition(".")[0].lstrip("_")
    return f"{module}.{kind.__name__}" if kind_of(kind) else kind.__qualname__
