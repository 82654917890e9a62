"""How SIGINT and SIGTERM end a run: at once while nothing is decided, after the publish once it is."""

from __future__ import annotations

import contextvars
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from flowpipe.errors import Interrupted

_T = TypeVar("_T")


class Stop:
    """Whether the run was told to stop."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._held_off = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn signals into `Interrupted` while the block runs; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Leave a first signal to the next `check` while the block runs; a second one takes effect at once."""
        self._held_off = True
        try:
            yield
        finally:
            self._held_off = False

    @property
    def interrupted(self) -> Interrupted | None:
        """The error that ends a run that was told to stop."""
        return None if self._number is None else Interrupted(self._number)

    def check(self) -> None:
        """Do nothing unless the run was told to stop.

        Raises:
            Interrupted: it was.
        """
        if error := self.interrupted:
            raise error

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        is_first, self._number = self._number is None, number
        if not (self._held_off and is_first):
            raise Interrupted(number)


def interruptibly(work: Callable[[], _T]) -> _T:
    """Wait for work in a thread of its own: a signal is heard while waiting, but not while Polars works."""
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    return outcome.result()
