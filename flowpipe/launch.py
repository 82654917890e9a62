"""A run from its lock to its last record: all that it works with is made, and let go of, whatever ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from flowpipe import executors, memory
from flowpipe.bound import Bound
from flowpipe.catalog import Catalog
from flowpipe.checkpoints import Checkpoints
from flowpipe.config import Configuration
from flowpipe.errors import redact
from flowpipe.executors.scheduler import Scheduler
from flowpipe.firing import HookPool
from flowpipe.intents import Intents
from flowpipe.ledger import Ledger, new_run_id
from flowpipe.modules import ProjectCode
from flowpipe.plan import Plan
from flowpipe.publishing import Publisher
from flowpipe.records import Record
from flowpipe.roots import ledger_path, profile_state
from flowpipe.run import Runner, RunResult, locked
from flowpipe.selection import Selection
from flowpipe.stop import Stop
from flowpipe.workshop import Workshop


@dataclass(frozen=True)
class Launch:
    """One run that is asked for; `make_plan` is called once its lock is held."""

    configuration: Configuration
    catalog: Catalog
    code: ProjectCode
    bounds: Mapping[str, Bound]
    selection: Selection
    now: datetime
    make_plan: Callable[[], Plan]
    command: str

    def run(self, on_record: Callable[[Record], None] | None, wait: timedelta, deadline: timedelta | None) -> RunResult:
        """Run it to its end.

        Raises:
            ConfigError, UsageError: nothing was started.
            LockedError: another run holds the lock.
        """
        chosen = self.selection.of(self.bounds, self.now)
        with alone(self.configuration, wait) as state, Ledger(ledger_path(self.configuration.root)) as ledger:
            ledger.sweep()

            def emit(record: Record) -> None:
                ledger.write(record)
                if on_record:
                    on_record(record)

            if any(bound.checkpoints for bound in self.bounds.values()):
                Checkpoints.of(self.configuration, force=False).tidy()
            stop = Stop(self.configuration.deadline if deadline is None else deadline)
            shop = self._workshop(state, emit, stop)
            try:
                shop.hooks.make(bound.hooks for bound, _ in chosen)
                self.catalog.begin()
                publisher = Publisher(shop.run, self.catalog, Intents(state / "intents"), stop, emit)
                name, at_once = self.configuration.project.name, self._steps_at_once(shop.scheduler)
                result = Runner(shop, publisher, name, self.command, self.make_plan, at_once).run()
                self.catalog.settle(well=result.error is None)
                return result
            finally:
                shop.scheduler.executor.close()
                self.catalog.close()

    def _workshop(self, state: Path, emit: Callable[[Record], None], stop: Stop) -> Workshop:
        configuration, run = self.configuration, new_run_id(self.now)
        site = executors.Site(run, state / "scratch" / run / "executor", self.code.importer)
        return Workshop(
            run=run,
            run_time=self.now,
            configuration=configuration,
            code=self.code,
            catalog=self.catalog,
            scheduler=Scheduler(executors.create(configuration.executor, configuration, site)),
            checkpoints=Checkpoints.of(configuration, force=self.selection.force),
            scratch=state / "scratch" / run,
            force=self.selection.force,
            emit=emit,
            stop=stop,
            hooks=HookPool(partial(redact, secrets=configuration.secrets)),
        )

    def _steps_at_once(self, scheduler: Scheduler) -> int:
        return self.configuration.max_parallel_steps or max(1, int(scheduler.executor.capacity.cpus))


@contextmanager
def alone(configuration: Configuration, wait: timedelta) -> Iterator[Path]:
    """Hold the lock of a project and profile and keep to its memory; gives the folder of its state.

    Raises:
        LockedError: another run holds the lock.
    """
    state = profile_state(configuration.root, configuration.profile)
    with locked(state, wait), memory.bounded(configuration.memory_budget, state / "spill"):
        yield state
