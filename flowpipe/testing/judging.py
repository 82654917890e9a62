"""One YAML test, run in a project of its own: what is wrong with the test, and whether it gets what it expects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe import errors
from flowpipe.bound import Bound
from flowpipe.config import coerce
from flowpipe.errors import ConfigError, FlowpipeError, Problem, UsageError, Where, unknown
from flowpipe.frames import kind_of
from flowpipe.testing import tables
from flowpipe.testing.cases import Cases
from flowpipe.testing.comparing import difference
from flowpipe.testing.trial import TestProject

_NODE = "node, input or dataset"


class Failed(AssertionError):
    """Something else came out than a test expects; `where` is what it expects."""

    def __init__(self, told: str, where: Where | None) -> None:
        super().__init__(told)
        self.where = where


@dataclass
class Judge:
    """One test of a file, of the project in `root`, whose stores lie below `folder`."""

    cases: Cases
    number: int
    root: Path
    folder: Path
    profile: str | None
    sets: tuple[str, ...]
    _problems: list[Problem] = field(default_factory=list)

    def run(self) -> None:
        """Run it.

        Raises:
            Failed: it does not get what it expects.
            ConfigError: something is wrong with the test, or with the project.
            FlowpipeError: it fails, and expects no error.
        """
        case, project = self._case, self._loaded()
        wanted = case.expect_error
        try:
            if case.node:
                found = self._computed(project, case.node)
            else:
                self._published(project, str(case.dataset))
        except FlowpipeError as error:
            if wanted is None or self._problems:
                raise
            if not isinstance(error, getattr(errors, wanted.type)) or wanted.message not in str(error):
                told = f"another error than is expected ({wanted.type}: {wanted.message!r}):\n{error}"
                raise Failed(told, self._where("expect_error")) from None
            return
        if wanted:
            raise Failed("no error, though one is expected", self._where("expect_error"))
        if case.node:
            self._compare(f"node {case.node}", found, "expect")
        else:
            self._look(project, str(case.dataset))

    @property
    def _case(self) -> Any:
        return self.cases.config.tests[self.number]

    def _where(self, *path: str | int) -> Where | None:
        return self.cases.where(self.number, *path)

    def _loaded(self) -> TestProject:
        """The project with the test's params, checked.

        Raises:
            ConfigError: what is wrong with it; a param has its place in the test.
        """
        flags = {name: f"params.{name}={_yaml(value)}" for name, value in self._case.params.items()}
        profile = self.cases.config.profile or self.profile
        try:
            project = TestProject.load(self.root, self.folder, profile=profile, sets=(*self.sets, *flags.values()))
            project.project.check()
        except ConfigError as error:
            places = {f"--set {flag}": self._where("params", name) for name, flag in flags.items()}
            raise ConfigError(
                replace(each, where=places.get(each.where.file, each.where)) if each.where else each
                for each in error.problems
            ) from None
        return project

    def _computed(self, project: TestProject, node: str) -> Any:
        bound = self._owner(project, "node", node, lambda each: each.graph.nodes)
        given = dict(self._given_to(project, bound))
        needed = bound.graph.upstream([node], given=given.keys())
        self._missing(read for name, read in bound.reads.items() if name in needed and name not in given)
        self._refuse()
        found = project.compute(node, given=given, pipeline=bound.name, partition=self._case.partition)
        return found[node]

    def _published(self, project: TestProject, name: str) -> None:
        bound = self._owner(project, "dataset", name, lambda each: [write.dataset.name for write in each.writes])
        known = {read.dataset.name for read in bound.reads.values()} | {write.dataset.name for write in bound.writes}
        rows: dict[str, pl.DataFrame] = {}
        for given, value in self._case.given.items():
            if given in known:
                rows[given] = self._rows(value, project.types(given), "given", given)
            else:
                self._wrong(unknown(f"dataset of pipeline {bound.name}:", given, known), "given", given)
        self._missing(read for read in bound.reads.values() if read.dataset.name not in rows)
        if bound.config.partitions and not self._case.partition:
            hint = f"write partition: {bound.config.partitions.start}"
            self._problems.append(Problem(f"pipeline {bound.name} runs window by window", self._where(), hint))
        self._refuse()
        for given, frame in rows.items():
            try:
                project.write(given, frame, partition=self._window(project, given, frame))
            except UsageError as error:
                raise ConfigError(replace(each, where=self._where("given", given)) for each in error.problems) from None
        project.run(bound.name, partition=self._case.partition)

    def _look(self, project: TestProject, name: str) -> None:
        """Compare what was published, and what was rejected."""
        if self._case.expect is not None:
            self._compare(f"dataset {name}", project.read(name), "expect")
        if self._case.rejected is not None:
            self._compare(f"rejected rows of {name}", project.rejected(name), "rejected")

    def _window(self, project: TestProject, name: str, frame: pl.DataFrame) -> str | None:
        """The window that given rows are of, where no column tells it."""
        grain = project.project.catalog.dataset(name).config.partition
        is_told = grain is None or (grain.column is not None and not frame.is_empty())
        return None if is_told else self._case.partition

    def _owner(self, project: TestProject, kind: str, name: str, names: Any) -> Bound:
        """The pipeline that has the node, or writes the dataset.

        Raises:
            ConfigError: there is none, or several.
        """
        bounds, asked = project.project.check(), self.cases.pipeline(self.number)
        if asked is not None and asked not in bounds:
            own = self.cases.where(self.number, "pipeline") if self._case.pipeline else None
            where = own or self.cases.document.where(("pipeline",))
            raise ConfigError([unknown("pipeline", asked, bounds, where)])
        chosen = [bounds[asked]] if asked else list(bounds.values())
        owners = [bound for bound in chosen if name in names(bound)]
        if not owners:
            known = {each for bound in chosen for each in names(bound)}
            said = f"{kind} of pipeline {asked}:" if asked else kind
            raise ConfigError([unknown(said, name, known, self._where(kind))])
        if len(owners) > 1:
            told = ", ".join(bound.name for bound in owners)
            text = f"{kind} {name} is in several pipelines: {told}"
            raise ConfigError([Problem(text, self._where(kind), f"say which: pipeline: {owners[0].name}")])
        return owners[0]

    def _given_to(self, project: TestProject, bound: Bound) -> Iterator[tuple[str, Any]]:
        """What is given to a node's graph, by the names that the graph has."""
        graph = bound.graph
        parameters = {read.dataset.name: name for name, read in bound.reads.items()}
        for name, value in self._case.given.items():
            inner = name if name in graph.nodes or name in graph.inputs else parameters.get(name, name)
            entry = graph.nodes.get(inner) or graph.inputs.get(inner)
            if entry is None:
                self._wrong(unknown(_NODE, name, {*graph.nodes, *graph.inputs, *parameters}), "given", name)
            elif kind_of(entry.annotation):
                dataset = bound.reads[inner].dataset.name if inner in bound.reads else inner
                yield inner, self._rows(value, project.types(dataset), "given", name)
            else:
                try:
                    yield inner, coerce(value, entry.annotation)
                except ValueError as error:
                    text = f"{name}: {error}"
                    self._problems.append(Problem(text, self._where("given", name), "give it as YAML has such a value"))
                    yield inner, None

    def _missing(self, reads: Iterable[Any]) -> None:
        where = self.cases.where_key(self.number, "given")
        for read in reads:
            name = read.dataset.name
            hint = f"add {name} to given:; for no rows, its headings alone"
            if name not in self._case.given and not self._is_own(read):
                self._problems.append(Problem(f"the test gives no {name}, which is read", where, hint))

    def _is_own(self, read: Any) -> bool:
        """Whether a dataset is what its own pipeline writes, which may not be there yet."""
        return bool(read.dataset.name == self._case.dataset)

    def _wrong(self, problem: Problem, *path: str | int) -> None:
        self._problems.append(replace(problem, where=self.cases.where_key(self.number, *path)))

    def _refuse(self) -> None:
        if self._problems:
            raise ConfigError(self._problems)

    def _rows(self, value: Any, like: Mapping[str, pl.DataType], *path: str | int) -> pl.DataFrame:
        """A table of the test; what is wrong with it is kept, and no rows are in its place."""
        try:
            if isinstance(value, dict) and value.keys() == {"file"} and isinstance(value["file"], str):
                return tables.as_frame(self.cases.path.parent / value["file"], like)
            found = tables.as_frame(value, like)
            if not found.columns and path[0] == "given":
                raise UsageError("a table without columns", hint="for no rows, write the headings alone")
            return tables.dated(found, like) if isinstance(value, list) else found
        except UsageError as error:
            self._problems += [replace(each, where=self._where(*path)) for each in error.problems]
        except pl.exceptions.PolarsError as error:
            text = f"this is no table: {str(error).partition(chr(10))[0]}"
            self._problems.append(Problem(text, self._where(*path), "give each column values of one type"))
        return pl.DataFrame()

    def _compare(self, what: str, found: Any, key: str) -> None:
        case, expected = self._case, getattr(self._case, key)
        if kind_of(type(found)) is None:
            told = "" if found == expected else f"is {found!r}, expected {expected!r}"
        else:
            text = expected if isinstance(expected, str) else self._rows(expected, found.schema, key)
            self._refuse()
            told = self._difference(found, text, key, ordered=case.ordered, key=case.key, approx=case.approx)
        if told:
            raise Failed(self.cases.hidden(f"{what}: {told}"), self._where(key))

    def _difference(self, found: Any, expected: Any, place: str, **how: Any) -> str:
        try:
            return difference(found, expected, columns="expected", **how)
        except UsageError as error:
            raise ConfigError(replace(each, where=self._where(place)) for each in error.problems) from None


def _yaml(value: Any) -> str:
    """A value as a flag has it: JSON is YAML; what a test says of `${...}` was looked up when it was read."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${")
