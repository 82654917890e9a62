"""What calls in flight take of an executor together, counted for all the steps of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flowpipe.executors import Executor, Resources


class Capacity:
    """Counts what is taken of an executor; whoever had to wait is told when something was given back."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._lock = threading.Lock()
        self._taken = Resources(0)
        self._calls = 0
        self._waiting: dict[Callable[[], None], None] = {}

    def take(self, wanted: Resources, wake: Callable[[], None]) -> bool:
        """Take what a call needs, if it is free; else `wake` is called once when something was given back.

        What asks for more than there is runs alone, so that it runs at all.
        """
        with self._lock:
            taken, there = self._taken, self._executor.capacity
            fits = (
                taken.cpus + wanted.cpus <= there.cpus
                and (not wanted.memory or taken.memory + wanted.memory <= there.memory)
                and (not wanted.gpus or taken.gpus + wanted.gpus <= there.gpus)
            )
            if fits or not self._calls:
                self._taken = _sum(taken, wanted, 1)
                self._calls += 1
                return True
            self._waiting[wake] = None
            return False

    def give(self, back: Resources) -> None:
        """Give back what a call took."""
        with self._lock:
            self._calls -= 1
            # Shares such as 0.1 do not add up to exactly what was there.
            self._taken = _sum(self._taken, back, -1) if self._calls else Resources(0)
            waiting, self._waiting = self._waiting, {}
        for wake in waiting:
            wake()


def _sum(one: Resources, other: Resources, sign: int) -> Resources:
    return Resources(one.cpus + sign * other.cpus, one.memory + sign * other.memory, one.gpus + sign * other.gpus)
