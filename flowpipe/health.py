"""Everything that a run needs, looked at one by one: a look that fails, or hangs, keeps no other from being taken."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from flowpipe import assembly, breaker, executors, loading, machine, probing
from flowpipe.adapters import Adapter
from flowpipe.adapters.abilities import Probing
from flowpipe.catalog import Catalog
from flowpipe.cleaning import of_dead_runs
from flowpipe.config import Configuration
from flowpipe.errors import ConfigError, FlowpipeError, Problem, UsageError, redact
from flowpipe.findings import Finding, failed, guarded, of_problem, tried
from flowpipe.history import RunRow
from flowpipe.intents import Intents
from flowpipe.interpolation import variables
from flowpipe.ledger import Ledger
from flowpipe.liveness import is_free
from flowpipe.modules import ProjectCode
from flowpipe.objectstore import is_remote
from flowpipe.roots import find_root, ledger_path, profile_state
from flowpipe.sidebyside import Look, side_by_side
from flowpipe.terminal import ago, counted, size

PATIENCE = 10.0
_CLUSTER_PATIENCE = 30.0  # to join one takes longer
_SECRET_VARIABLES = re.compile(r"SECRET|PASSWORD|TOKEN|PRIVATE_KEY")
_USER = re.compile(r"(://[^/@:\s]*):[^/@\s]*@")


def examine(start: Path, profile: str | None) -> list[Finding]:
    """All that is found of the project at or above a folder, with one profile; nothing of it is changed."""
    found = list(machine.findings())
    secrets = {value for name, value in os.environ.items() if _SECRET_VARIABLES.search(name)}
    try:
        root = find_root(start)
    except UsageError as error:
        return [*found, failed("project", error, "")]
    found += _of_history(root)
    disks = {".flowpipe": root / ".flowpipe"}
    try:
        offline = loading.load_valid(root, profile=profile, resolve=False)
        configuration = loading.load_valid(root, profile=profile)
    except ConfigError as error:
        found += [*_problems("configuration", error.problems), *machine.disks(disks)]
    else:
        secrets |= configuration.secrets - set(_endpoints(offline))
        found += _Examination(configuration, offline, Catalog(configuration)).findings(disks)
    return [each.hidden(lambda text: _USER.sub(r"\1:***@", redact(text, secrets))) for each in found]


def _problems(what: str, problems: Iterable[Problem]) -> Iterator[Finding]:
    for problem in problems:
        yield of_problem(what, problem, "see `flowpipe check`")


def _of_history(root: Path) -> Iterator[Finding]:
    """Whether the ledger can be read, and whether its newest run lies behind us."""
    newest: RunRow | None = None

    def look() -> str:
        nonlocal newest
        with Ledger(ledger_path(root)) as ledger:
            version = ledger.version()
            runs = ledger.runs(1)
        newest = runs[0] if runs else None
        told = f"newest run {newest.run}, {ago(newest.started_at)}" if newest else "no run"
        return f"version {version}, {told}" if version else "no run yet"

    yield tried("ledger", look)
    now = datetime.now(UTC)
    yield machine.clock(now, newest.started_at if newest else None)


@dataclass(frozen=True)
class _Examination:
    """The looks at one profile; `offline` is its configuration with every `${...}` as it is written."""

    configuration: Configuration
    offline: Configuration
    catalog: Catalog

    def findings(self, disks: dict[str, Path]) -> Iterator[Finding]:
        name = self.configuration.profile
        state = profile_state(self.configuration.root, name)
        yield from guarded("environment", self._environment)
        yield from guarded("configuration", self._pipelines)
        yield replace(probing.writing(state, f".flowpipe/{name}"), what="state folder")
        yield from guarded("lock", partial(self._lock, state))
        yield from guarded("unfinished", partial(self._left, state))
        yield from guarded("breakers", self._breakers)
        yield from guarded("disk", lambda: machine.disks(disks | dict(self._folders())))
        yield from side_by_side([*self._stores(), self._executor()])

    def _environment(self) -> Iterator[Finding]:
        """The variables that `${env:...}` names; what is wrong only where they are looked up is wrong with them."""
        missing = [each for each in self.configuration.problems if each not in self.offline.problems]
        yield from _problems("environment", missing)
        named = sorted(set(_named(self.offline.document.data)))
        if named and not missing:
            told = (name if name in os.environ else f"{name} (not set: its default is used)" for name in named)
            yield Finding("environment", "ok", ", ".join(told))

    def _pipelines(self) -> Iterator[Finding]:
        """What `check` would tell."""
        configuration = self.configuration
        try:
            bound = assembly.bound(configuration, self.catalog, ProjectCode(configuration.root / "pipelines"))
        except FlowpipeError as error:
            looked_up = [each for each in configuration.problems if each not in self.offline.problems]
            yield from _problems("configuration", [each for each in error.problems if each not in looked_up])
        else:
            text = f"{counted(len(bound), 'pipeline')}, {counted(len(configuration.catalog), 'dataset')}"
            yield Finding("configuration", "ok", f"{text}, profile {configuration.profile}")

    def _lock(self, state: Path) -> Iterator[Finding]:
        """Whether a run could start now."""
        if is_free(state / "lock"):
            yield Finding("lock", "ok", "free")
            return
        with Ledger(ledger_path(self.configuration.root)) as ledger:
            ledger.sweep()
            runs = [run for run in ledger.runs() if run.outcome is None and run.profile == self.configuration.profile]
        if not runs:
            yield Finding("lock", "note", "held by a process that is no run, as `flowpipe maintain` or `clean`")
        for run in runs[:1]:
            since = f"{run.started_at.astimezone():%H:%M:%S} ({ago(run.started_at)})"
            command = f": flowpipe {run.command}" if run.command else ""
            yield Finding("lock", "note", f"held by run {run.run}, process {run.pid}, since {since}{command}")

    def _left(self, state: Path) -> Iterator[Finding]:
        """What runs that were killed have left to the next one."""
        decided = [f"{intent.pipeline} {intent.slice}" for intent in Intents(state / "intents").live(self.catalog)]
        if decided:
            text = f"{counted(len(decided), 'step')} decided but not published: {', '.join(decided[:5])}"
            yield Finding("unfinished", "note", f"{text}; the next run publishes first")
        left = list(of_dead_runs(state))
        if left and is_free(state / "lock"):
            text = f"{size(sum(each.bytes for each in left))} that killed runs left in {state.name}/scratch"
            yield Finding("unfinished", "note", f"{text}; the next run, or `flowpipe clean`, removes it")
        elif not decided:
            yield Finding("unfinished", "ok", "no step waits to be published")

    def _breakers(self) -> Iterator[Finding]:
        for store, each in breaker.of_stores(self.configuration).items():
            status = each.status
            if status.state == "open" and status.until and status.failures:
                text = f"open until {breaker.clock(status.until)}: {status.failures.error}"
                yield Finding(
                    f"{store}: breaker", "FAIL", text, f"mend the store, then `flowpipe breaker reset {store}`"
                )
            else:
                count = status.failures.count if status.failures else 0
                text = f"{status.state}, {count} of {counted(status.limit, 'failure')}"
                yield Finding(f"{store}: breaker", "ok" if status.state == "closed" else "note", text)

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """The stores that are on a disk of this machine."""
        for name, store in self.configuration.stores.items():
            options = store.model_extra or {}
            place = options.get("url") or options.get("database")
            if isinstance(place, str) and not is_remote(place) and self.configuration.is_resolved("stores", name):
                yield (
                    name,
                    self.configuration.root / place.partition("://")[2]
                    if "://" in place
                    else self.configuration.root / place,
                )

    def _stores(self) -> Iterator[Look]:
        """All stores; nothing is written to one from which datasets are only read."""
        catalog, pipelines = self.configuration.catalog, self.configuration.pipelines.values()
        written = {dataset for pipeline in pipelines for dataset in pipeline.writes.values()}
        read = {config.store for dataset, config in catalog.items() if dataset not in written}
        read -= {catalog[dataset].store for dataset in written & catalog.keys()} | {self.configuration.scratch}
        for name in self.configuration.stores:
            yield Look(name, partial(self._store, name, written=name not in read), PATIENCE)

    def _store(self, name: str, *, written: bool) -> Iterator[Finding]:
        unknown = Finding("", "note", "not opened: see what is wrong with its configuration")
        if not self.configuration.is_resolved("stores", name):
            yield unknown
            return
        try:
            adapter = self.catalog.store(name)
        except ConfigError:
            yield unknown
            return
        if isinstance(adapter, Probing):
            yield from adapter.probe(written=written)
        else:
            yield tried("answer", partial(self._asked, name, adapter), "see the store's options in the profile")

    def _asked(self, name: str, adapter: Adapter) -> str:
        """What a store that cannot be tried says of the first dataset that it holds."""
        dataset = next((each for each, config in self.configuration.catalog.items() if config.store == name), None)
        if dataset is None:
            return "made; there is no dataset to ask it for"
        columns = adapter.schema(self.catalog.dataset(dataset))
        return f"dataset {dataset}: " + (counted(len(columns), "column") if columns else "not there yet")

    def _executor(self) -> Look:
        def look() -> Iterator[Finding]:
            config = self.configuration.executor
            if executors.problems(config, self.configuration) or not self.configuration.is_resolved("executor"):
                yield Finding("", "note", "not asked: see what is wrong with its configuration")
            else:
                yield tried("", lambda: executors.answer(config, self.configuration), "see the profile's `executor:`")

        return Look("executor", look, _CLUSTER_PATIENCE)


def _endpoints(offline: Configuration) -> Iterator[str]:
    """The addresses of servers that stand in the YAML among the options of stores, all else of which is secret."""
    for store in offline.stores.values():
        options = (store.model_extra or {}).get("options")
        for name, value in options.items() if isinstance(options, dict) else ():
            if "endpoint" in str(name).lower() and isinstance(value, str) and "${" not in value:
                yield value


def _named(value: object) -> Iterator[str]:
    """The environment variables that the texts of a tree name."""
    if isinstance(value, str):
        yield from variables(value)
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _named(each)
