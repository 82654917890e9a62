"""A plan's steps to their end: lock, recover what was decided, run what is stale, tell the ledger."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path

from flowpipe.errors import DeadlinePassed, FlowpipeError, Interrupted, LockedError, UsageError, unexpected
from flowpipe.plan import Plan, Step
from flowpipe.records import Outcome, RunEnded, RunStarted, StepEnded, StepStarted
from flowpipe.step import Decided, Workshop, run_step

# Decided steps of one pipeline are published together: for so many a commit costs little more than for one, and nobody
# waits long for the first.
_MOST_WAITING = 50
_LONGEST_WAIT = 2.0


@dataclass(frozen=True)
class RunResult:
    """How a run ended: steps by outcome, and the error that stopped it."""

    run: str
    outcome: Outcome
    steps: tuple[tuple[str, Outcome], ...]
    error: FlowpipeError | None = None


@dataclass(frozen=True)
class _Waiting:
    """A decided step that is not published yet: how many seconds that took, and since when it waits."""

    step: Step
    result: Decided
    seconds: float
    since: float


@dataclass
class Runner:
    """Runs the steps that `make_plan` finds once the lock is held and decided steps are published."""

    shop: Workshop
    project: str
    command: str
    make_plan: Callable[[], Plan]
    _waiting: list[_Waiting] = field(default_factory=list)
    _ended: list[tuple[str, Outcome]] = field(default_factory=list)

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
        steps: Sequence[Step] = ()
        try:
            with shop.stop.listening():
                self._recover()
                steps = self.make_plan().steps
                self._steps(steps)
        except Exception as caught:  # noqa: BLE001 - the ledger and the reader are told of it like of all else
            error = self._told(caught, len(steps))
            error.__cause__ = error.__cause__ or (caught if caught is not error else None)
            error.hide(shop.redact)
        finally:
            # Only when it is empty: a step that could not publish left there what its manifest names.
            with suppress(OSError):
                shop.scratch.rmdir()
        outcome = "failed" if isinstance(error, DeadlinePassed) else _outcome(error)
        text = str(error) if error else None
        shop.emit(RunEnded(shop.run, datetime.now(UTC), time.monotonic() - began, outcome, text))
        return RunResult(shop.run, outcome, tuple(self._ended), error)

    def _told(self, caught: Exception, steps: int) -> FlowpipeError:
        """What ended the run, in words for people."""
        if isinstance(caught, DeadlinePassed) and steps:
            return caught.after(sum(outcome in {"done", "skipped"} for _, outcome in self._ended), steps)
        return caught if isinstance(caught, FlowpipeError) else unexpected(caught)

    def _recover(self) -> None:
        """Publish what earlier runs had decided; what else they left in the scratch folder goes."""
        self.shop.publisher.recover()
        for folder in self.shop.scratch.parent.glob("*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _steps(self, steps: Sequence[Step]) -> None:
        """Run every step, and publish what is decided before anything that could read it.

        Raises:
            FlowpipeError: the first thing that went wrong; steps decided before it are published all the same.
        """
        try:
            for step, following in zip_longest(steps, steps[1:]):
                self._step(step)
                if self._waiting and not (following and self._may_wait(following)):
                    self._publish()
        finally:
            self._publish()

    def _may_wait(self, following: Step) -> bool:
        """Whether the next step can run before the decided ones are visible, and so few of them wait so briefly."""
        bound = self._waiting[0].step.bound
        own = {write.dataset.name for write in bound.writes}
        return (
            following.bound is bound
            and not any(read.dataset.name in own for read in bound.reads.values())
            and len(self._waiting) < _MOST_WAITING
            and time.monotonic() - self._waiting[0].since < _LONGEST_WAIT
        )

    def _step(self, step: Step) -> None:
        shop, began = self.shop, time.monotonic()
        shop.stop.check()
        if step.action == "skip":
            self._end(step, 0.0, "skipped", step.reason)
            return
        shop.emit(StepStarted(shop.run, step.bound.name, str(step.slice), datetime.now(UTC), step.reason))
        try:
            result = run_step(step, shop)
        except Exception as caught:  # noqa: BLE001 - whatever a library makes of a signal in the middle of its work
            error = shop.stop.interrupted or caught
            self._end(step, time.monotonic() - began, _outcome(error), None, shop.redact(str(error)))
            raise error from caught.__cause__
        if isinstance(result, Decided):
            now = time.monotonic()
            self._waiting.append(_Waiting(step, result, now - began, now))
        else:
            self._end(step, time.monotonic() - began, "skipped", "; ".join(result))

    def _publish(self) -> None:
        """Publish the steps that wait.

        Raises:
            FlowpipeError: the first that could not be published.
        """
        waiting, self._waiting = self._waiting, []
        began = time.monotonic()
        errors = self.shop.publisher.publish([each.result.intent for each in waiting])
        share = (time.monotonic() - began) / max(1, len(waiting))
        for each, error in zip(waiting, errors, strict=True):
            if error is None:
                # Not before: what a live manifest names may lie here.
                shutil.rmtree(each.result.scratch, ignore_errors=True)
            self._end(
                each.step, each.seconds + share, _outcome(error), None, self.shop.redact(str(error)) if error else None
            )
        if first := next(filter(None, errors), None):
            raise first

    def _end(
        self, step: Step, seconds: float, outcome: Outcome, reason: str | None = None, error: str | None = None
    ) -> None:
        shop, part = self.shop, str(step.slice)
        shop.emit(StepEnded(shop.run, step.bound.name, part, datetime.now(UTC), seconds, outcome, reason, error))
        self._ended.append((step.name, outcome))


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
