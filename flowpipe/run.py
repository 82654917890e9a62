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

from flowpipe.errors import FlowpipeError, Interrupted, LockedError, UsageError, unexpected
from flowpipe.plan import Plan, Step
from flowpipe.records import Outcome, RunEnded, RunStarted, StepEnded, StepStarted
from flowpipe.step import Workshop, run_step


@dataclass(frozen=True)
class RunResult:
    """How a run ended: steps by outcome, and the error that stopped it."""

    run: str
    outcome: Outcome
    steps: tuple[tuple[str, Outcome], ...]
    error: FlowpipeError | None = None


@dataclass
class Runner:
    """Runs the steps that `make_plan` finds once the lock is held and decided steps are published."""

    shop: Workshop
    project: str
    command: str
    make_plan: Callable[[], Plan]

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
        ended: list[tuple[str, Outcome]] = []
        error: FlowpipeError | None = None
        try:
            with shop.stop.listening():
                self._recover()
                ended.extend((step.name, self._step(step)) for step in self.make_plan().steps)
        except Exception as caught:  # noqa: BLE001 - the ledger and the reader are told of it like of all else
            error = caught if isinstance(caught, FlowpipeError) else unexpected(caught)
            error.__cause__ = error.__cause__ or (caught if caught is not error else None)
            error.hide(shop.redact)
        finally:
            # Only when it is empty: a step that could not publish left there what its manifest names.
            with suppress(OSError):
                shop.scratch.rmdir()
        outcome = _outcome(error)
        text = str(error) if error else None
        shop.emit(RunEnded(shop.run, datetime.now(UTC), time.monotonic() - began, outcome, text))
        return RunResult(shop.run, outcome, tuple(ended), error)

    def _recover(self) -> None:
        """Publish what earlier runs had decided; what else they left in the scratch folder goes."""
        self.shop.publisher.recover()
        for folder in self.shop.scratch.parent.glob("*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _step(self, step: Step) -> Outcome:
        shop, began = self.shop, time.monotonic()
        shop.stop.check()
        part = str(step.slice)

        def end(outcome: Outcome, reason: str | None = None, error: str | None = None) -> Outcome:
            seconds = time.monotonic() - began
            shop.emit(StepEnded(shop.run, step.bound.name, part, datetime.now(UTC), seconds, outcome, reason, error))
            return outcome

        if step.action == "skip":
            return end("skipped", step.reason)
        shop.emit(StepStarted(shop.run, step.bound.name, part, datetime.now(UTC), step.reason))
        try:
            reasons = run_step(step, shop)
        except Exception as caught:  # noqa: BLE001 - whatever a library makes of a signal in the middle of its work
            error = shop.stop.interrupted or caught
            end(_outcome(error), None, shop.redact(str(error)))
            raise error from caught.__cause__
        return end("done") if reasons is None else end("skipped", "; ".join(reasons))


@contextmanager
def locked(state: Path, wait: timedelta) -> Iterator[None]:
    """Hold the lock of a project and profile, waiting for it at most `wait`.

    Raises:
        LockedError: another run holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(state / "lock", timeout=wait.total_seconds())
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


def _outcome(error: Exception | None) -> Outcome:
    if error is None:
        return "done"
    return "cancelled" if isinstance(error, Interrupted) else "failed"
