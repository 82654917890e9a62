"""How a signal or a deadline ends a run: at once while nothing is decided, after the publish once it is."""

from __future__ import annotations

import contextvars
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TypeVar

from flowpipe.errors import DeadlinePassed, Interrupted

_T = TypeVar("_T")
_ENDS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether the run was told to stop, or took longer than its deadline."""

    def __init__(self, deadline: timedelta | None = None) -> None:
        self._deadline = deadline
        self._until: float | None = None
        self._number: int | None = None
        self._held_off = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn signals and the end of the deadline, which begins now, into `Interrupted` while the block runs.

        Only the main thread can; in any other one, `check` alone looks at the clock.
        """
        if self._deadline is not None:
            self._until = time.monotonic() + self._deadline.total_seconds()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _ENDS}
        try:
            with self._alarmed():
                yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Leave a first signal to the next `check` while the block runs; a second one takes effect at once."""
        before, self._held_off = self._held_off, True
        try:
            yield
        finally:
            self._held_off = before

    @property
    def interrupted(self) -> Interrupted | None:
        """The error that ends a run that was told to stop."""
        if self._number is not None:
            return Interrupted(self._number)
        if self._until is None or time.monotonic() < self._until:
            return None
        assert self._deadline is not None
        return DeadlinePassed(_told(self._deadline), _told(2 * self._deadline))

    def check(self) -> None:
        """Do nothing unless the run was told to stop.

        Raises:
            Interrupted: it was.
        """
        if error := self.interrupted:
            raise error

    @contextmanager
    def _alarmed(self) -> Iterator[None]:
        if self._deadline is None:
            yield
            return
        began, handled = time.monotonic(), signal.signal(signal.SIGALRM, self._on_alarm)
        # A timer of zero would never ring.
        left, again = signal.setitimer(signal.ITIMER_REAL, max(0.001, self._deadline.total_seconds()))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handled)
            if left:  # somebody else's, who also waited meanwhile
                signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - began)), again)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        is_first, self._number = self._number is None, number
        if not (self._held_off and is_first):
            raise Interrupted(number)
        if os.isatty(2):  # written as it is: the signal may have come in the middle of another text
            os.write(2, b"\nstopping as soon as what is decided is published; Ctrl-C again stops at once\n")

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        """A run that is ending already is left to it."""
        # The timer and this clock need not agree to the last microsecond.
        self._until = time.monotonic()
        if self._number is None and not self._held_off:
            self.check()


def _told(length: timedelta) -> str:
    """A length of time as it is written in YAML.

    >>> _told(timedelta(hours=2)), _told(timedelta(minutes=90)), _told(timedelta(seconds=1.5))
    ('2h', '90m', '1500ms')
    """
    for unit, size in (("h", timedelta(hours=1)), ("m", timedelta(minutes=1)), ("s", timedelta(seconds=1))):
        if length and not length % size:
            return f"{length // size}{unit}"
    return f"{length // timedelta(milliseconds=1)}ms"


def interruptibly(work: Callable[[], _T], seconds: float | None = None) -> _T:
    """Wait for work in a thread of its own: a signal is heard while waiting, but not while Polars works.

    Raises:
        TimeoutError: it takes longer than so many seconds; nothing can stop it.
    """
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    return outcome.result(seconds)
