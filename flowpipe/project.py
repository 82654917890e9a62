"""The facade: load a project, check it, plan it, run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe import (
    assembly,
    cleaning,
    explaining,
    loading,
    looking,
    markup,
    picking,
    plan,
    preview,
    shelf,
    upkeep,
)
from flowpipe.bound import Bound
from flowpipe.catalog import Catalog
from flowpipe.cleaning import Leftover
from flowpipe.config import Configuration
from flowpipe.errors import ConfigError, FlowpipeError, Problem, in_order, redact
from flowpipe.explaining import Surroundings
from flowpipe.facts import Explanation
from flowpipe.frames import collected
from flowpipe.intents import Intents
from flowpipe.launch import Launch, alone
from flowpipe.modules import ProjectCode
from flowpipe.picture import Graph, Level
from flowpipe.plan import Plan
from flowpipe.preview import Shown
from flowpipe.query import asked
from flowpipe.reach import out_of_reach
from flowpipe.records import Record
from flowpipe.roots import find_root, profile_state
from flowpipe.run import RunResult, locked
from flowpipe.selection import Selection


@dataclass
class Project:
    """A folder with `conf/` and `pipelines/`, read with one profile."""

    configuration: Configuration
    catalog: Catalog
    _bound: dict[str, Bound] | None = field(default=None, repr=False)

    @classmethod
    def load(
        cls, path: str | Path = ".", *, profile: str | None = None, sets: Sequence[str] = (), offline: bool = False
    ) -> Project:
        """Read a project's YAML.

        Raises:
            UsageError: there is no project at or above `path`.
            ConfigError: the catalog or the profile cannot be read; what else is wrong, `check` tells.
        """
        configuration = loading.load_valid(find_root(Path(path)), profile=profile, sets=sets, resolve=not offline)
        return cls(configuration, Catalog(configuration))

    @cached_property
    def _code(self) -> ProjectCode:
        return ProjectCode(self.configuration.code)

    @property
    def _head(self) -> str:
        return f"{self.configuration.project.name}, profile {self.profile}"

    @property
    def _rows(self) -> list[tuple[str, str, str]]:
        pipelines = self.configuration.pipelines.items()
        return [(name, ", ".join(entry.modules), ", ".join(entry.writes.values())) for name, entry in pipelines]

    def __repr__(self) -> str:
        return markup.text(f"project {self._head}", self._rows)

    def _repr_html_(self) -> str:
        return markup.table(self._head, ("pipeline", "modules", "writes"), self._rows)

    @property
    def profile(self) -> str:
        return self.configuration.profile

    def check(self) -> dict[str, Bound]:
        """Load every module, build every graph and bind it to the catalog; opens no store.

        Returns the pipelines in the order in which they run.

        Raises:
            ConfigError: all problems of all pipelines.
        """
        if self._bound is None:
            with self._hiding_secrets():
                self._bound = assembly.bound(self.configuration, self.catalog, self._code)
        return self._bound

    def notes(self) -> tuple[Problem, ...]:
        """What a checked project's user should know, though nothing is wrong.

        Raises:
            ConfigError: all problems of all pipelines.
        """
        hide = partial(redact, secrets=self.configuration.secrets)
        bounds = self.check().values()
        notes = [note for bound in bounds for note in bound.notes]
        return in_order(note.hidden(hide) for note in (*notes, *out_of_reach(self.configuration, bounds)))

    def graph(self, *pipelines: str, level: Level | None = None) -> Graph:
        """What flows where, to look at: a notebook shows it, `.svg()`, `.html()`, `.mermaid()` and `.dot()` give text.

        Of `pipelines`, with what they read and write and who else does, or of the whole project, whose nodes are
        shown up to 60 of them, else its pipelines; `level` says otherwise.

        Raises:
            ConfigError: the project has problems, or no pipeline of this name.
            UsageError: there is no such level.
        """
        return Graph.of(self.check(), self.configuration, self._code, pipelines, level)

    def plan(
        self,
        *pipelines: str,
        partitions: Sequence[str] = (),
        first: str | None = None,
        last: str | None = None,
        force: bool = False,
        now: datetime | None = None,
    ) -> Plan:
        """What a run would do, and why; of all pipelines and windows, or of those that are named.

        Raises:
            ConfigError: the project has problems, or inputs are missing.
            UsageError: a partition is none of the pipeline's.
        """
        return self._planned(Selection(pipelines, partitions, first, last, force), now or datetime.now(UTC))

    def explain(self, name: str) -> list[Explanation]:
        """All that a name is: a dataset, nodes, a pipeline, an exit code or an error; what is not known is told so.

        Raises:
            ConfigError: the project has problems.
            UsageError: it is nothing of this project.
        """
        now = datetime.now(UTC)
        with self._hiding_secrets():
            try:
                make_plan = partial(self.plan, now=now)
                around = Surroundings(self.check(), self.catalog, self.configuration, self._code, make_plan, now)
                return explaining.explain(name, around)
            finally:
                self.catalog.close()

    def run(
        self,
        *pipelines: str,
        partitions: Sequence[str] = (),
        first: str | None = None,
        last: str | None = None,
        force: bool = False,
        on_record: Callable[[Record], None] | None = None,
        wait: timedelta = timedelta(0),
        deadline: timedelta | None = None,
        command: str = "",
    ) -> RunResult:
        """Run what is missing or stale; how it ended, and what failed, is in the result.

        What to run is told as to `plan`. `on_record` is given each record as it is made, `wait` is for another run to
        end, `deadline` is stronger than the profile's, `command` is what the history shows.

        Raises:
            ConfigError, UsageError: nothing was started.
            LockedError: another run holds the lock.
        """
        now = datetime.now(UTC)
        selection = Selection(pipelines, partitions, first, last, force)
        make_plan = partial(self._planned, selection, now)
        with self._hiding_secrets():
            bounds = self.check()
            launch = Launch(self.configuration, self.catalog, self._code, bounds, selection, now, make_plan, command)
            return launch.run(on_record, wait, deadline)

    def preview(
        self,
        select: Sequence[str],
        *,
        pipelines: Sequence[str] = (),
        partition: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        head: int | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> list[Shown]:
        """Compute nodes (`late`, `+late`, `late+`) for one slice and publish nothing; their first rows, or all of them.

        Raises:
            ConfigError, UsageError: nothing was started.
            NodeError, DataError: a node failed, or an input cannot be read.
        """
        now = datetime.now(UTC)
        picks = picking.pick(select, [bound for bound, _ in Selection(tuple(pipelines)).of(self.check(), now)])
        wanted = Selection(tuple(pick.bound.name for pick in picks), (partition,) if partition else ())
        slices = {bound.name: parts for bound, parts in wanted.of(self.check(), now)}
        desk = preview.opened(self.configuration, self.catalog, self._code.importer, now, note)
        with self._hiding_secrets(), desk as opened:
            return preview.preview([(pick, slices[pick.bound.name]) for pick in picks], overrides or {}, head, opened)

    def compute(
        self,
        nodes: Sequence[str],
        *,
        pipeline: str | None = None,
        partition: str | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The values of nodes for one slice, by name; see `preview`. A LazyFrame has become a Polars DataFrame."""
        names = [pipeline] if pipeline else []
        found = self.preview(nodes, pipelines=names, partition=partition, overrides=overrides)
        return {one.node: one.value for one in found}

    def read(self, name: str, *, partition: str | None = None, rows: int | None = None) -> pl.DataFrame:
        """A dataset of the catalog (rejected rows: `NAME__rejected`) or one partition of it: all, or the first `rows`.

        Takes no lock: a run may be at work.

        Raises:
            UsageError: there is no such dataset or partition, or nothing in it yet.
            DataError: what is there cannot be read.
        """
        with looking.opened(self.configuration, self.catalog) as look:
            return collected(look.source(name, partition).frame(rows=rows))

    def sql(self, query: str) -> pl.DataFrame:
        """The rows of one SELECT in DuckDB's SQL over datasets of any stores, by their names in the catalog.

        Raises:
            UsageError: the query is wrong or would write, or names a dataset that is not there.
        """
        opened = looking.opened(self.configuration, self.catalog)
        with opened as look, asked(query, look.named, self.catalog.names, look.scratch) as rows:
            return collected(rows)

    def maintain(
        self, names: Sequence[str] = (), *, retention: timedelta = timedelta(days=7), dry_run: bool = False
    ) -> Iterator[tuple[str, Sequence[str]]]:
        """Tidy what pipelines write: name by name, what was done in lines; `dry_run` only tells.

        Raises:
            UsageError: no pipeline writes a dataset of this name.
            LockedError: a run is at work.
        """
        datasets = upkeep.written(list(self.check().values()), names)
        with self._hiding_secrets(), alone(self.configuration, timedelta(0)) as state:
            try:
                intents = Intents(state / "intents")
                yield from upkeep.maintain(datasets, self.catalog, intents, retention, dry_run=dry_run)
            finally:
                self.catalog.close()

    def clean(
        self, *, only_checkpoints: bool = False, every: bool = False, dry_run: bool = False
    ) -> Iterator[Leftover]:
        """Remove what nobody needs any more, telling each; `dry_run` only tells, `every` means all checkpoints.

        Raises:
            LockedError: a run is at work.
            FlowpipeError: the store of the checkpoints does not answer.
        """
        configuration = self.configuration
        if wrong := [*configuration.problems, *self.catalog.store_problems, *shelf.problems(configuration)]:
            raise ConfigError(wrong)
        state = profile_state(configuration.root, self.profile)
        with self._hiding_secrets(), locked(state, timedelta(0)):
            for leftover in cleaning.leftovers(configuration, state, every=every, only_checkpoints=only_checkpoints):
                if not dry_run:
                    leftover.remove()
                yield leftover

    def _planned(self, selection: Selection, now: datetime) -> Plan:
        chosen = selection.of(self.check(), now)
        with self._hiding_secrets():
            return plan.make(chosen, self.catalog, self.configuration, now=now, force=selection.force)

    @contextmanager
    def _hiding_secrets(self) -> Iterator[None]:
        try:
            yield
        except FlowpipeError as error:
            error.hide(partial(redact, secrets=self.configuration.secrets))
            raise
