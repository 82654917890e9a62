"""Which steps of a plan run at the same time, and when what they decided becomes visible.

A step begins when all that it must see is published. Steps run on threads of the driver, each by itself or as one call
on a worker; whatever they tell passes through one queue into the driver's main thread, which alone decides and
publishes.
"""

from __future__ import annotations

import contextvars
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from queue import Empty, SimpleQueue

from flowpipe.bound import read_slice
from flowpipe.errand import Errands
from flowpipe.errors import FlowpipeError, Interrupted, OutOfTime
from flowpipe.plan import Step
from flowpipe.publishing import Publisher
from flowpipe.records import Outcome, Record, StepEnded, StepStarted
from flowpipe.workshop import Decidable, Workshop

# Decided steps of one pipeline are published together: for so many a commit costs little more than for one, and nobody
# waits long for the first.
_MOST_WAITING = 50
_LONGEST_WAIT = 2.0
# One step that waits does not hold up so many behind it.
_LOOK_AHEAD = 100
# How long steps that were told to stop may take to remove what they staged.
_UNWINDING = 5.0

# Rows of one slice do not depend on those of another that is published earlier or later.
_IN_ANY_ORDER = ("append", "replace")


@dataclass(frozen=True)
class _Ended:
    """What a step came to: rows to be decided on, reasons why it was skipped, or an error."""

    step: Step
    result: Decidable | tuple[str, ...] | Exception
    seconds: float


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A decided step that is not published yet: how many seconds that took, and since when it waits."""

    step: Step
    result: Decidable
    seconds: float
    since: float


class Steps:
    """Runs the steps of one plan, at most `workers` at once; with one they run in the driver's own thread."""

    def __init__(self, shop: Workshop, publisher: Publisher, workers: int) -> None:
        self.planned = 0
        self.ended: list[StepEnded] = []
        self._shop = shop
        self._publisher = publisher
        self._workers = workers
        self._place: dict[str, int] = {}
        self._running: dict[str, Step] = {}
        self._waiting: list[_Waiting] = []
        self._events: SimpleQueue[Record | _Ended] = SimpleQueue()
        self._errors: dict[int, Exception] = {}

    def run(self, steps: Sequence[Step]) -> None:
        """Run every step, and publish what is decided before anything that could read it.

        Raises:
            FlowpipeError: what went wrong with the first step of the plan that failed; nothing was started since, and
                steps that were decided are published all the same.
        """
        self.planned, pending = len(steps), deque(steps)
        self._place = {step.name: place for place, step in enumerate(steps)}
        errands = Errands(self._shop, steps)
        try:
            while self._running or (pending and not self._errors):
                self._shop.stop.check()
                while not self._errors and (step := self._next(pending)):
                    self._start(step, errands)
                self._take()
                self._publish(self._due(pending[0] if pending and not self._errors else None))
        except BaseException as error:
            self._give_up(error)
            raise
        finally:
            self._publish(self._waiting)
        if self._errors:
            raise self._errors[min(self._errors)]

    def _next(self, pending: deque[Step]) -> Step | None:
        """Take the first step that may begin; None: none may now."""
        if len(self._running) >= self._workers:
            return None
        before = list(self._running.values())
        for step in islice(pending, _LOOK_AHEAD if self._workers > 1 else 1):
            if not any(_waits_for(step, other) for other in before):
                if any(_waits_for(step, other.step) for other in self._waiting):
                    self._publish(self._waiting)
                pending.remove(step)
                return None if self._errors else step
            before.append(step)
        return None

    def _start(self, step: Step, errands: Errands) -> None:
        shop = self._shop
        if step.action == "skip":
            self._end(step, 0.0, "skipped", step.reason)
            return
        shop.emit(StepStarted(shop.run, step.bound.name, str(step.slice), datetime.now(UTC), step.reason))
        self._running[step.name] = step
        if self._workers == 1:
            self._work(step, lambda: errands.run(step, shop))
            return
        own = replace(shop, emit=self._events.put)
        work = contextvars.copy_context().run, self._work, step, lambda: errands.run(step, own)
        threading.Thread(target=work[0], args=work[1:], name=step.name, daemon=True).start()

    def _work(self, step: Step, work: Callable[[], Decidable | tuple[str, ...]]) -> None:
        began = time.monotonic()
        result: Decidable | tuple[str, ...] | Exception
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - told by the main thread
            result = error
        self._events.put(_Ended(step, result, time.monotonic() - began))

    def _take(self) -> None:
        """Wait for one event, and take it in."""
        if not self._running:
            return
        patience = max(0.0, self._oldest + _LONGEST_WAIT - time.monotonic()) if self._waiting else None
        try:
            event = self._events.get(timeout=patience)
        except Empty:
            return
        # So that whatever ended is told of; the next check is near.
        with self._shop.stop.held_off():
            if isinstance(event, _Ended):
                self._settle(event)
            else:
                self._shop.emit(event)

    def _settle(self, event: _Ended) -> None:
        del self._running[event.step.name]
        if isinstance(event.result, Exception):
            self._failed(event.step, event.result, event.seconds)
        elif isinstance(event.result, Decidable):
            self._decide(event.step, event.result, event.seconds)
        else:
            self._end(event.step, event.seconds, "skipped", "; ".join(event.result))

    def _decide(self, step: Step, result: Decidable, seconds: float) -> None:
        try:
            self._publisher.decide(result.intent)
        except Exception as error:  # noqa: BLE001 - it is this step's failure
            self._failed(step, error, seconds)
            return
        self._waiting.append(_Waiting(step, result, seconds, time.monotonic()))

    def _failed(self, step: Step, caught: Exception, seconds: float) -> None:
        # Whatever a library makes of a signal in the middle of its work.
        error = self._shop.stop.interrupted or caught
        outcome: Outcome = "cancelled" if self._shop.stop.interrupted else outcome_of(error)
        self._end(step, seconds, outcome, None, self._shop.redact(str(error)))
        if error is not caught:
            error.__cause__ = caught.__cause__
        self._errors[self._place[step.name]] = error

    @property
    def _oldest(self) -> float:
        return min(each.since for each in self._waiting)

    def _due(self, following: Step | None) -> list[_Waiting]:
        """What of the decided is to be published now: in the order of the plan, unless a step holds up others."""
        if not self._waiting:
            return []
        if len(self._waiting) >= _MOST_WAITING or time.monotonic() - self._oldest >= _LONGEST_WAIT:
            return self._waiting
        first = min((self._place[name] for name in self._running), default=self.planned)
        turn = [each for each in self._waiting if self._place[each.step.name] < first]
        if following is None:
            return [] if self._running else turn
        return [each for each in turn if each.step.bound is not following.bound]

    def _give_up(self, error: BaseException) -> None:
        """Let what still runs unwind, after a signal, for as long as that may take."""
        self._shop.scheduler.wake()
        seconds: dict[str, float] = {}
        until = time.monotonic() + _UNWINDING
        while seconds.keys() != self._running.keys() and time.monotonic() < until:
            with suppress(Empty):
                event = self._events.get(timeout=0.1)
                if isinstance(event, _Ended):
                    seconds[event.step.name] = event.seconds
                    self._discard(event.result)
        for name, step in self._running.items():
            outcome: Outcome = "cancelled" if isinstance(error, Interrupted) else "failed"
            self._end(step, seconds.get(name, _UNWINDING), outcome, None, self._shop.redact(str(error)))

    def _discard(self, result: Decidable | tuple[str, ...] | Exception) -> None:
        """Remove what a step staged that came too late to be decided."""
        if isinstance(result, Decidable):
            for publication in result.intent.publications:
                with suppress(FlowpipeError, OSError):
                    self._shop.catalog.adapter(publication.dataset).discard(publication.staged)

    def _publish(self, due: Sequence[_Waiting]) -> None:
        """Publish decided steps; whatever is refused fails its own step."""
        if not due:
            return
        waiting = sorted(due, key=lambda each: self._place[each.step.name])
        self._waiting = [each for each in self._waiting if each not in due]
        began = time.monotonic()
        errors = self._publisher.publish([each.result.intent for each in waiting])
        share = (time.monotonic() - began) / len(waiting)
        for each, error in zip(waiting, errors, strict=True):
            if error is None:
                # Not before: what a live manifest names may lie here.
                shutil.rmtree(each.result.scratch, ignore_errors=True)
            told = self._shop.redact(str(error)) if error else None
            self._end(each.step, each.seconds + share, outcome_of(error), None, told)
            if error:
                self._errors[self._place[each.step.name]] = error

    def _end(
        self, step: Step, seconds: float, outcome: Outcome, reason: str | None = None, error: str | None = None
    ) -> None:
        run, part = self._shop.run, str(step.slice)
        ended = StepEnded(run, step.bound.name, part, datetime.now(UTC), seconds, outcome, reason, error)
        self._shop.emit(ended)
        self.ended.append(ended)


def outcome_of(error: BaseException | None) -> Outcome:
    """The word for how a step or run ended: one that took too long has failed."""
    if error is None:
        return "done"
    return "cancelled" if isinstance(error, Interrupted) and not isinstance(error, OutOfTime) else "failed"


def _waits_for(step: Step, earlier: Step) -> bool:
    """Whether a step must not begin before an earlier one is visible."""
    made = {write.dataset.name: write.dataset.config.mode for write in earlier.bound.writes}
    for read in step.bound.reads.values():
        if read.dataset.name in made:
            wanted, there = read_slice(read.dataset.config, step.slice).window, earlier.slice.window
            if wanted is None or there is None or wanted.overlaps(there) or step.bound is earlier.bound:
                return True
    if step.bound is earlier.bound and step.bound.increment:
        return True
    both = [write.dataset.name for write in step.bound.writes if write.dataset.name in made]
    return any(made[name] not in _IN_ANY_ORDER for name in both)
