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
        # Numbers, not `Resources`: two of these for every node would be a tenth of what a node costs.
        self._calls = 0
        self._cpus = self._memory = self._gpus = 0.0
        self._waiting: dict[Callable[[], None], None] = {}

    def take(self, wanted: Resources, wake: Callable[[], None]) -> bool:
        """Take what a call needs, if it is free; else `wake` is called once when something was given back.

        What asks for more than there is runs alone, so that it runs at all.
        """
        with self._lock:
            there = self._executor.capacity
            fits = (
                self._cpus + wanted.cpus <= there.cpus
                and (not wanted.memory or self._memory + wanted.memory <= there.memory)
                and (not wanted.gpus or self._gpus + wanted.gpus <= there.gpus)
            )
            if fits or not self._calls:
                self._add(wanted, 1)
                return True
            self._waiting[wake] = None
            return False

    def give(self, back: Resources, wake: Callable[[], None]) -> None:
        """Give back what a call took; its own `wake` is left out, for it is awake."""
        with self._lock:
            self._add(back, -1)
            self._waiting.pop(wake, None)
            waiting, self._waiting = self._waiting, {}
        for other in waiting:
            other()

    def _add(self, resources: Resources, sign: int) -> None:
        self._calls += sign
        self._cpus += sign * resources.cpus
        self._memory += sign * resources.memory
        self._gpus += sign * resources.gpus
        if not self._calls:
            self._cpus = self._memory = self._gpus = 0.0  # parts of a CPU do not add up to exactly nothing
