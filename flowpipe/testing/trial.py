"""A project under test: rows go in, pipelines run, rows come out, and nothing of the user's is touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import polars as pl

from flowpipe import checks, rules
from flowpipe.adapters import Dataset
from flowpipe.catalog import REJECTED, Catalog
from flowpipe.errors import ConfigError, FlowpipeError, Interrupted, NodeError, OutOfTime, Problem, UsageError, unknown
from flowpipe.frames import kind_of
from flowpipe.modules import ProjectCode
from flowpipe.plan import Plan
from flowpipe.project import Project
from flowpipe.run import RunResult
from flowpipe.testing import stand_ins, tables, writing

_T = TypeVar("_T")


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
        __tracebackhide__ = True
        _plainly(lambda: self._write(name, rows, partition))

    def run(self, *pipelines: str, partition: str | None = None, force: bool = False) -> RunResult:
        """Run pipelines, all if none is named, with audits and publishes as they are.

        Raises:
            FlowpipeError: what failed, such as DataError for rows that a schema rejects.
        """
        __tracebackhide__ = True
        partitions = (partition,) if partition else ()
        return _plainly(lambda: self.project.run(*pipelines, partitions=partitions, force=force).check())

    def plan(self, *pipelines: str, partition: str | None = None) -> Plan:
        """What `run` would do, and why."""
        __tracebackhide__ = True
        partitions = (partition,) if partition else ()
        return _plainly(lambda: self.project.plan(*pipelines, partitions=partitions))

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
        __tracebackhide__ = True
        wanted = [nodes] if isinstance(nodes, str) else list(nodes)

        def computed() -> dict[str, Any]:
            overrides = {**self._frames(given or {}), **(params or {})}
            return self.project.compute(wanted, pipeline=pipeline, partition=partition, overrides=overrides)

        return _plainly(computed)

    def read(self, name: str, *, partition: str | None = None) -> pl.DataFrame:
        """All rows of a dataset, or those of one window.

        Raises:
            ConfigError: there is no such dataset.
            UsageError: nothing was written to it.
        """
        __tracebackhide__ = True
        return _plainly(lambda: self._read(name, partition))

    def rejected(self, name: str) -> pl.DataFrame:
        """The rows of a dataset that its audit has rejected, and the `checks` that each failed; all text as in JSON."""
        try:
            kept = self.read(f"{name}{REJECTED}")
        except UsageError:
            kept = pl.DataFrame(schema=checks.REJECTED_SCHEMA)
        rows = [{**json.loads(row), "checks": failed} for row, failed in kept.select("row", "checks").iter_rows()]
        return tables.dated(pl.DataFrame(rows, infer_schema_length=None), {}) if rows else pl.DataFrame({"checks": []})

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

    def _write(self, name: str, rows: Any, wanted: str | None) -> None:
        dataset = self._dataset(name)
        with self._closing():
            frame = tables.as_frame(rows, self.types(name))
            writing.write(self.project, dataset, frame, wanted, self._tmp / "scratch")

    def _read(self, name: str, wanted: str | None) -> pl.DataFrame:
        dataset = self._dataset(name)
        if wanted and not name.endswith(REJECTED):
            writing.window_of(dataset, wanted)
        try:
            return self.project.read(name, partition=wanted)
        except UsageError as error:  # names are known by now: there is nothing yet
            hint = "run the pipeline that writes it, or `write` it"
            raise UsageError.of(replace(each, where=None, hint=hint) for each in error.problems) from None

    def _frames(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: tables.as_frame(value, self.types(name)) if self._takes_frame(name) else value
            for name, value in given.items()
        }

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

    @contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.project.catalog.close()


def _plainly(work: Callable[[], _T]) -> _T:
    """What `work` gives; its errors without flowpipe's own frames, which tell a test's reader nothing.

    Raises:
        FlowpipeError: what `work` raised.
        KeyboardInterrupt: somebody stopped it; that ends the tests, not only the run that saw it.
    """
    __tracebackhide__ = True
    try:
        return work()
    except FlowpipeError as error:
        told = error
    if isinstance(told, Interrupted) and not isinstance(told, OutOfTime):
        raise KeyboardInterrupt from told
    if isinstance(told, NodeError):
        _keep_own_frames(told)
    raise told.with_traceback(None)


def _keep_own_frames(error: NodeError) -> None:
    """Let the cause of a node's failure begin in the project's own code; where that is not known, its words do."""
    frame = error.__cause__.__traceback__ if error.__cause__ else None
    while frame and Path(frame.tb_frame.f_code.co_filename).as_posix().find("/pipelines/") < 0:
        frame = frame.tb_next
    if error.__cause__ and frame:
        error.__cause__ = error.__cause__.with_traceback(frame)
    else:
        error.__cause__ = None
    error.problems = tuple(replace(each, hint=None) if _is_of_command(each) else each for each in error.problems)
    error.args = ("\n".join(str(each) for each in error.problems),)


def _is_of_command(problem: Problem) -> bool:
    """Whether its hint is for those who run the command."""
    return "--debug" in (problem.hint or "")
