"""A plan's steps to their end: lock, recover what was decided, run what is stale, tell the ledger."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flowpipe import markup
from flowpipe.errors import DeadlinePassed, FlowpipeError, LockedError, UsageError, unexpected
from flowpipe.plan import Plan
from flowpipe.publishing import Publisher
from flowpipe.records import Outcome, Published, RunEnded, RunStarted, StepEnded, step_name
from flowpipe.steps import Steps, outcome_of
from flowpipe.terminal import rows, seconds
from flowpipe.workshop import Workshop

# Whoever only looks whether the lock is free holds it for an instant.
_GLANCE = 0.2


@dataclass(frozen=True)
class RunResult:
    """How a run ended: its steps, what they published, and the error that stopped it."""

    run: str
    outcome: Outcome
    seconds: float
    steps: tuple[StepEnded, ...]
    outputs: tuple[Published, ...]
    error: FlowpipeError | None = None

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """How each step ended, by its name."""
        return {step.name: step.outcome for step in self.steps}

    @property
    def _head(self) -> str:
        told = f": {self.error}" if self.error else ""
        return f"run {self.run}: {self.outcome} in {seconds(self.seconds)}{told}"

    @property
    def _rows(self) -> list[tuple[str, str, str, str]]:
        made: dict[str, list[str]] = {}
        for output in self.outputs:
            made.setdefault(step_name(output), []).append(f"{output.dataset} {rows(output.rows)}")
        return [
            (step.name, step.outcome, step.reason or ", ".join(made.get(step.name, [])), seconds(step.seconds))
            for step in self.steps
        ]

    def __repr__(self) -> str:
        return markup.text(self._head, self._rows)

    def _repr_html_(self) -> str:
        return markup.table(self._head, ("step", "outcome", "published", "took"), self._rows)

    def check(self) -> RunResult:
        """The same, if all went well.

        Raises:
            FlowpipeError: what stopped the run.
        """
        if self.error:
            raise self.error
        return self


@dataclass
class Runner:
    """Runs the steps that `make_plan` finds once the lock is held and decided steps are published."""

    shop: Workshop
    publisher: Publisher
    project: str
    command: str
    make_plan: Callable[[], Plan]
    workers: int

    def run(self) -> RunResult:
        """Everything from the first record to the last; errors are in the result."""
        shop, began = self.shop, time.monotonic()
        shop.emit(
            RunStarted(
                shop.run,
                datetime.now(UTC),
                self.project,
                shop.configuration.profile,
                shop.redact(self.command),
                os.getpid(),
            )
        )
        error: FlowpipeError | None = None
        steps = Steps(shop, self.publisher, self.workers)
        try:
            with shop.stop.listening():
                self._recover()
                steps.run(self.make_plan().steps)
        except Exception as caught:  # noqa: BLE001 - the ledger and the reader are told of it like of all else
            error = _told(caught, steps)
            error.__cause__ = error.__cause__ or (caught if caught is not error else None)
            error.hide(shop.redact)
        finally:
            # Only when it is empty: a step that could not publish left there what its manifest names.
            with suppress(OSError):
                shop.scratch.rmdir()
        outcome, seconds = outcome_of(error), time.monotonic() - began
        shop.emit(RunEnded(shop.run, datetime.now(UTC), seconds, outcome, str(error) if error else None))
        return RunResult(shop.run, outcome, seconds, tuple(steps.ended), tuple(self.publisher.told), error)

    def _recover(self) -> None:
        """Publish what earlier runs had decided; what else they left in the scratch folder goes."""
        self.publisher.recover()
        for folder in self.shop.scratch.parent.glob("*"):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(state: Path, wait: timedelta) -> Iterator[None]:
    """Hold the lock of a project and profile, waiting for it at most `wait`.

    Raises:
        LockedError: another run holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(state / "lock", timeout=max(wait.total_seconds(), _GLANCE))
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise LockedError(
            f"another run of this project and profile holds {state / 'lock'}",
            hint="wait for it with --wait 10m, or look at it with `flowpipe runs`",
        ) from None
    except OSError as error:
        text = f"{state / 'lock'} cannot be written: {error.strerror}"
        raise UsageError(text, hint="make room, or let this user write there") from error
    try:
        yield
    finally:
        lock.release()


def _told(caught: Exception, steps: Steps) -> FlowpipeError:
    """What ended the run, in words for people."""
    if isinstance(caught, DeadlinePassed) and steps.planned:
        return caught.after(sum(step.outcome in {"done", "skipped"} for step in steps.ended), steps.planned)
    return caught if isinstance(caught, FlowpipeError) else unexpected(caught)
