"""The facade: load a project, check it, plan it, run it."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path

from flowpipe import executors, loading, memory, pipeline, plan, upkeep
from flowpipe.binding import Binder
from flowpipe.bound import Bound
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration
from flowpipe.errors import ConfigError, FlowpipeError, Problem, UsageError, redact, unknown
from flowpipe.executors.scheduler import Scheduler
from flowpipe.intents import Intents
from flowpipe.ledger import Ledger, new_run_id
from flowpipe.modules import ProjectCode
from flowpipe.partition import Slice
from flowpipe.plan import Plan
from flowpipe.publishing import Publisher
from flowpipe.records import Record
from flowpipe.roots import find_root, ledger_path, profile_state
from flowpipe.run import Runner, RunResult, locked
from flowpipe.selection import EVERYTHING, Selection
from flowpipe.step import Workshop
from flowpipe.stop import Stop


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
        return ProjectCode(self.configuration.root / "pipelines")

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
                self._bound = self._bind()
        return self._bound

    def plan(self, selection: Selection = EVERYTHING, *, now: datetime | None = None) -> Plan:
        """What a run would do, and why.

        Raises:
            ConfigError: the project has problems, or inputs are missing.
            UsageError: a pipeline or partition of the selection does not exist.
        """
        moment = now or datetime.now(UTC)
        chosen = self._select(selection, moment)
        with self._hiding_secrets():
            return plan.make(chosen, self.catalog, self.configuration, now=moment, force=selection.force)

    def run(
        self,
        selection: Selection = EVERYTHING,
        *,
        on_record: Callable[[Record], None] | None = None,
        wait: timedelta = timedelta(0),
        command: str = "",
    ) -> RunResult:
        """Run what is missing or stale; how it ended is in the result.

        Raises:
            ConfigError, UsageError: nothing was started.
            LockedError: another run holds the lock.
        """
        now = datetime.now(UTC)
        self._select(selection, now)
        with self._alone(wait) as state, Ledger(ledger_path(self.configuration.root)) as ledger:
            ledger.sweep()

            def emit(record: Record) -> None:
                ledger.write(record)
                if on_record:
                    on_record(record)

            shop = self._workshop(now, state, emit, force=selection.force)
            name, make_plan = self.configuration.project.name, partial(self.plan, selection, now=now)
            try:
                return Runner(shop, name, command, make_plan).run()
            finally:
                shop.scheduler.executor.close()
                self.catalog.close()

    def maintain(
        self, names: Sequence[str] = (), *, retention: timedelta = timedelta(days=7), dry_run: bool = False
    ) -> Iterator[tuple[str, Sequence[str]]]:
        """Tidy what pipelines write: name by name, what was done in lines; `dry_run` only tells.

        Raises:
            UsageError: no pipeline writes a dataset of this name.
            LockedError: a run is at work.
        """
        datasets = upkeep.written(list(self.check().values()), names)
        with self._hiding_secrets(), self._alone(timedelta(0)) as state:
            try:
                intents = Intents(state / "intents")
                yield from upkeep.maintain(datasets, self.catalog, intents, retention, dry_run=dry_run)
            finally:
                self.catalog.close()

    def _workshop(self, now: datetime, state: Path, emit: Callable[[Record], None], *, force: bool) -> Workshop:
        run, stop = new_run_id(now), Stop()
        site = executors.Site(run, state / "scratch" / run / "executor", self._code.importer)
        return Workshop(
            run=run,
            run_time=now,
            configuration=self.configuration,
            catalog=self.catalog,
            scheduler=Scheduler(executors.create(self.configuration.executor, self.configuration, site)),
            publisher=Publisher(run, self.catalog, Intents(state / "intents"), stop, emit),
            scratch=state / "scratch" / run,
            force=force,
            emit=emit,
            stop=stop,
        )

    @contextmanager
    def _alone(self, wait: timedelta) -> Iterator[Path]:
        """Hold the profile's lock and keep to its memory; gives the folder of its state."""
        state = profile_state(self.configuration.root, self.profile)
        with locked(state, wait), memory.bounded(self.configuration.memory_budget, state / "spill"):
            yield state

    @contextmanager
    def _hiding_secrets(self) -> Iterator[None]:
        try:
            yield
        except FlowpipeError as error:
            error.hide(partial(redact, secrets=self.configuration.secrets))
            raise

    def _bind(self) -> dict[str, Bound]:
        configuration = self.configuration
        problems = [*configuration.problems, *self.catalog.store_problems]
        problems += executors.problems(configuration.executor, configuration)
        problems += _writers(configuration)
        code = self._code
        written = frozenset(name for p in configuration.pipelines.values() for name in p.writes.values())
        bound: dict[str, Bound] = {}
        used: set[tuple[str, str]] = set()
        for name, settings in configuration.pipelines.items():
            try:
                graph = pipeline.load(name, code, settings, partial(configuration.where, "pipelines", name))
            except FlowpipeError as error:
                problems += error.problems
                used |= {(name, param) for param in settings.params}
                continue
            binder = Binder(name, configuration, self.catalog, code, graph, written)
            bound[name] = binder.bind()
            problems += binder.problems
            used |= {(name, param) for param in binder.used_params}
        if not configuration.problems:
            # Otherwise a param may be meant for a pipeline that is left out.
            problems += _unused_params(configuration, bound, used)
        order, cycle = _ordered(configuration, bound)
        problems += cycle
        if problems:
            raise ConfigError(problems)
        return {name: bound[name] for name in order}

    def _select(self, selection: Selection, now: datetime) -> list[tuple[Bound, Sequence[Slice]]]:
        bounds = self.check()
        missing = [name for name in selection.pipelines if name not in bounds]
        if missing:
            raise ConfigError(unknown("pipeline", name, bounds) for name in missing)
        chosen = [bound for name, bound in bounds.items() if not selection.pipelines or name in selection.pipelines]
        if selection.has_windows and not any(bound.config.partitions for bound in chosen):
            raise UsageError(
                f"no partitions: {', '.join(bound.name for bound in chosen)} runs as a whole",
                hint="leave out --partition, --from and --to",
            )
        return [(bound, selection.windows(bound, now)) for bound in chosen]


def _writers(configuration: Configuration) -> Iterable[Problem]:
    """Datasets that are written twice, and tables or paths that two written datasets share."""
    writers: dict[str, list[tuple[str, str]]] = {}
    homes: dict[tuple[str, str], str] = {}
    for name, settings in configuration.pipelines.items():
        for node, dataset in settings.writes.items():
            writers.setdefault(dataset, []).append((name, node))
    for dataset, found in writers.items():
        entry = configuration.catalog.get(dataset)
        if len(found) > 1:
            name, node = found[-1]
            text = f"dataset {dataset} is written by {' and '.join(f'{p} (node {n})' for p, n in found)}"
            yield Problem(text, configuration.where_written(name, node), "let one node write it")
        home = entry and (entry.table or entry.path)
        if entry and home:
            other = homes.setdefault((entry.store, home), dataset)
            if other != dataset:
                text = f'datasets {other} and {dataset} are both written to "{home}" of store {entry.store}'
                yield Problem(text, configuration.where_key("catalog", dataset), "give each a place of its own")


def _unused_params(
    configuration: Configuration, bound: dict[str, Bound], used: set[tuple[str, str]]
) -> Iterable[Problem]:
    """Params that no pipeline they are given to asks for."""
    declared: dict[tuple[str, object], list[str]] = {}
    for name, settings in configuration.pipelines.items():
        for param in settings.params:
            key = (param, configuration.where_key("pipelines", name, "params", param))
            declared.setdefault(key, []).append(name)
    for (param, _), names in declared.items():
        if not any((name, param) in used for name in names):
            known = {entry for name in names if name in bound for entry in bound[name].graph.inputs}
            yield unknown("param", param, known, configuration.where_key("pipelines", names[0], "params", param))


def _ordered(configuration: Configuration, bound: dict[str, Bound]) -> tuple[list[str], list[Problem]]:
    """Pipelines in dependency order: what one writes another reads."""
    makers = {write.dataset.name: name for name, entry in bound.items() for write in entry.writes}
    before = {
        name: {makers[read.dataset.name] for read in entry.reads.values() if read.dataset.name in makers} - {name}
        for name, entry in bound.items()
    }
    try:
        return list(graphlib.TopologicalSorter(before).static_order()), []
    except graphlib.CycleError as error:
        circle = list(reversed(error.args[1]))
        text = f"pipelines read each other's datasets in a circle: {' -> '.join(circle)}"
        where = configuration.where("pipelines", circle[0])
        return list(bound), [Problem(text, where, "let one of them read a dataset that the others do not write")]
