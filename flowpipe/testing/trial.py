"""A project under test: rows go in, pipelines run, rows come out, and nothing of the user's is touched."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl

from flowpipe import checks, fingerprint, partition, rules
from flowpipe.adapters import Dataset, Missing, Publication, State
from flowpipe.catalog import REJECTED, Catalog
from flowpipe.errors import ConfigError, Interrupted, OutOfTime, Problem, UsageError, unknown
from flowpipe.frames import kind_of
from flowpipe.ledger import new_run_id
from flowpipe.modules import ProjectCode
from flowpipe.partition import KEY_FORMAT, WHOLE, Slice
from flowpipe.plan import Plan
from flowpipe.project import Project
from flowpipe.run import RunResult
from flowpipe.selection import Selection
from flowpipe.sinks import Sink, run_plans
from flowpipe.testing import stand_ins, tables

_GLOBS = str.maketrans({"*": "given", "?": "0", "[": "", "]": ""})


class TestProject:
    """One project whose stores, state and history lie in a temporary folder.

    `project` is the project itself (see `flowpipe.project.Project`), should a test need more of it.
    """

    __test__ = False  # pytest would take it for tests

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self._tmp = folder

    @classmethod
    def load(cls, root: Path, folder: Path, *, profile: str | None = None, sets: Sequence[str] = ()) -> TestProject:
        """The project in `root`, with all that it writes below `folder`.

        Raises:
            ConfigError: it cannot be read, or nothing can stand in for a store.
        """
        configuration = stand_ins.load(root, folder, profile=profile, sets=sets)
        return cls(Project(configuration, Catalog(configuration)), folder)

    def write(self, name: str, rows: Any, *, partition: str | None = None) -> None:
        """Put rows into a dataset, in the place of those that are there, or of those of the windows that they have.

        Args:
            name: a dataset of the catalog.
            rows: a table that is text, a list of mappings, a CSV or Parquet file's path, or any frame.
            partition: the window that the rows are of, such as `2024-01`; needed where no column tells it.

        Raises:
            ConfigError: there is no such dataset.
            UsageError: the rows are no table, or not of the window.

        """
        dataset = self._writable(name)
        with self._closing():
            for part, frame in _slices(dataset, tables.as_frame(rows, self.types(name)), partition):
                self._publish(dataset, part, frame)

    def run(self, *pipelines: str, partition: str | None = None, force: bool = False) -> RunResult:
        """Run pipelines, all if none is named, with audits and publishes as they are.

        Raises:
            FlowpipeError: what failed, such as DataError for rows that a schema rejects.
        """
        partitions = (partition,) if partition else ()
        with _stoppable():
            result = self.project.run(Selection(pipelines, partitions, force=force))
            if result.error:
                raise result.error
        return result

    def plan(self, *pipelines: str, partition: str | None = None) -> Plan:
        """What `run` would do, and why."""
        return self.project.plan(Selection(pipelines, (partition,) if partition else ()))

    def compute(
        self,
        nodes: str | Sequence[str],
        *,
        given: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        pipeline: str | None = None,
        partition: str | None = None,
    ) -> dict[str, Any]:
        """The values of nodes by name; nothing is published. What lies upstream of a given name is not computed.

        Args:
            nodes: one name, or several.
            given: values of inputs or nodes; where a frame is asked for, all that `write` takes.
            params: other values of params.
            pipeline: the one that has the nodes, where several do.
            partition: the window, such as `2024-01`.

        Raises:
            ConfigError: there is no such node or input, or one is needed that is not there.
            NodeError: a node failed.

        """
        wanted = [nodes] if isinstance(nodes, str) else list(nodes)
        overrides = {
            name: tables.as_frame(value, self.types(name)) if self._takes_frame(name) else value
            for name, value in (given or {}).items()
        }
        with _stoppable():
            return self.project.compute(
                wanted, pipeline=pipeline, partition=partition, overrides={**overrides, **(params or {})}
            )

    def read(self, name: str, *, partition: str | None = None) -> pl.DataFrame:
        """All rows of a dataset, or those of one window.

        Raises:
            ConfigError: there is no such dataset.
            UsageError: nothing was written to it.
        """
        dataset = self._dataset(name)
        part = _window(dataset, partition) if partition else WHOLE
        with self._closing():
            adapter = self.project.catalog.adapter(dataset)
            try:
                return adapter.read(dataset, part, adapter.pin(dataset, part), self._tmp / "spool").collect()
            except Missing as missing:
                text = f"dataset {name} is empty: there is no {missing.location}"
                raise UsageError(text, hint="run the pipeline that writes it, or `write` it") from None

    def rejected(self, name: str) -> pl.DataFrame:
        """The rows of a dataset that its audit has rejected, and the `checks` that each failed; all text as in JSON."""
        try:
            kept = self.read(f"{name}{REJECTED}")
        except UsageError:
            kept = pl.DataFrame(schema=checks.REJECTED_SCHEMA)
        rows = [{**json.loads(row), "checks": failed} for row, failed in kept.select("row", "checks").iter_rows()]
        return tables.dated(pl.DataFrame(rows, infer_schema_length=None)) if rows else pl.DataFrame({"checks": []})

    def types(self, name: str) -> Mapping[str, pl.DataType]:
        """The types of columns that the schema of a dataset declares; none if it has no schema, or is no dataset."""
        catalog = self.project.catalog
        reference = catalog.dataset(name).config.schema_ if name in catalog else None
        if reference is None:
            return {}
        declared = rules.load(ProjectCode(self.project.configuration.code).load_object(reference))
        return pl.Schema(
            {key: column.dtype.type for key, column in declared.columns.items() if column.dtype and not column.regex}
        )

    def folder(self, store: str) -> Path:
        """Where the temporary store of this name lies: for files that `write` cannot make.

        Raises:
            ConfigError: there is no such store.
        """
        if store not in self.project.catalog.stores:
            raise ConfigError([unknown("store", store, self.project.catalog.stores)])
        return self._tmp / "stores" / store

    def module(self, name: str) -> ModuleType:
        """A module of `pipelines/`, to call its functions by themselves."""
        return ProjectCode(self.project.configuration.code).load(name)

    def _takes_frame(self, name: str) -> bool:
        """Whether an input or a node of this name is a frame somewhere."""
        graphs = [bound.graph for bound in self.project.check().values()]
        entries = [graph.nodes.get(name) or graph.inputs.get(name) for graph in graphs]
        return any(entry and kind_of(entry.annotation) for entry in entries)

    def _dataset(self, name: str) -> Dataset:
        catalog = self.project.catalog
        if name.removesuffix(REJECTED) not in catalog:
            if problems := self.project.configuration.problems:
                raise ConfigError(problems)
            raise ConfigError([unknown("dataset", name, catalog.names)])
        return catalog.dataset(name)

    def _writable(self, name: str) -> Dataset:
        """A dataset that takes rows whole, whatever pipelines may do with it."""
        dataset = self._dataset(name)
        config = dataset.config
        changes: dict[str, Any] = {"mode": "overwrite", "after_publish": [], "swap": False, "schema_change": "replace"}
        if config.path:
            changes["path"] = config.path.replace("**/", "").translate(_GLOBS)
        found = dataclasses.replace(dataset, config=config.model_copy(update=changes))
        problems = [
            Problem(f"dataset {name}: {message}", self.project.configuration.where("catalog", name, *path), hint)
            for path, message, hint in self.project.catalog.adapter(dataset).check(found, written=True)
        ]
        if problems:
            raise ConfigError(problems)
        return found

    def _publish(self, dataset: Dataset, part: Slice, frame: pl.DataFrame) -> None:
        if part.kind == "window" and dataset.config.table:
            config = dataset.config.model_copy(update={"mode": "replace", "schema_change": "add"})
            dataset = dataclasses.replace(dataset, config=config)
        adapter, now = self.project.catalog.adapter(dataset), datetime.now(UTC)
        run = new_run_id(now)
        of_rows = fingerprint.of_value(frame) or run
        state = State(dataset.name, part.key, of_rows, {}, frame.height, run, now.isoformat(timespec="microseconds"))
        schema = adapter.storable(dataset, frame.schema)
        sink = Sink(schema, adapter.place(dataset, part, run, self._tmp / "scratch" / run, state))
        run_plans([sink.plan(frame.cast(pl.Schema(schema)).lazy())])
        adapter.publish(Publication(dataset, part, sink.staged(), state))

    @contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.project.catalog.close()


def _window(dataset: Dataset, text: str) -> Slice:
    """A window of a dataset.

    Raises:
        UsageError: it has none of this name.
    """
    grain = dataset.config.partition
    if grain is None:
        raise UsageError(f"dataset {dataset.name} has no windows", hint="leave out partition=, or write `partition:`")
    try:
        return partition.of_window(partition.parse(text, grain.every, grain.timezone))
    except ValueError as error:
        raise UsageError(f"dataset {dataset.name}: {error}", hint="name one window as partition=") from None


def _slices(dataset: Dataset, rows: pl.DataFrame, wanted: str | None) -> Iterator[tuple[Slice, pl.DataFrame]]:
    """What is published: the one slice that is asked for, or each window that rows have."""
    grain = dataset.config.partition
    if wanted:
        yield _window(dataset, wanted), rows
    elif grain is None or (rows.is_empty() and dataset.config.table):
        yield WHOLE, rows
    elif grain.column is None:
        raise UsageError(f"dataset {dataset.name} is kept window by window", hint="say which: partition=...")
    else:
        dtype = rows.schema.get(grain.column, pl.Null())
        if not isinstance(dtype, (pl.Date, pl.Datetime)) or rows[grain.column].null_count():
            text = f"dataset {dataset.name}: the column {grain.column}, which tells the window, is {dtype}"
            raise UsageError(f"{text} or has NULL", hint="give each row a date: 2024-01-31")
        day = pl.col(grain.column)
        if isinstance(dtype, pl.Datetime) and dtype.time_zone:
            day = day.dt.convert_time_zone(grain.timezone)
        for (key,), part in rows.group_by(day.dt.strftime(KEY_FORMAT[grain.every]), maintain_order=True):
            yield _window(dataset, str(key)), part


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C ends the tests, not only the run that saw it."""
    try:
        yield
    except Interrupted as error:
        if isinstance(error, OutOfTime):
            raise
        raise KeyboardInterrupt from error
