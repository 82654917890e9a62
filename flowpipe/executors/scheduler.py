"""One executor shared by all the steps of a run: what its calls take is counted once, and all can be woken."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flowpipe.executors import Executor
from flowpipe.executors.capacity import Capacity
from flowpipe.executors.queue import Run
from flowpipe.executors.task import Task, Watch


class Scheduler:
    """Runs the nodes of steps, each of which may be in a thread of its own, on one executor.

    `here` is what this process is called, where it is a worker itself.
    """

    def __init__(self, executor: Executor, here: str | None = None) -> None:
        self.executor = executor
        self._here = here
        self._capacity = Capacity(executor)
        self._active: dict[Run, None] = {}

    def run(
        self, tasks: Sequence[Task], given: Mapping[str, Any], wanted: Collection[str], watch: Watch
    ) -> dict[str, Any]:
        """Run tasks to the end; the values of the wanted nodes and given names.

        After the first failure nothing new starts, and what runs is waited for; after a signal it is given up.

        Raises:
            NodesFailed: nodes failed.
            Interrupted: Ctrl-C, or what `watch` raised.
        """
        run = Run(tasks, given, wanted, watch, executor=self.executor, capacity=self._capacity, here=self._here)
        self._active[run] = None
        try:
            return run.values()
        finally:
            del self._active[run]

    def wake(self) -> None:
        """Let every step that runs look at once whether it is to stop."""
        for run in list(self._active):
            run.wake()
