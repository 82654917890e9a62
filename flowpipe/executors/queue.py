"""Which node runs when: one ready queue in the driver for all executors.

A node starts when its inputs are there; the latest ready one goes first, so that a branch is finished, and its values
freed, before the next is begun. The driver sleeps while nodes run. Nothing is recursive, so depth and width are free.
"""

from __future__ import annotations

import contextvars
import functools
import heapq
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, Literal

from flowpipe.errors import Interrupted
from flowpipe.executors import Call, Executor, NodeEnd, NodeProgress, NodeStart, Remote, Resources, Result
from flowpipe.executors.capacity import Capacity
from flowpipe.executors.retry import Policy


@dataclass(frozen=True, slots=True)
class Task:
    """A node to be run; `needs` are the nodes and given values that its function takes, by its parameters.

    `timeout` bounds each attempt, in seconds. A node that `expands` gives a list: the tasks that are `within` it run once
    per item, and it stands for the item there. What a task outside `collects` of them, it gets for all items.
    """

    node: str
    function: Callable[..., Any]
    needs: Mapping[str, str]
    retry: Policy
    timeout: float | None = None
    takes: Resources = Resources()
    expands: bool = False
    within: str | None = None
    collects: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A node that ended with an error after so many attempts; `item` is the one of a fan-out that it was at."""

    node: str
    error: BaseException
    attempts: int
    worker: str | None = None
    item: str | None = None


class NodesFailed(Exception):
    """The first failure, and those of the nodes that were running meanwhile."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(", ".join(failure.node for failure in failures))
        self.failures = tuple(failures)


class NodeTimeout(TimeoutError):
    """A node took longer than its `timeout:`."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What the caller sees and does while nodes run, always in the driver's thread.

    `before` is called whenever the driver wakes up and may raise to stop. `finish` takes a node and its value and gives the
    value that consumers get; what it raises is the node's failure. It is called for the nodes of `finishes`, whose values
    are fetched for it. What `progress` sets of context variables, the node's function sees.
    """

    before: Callable[[], None]
    finish: Callable[[str, Any], Any]
    progress: Callable[[NodeProgress], None]
    finishes: Collection[str] = ()


class Scheduler:
    """One executor, shared by all the steps of a run; each step may run in a thread of its own."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self._capacity = Capacity(executor)
        self._active: dict[_Run, None] = {}

    def run(
        self, tasks: Sequence[Task], given: Mapping[str, Any], wanted: Collection[str], watch: Watch
    ) -> dict[str, Any]:
        """Run tasks to the end; the values of the wanted nodes and given names.

        After the first failure nothing new starts, and what runs is waited for; after a signal it is given up.

        Raises:
            NodesFailed: nodes failed.
            Interrupted: Ctrl-C, or what `watch` raised.
        """
        run = _Run(tasks, given, wanted, self.executor, self._capacity, watch)
        self._active[run] = None
        try:
            return run.values()
        finally:
            del self._active[run]

    def wake(self) -> None:
        """Let every step look at once whether it is to stop."""
        for run in list(self._active):
            run.wake()


@dataclass(slots=True)
class _Job:
    """A task from its first start to its end."""

    task: Task
    context: contextvars.Context
    started_at: datetime
    clock: float
    attempts: int = 0
    ticket: Any = None


class _Run:
    def __init__(
        self,
        tasks: Sequence[Task],
        given: Mapping[str, Any],
        wanted: Collection[str],
        executor: Executor,
        capacity: Capacity,
        watch: Watch,
    ) -> None:
        self._values = dict(given)
        self._wanted = wanted
        self._executor = executor
        self._capacity = capacity
        self._watch = watch
        self._tasks: dict[str, Task] = {}
        self._missing: dict[str, int] = {}
        self._users: dict[str, list[str]] = {}
        self._uses: dict[str, int] = dict.fromkeys(wanted, 1)
        self._ready: list[str] = []
        self._templates: dict[str, list[Task]] = {}
        self._collected: dict[str, None] = {}
        self._fanouts: list[Fanout] = []
        self._items: dict[str, tuple[Fanout, str, int, Any]] = {}
        self._jobs: dict[str, _Job] = {}
        self._running: set[str] = set()
        self._waiting: list[tuple[float, str]] = []
        self._deadlines: list[tuple[float, str, int]] = []
        self._results: dict[tuple[str, int], Result] = {}
        self._events: SimpleQueue[tuple[str, int] | None] = SimpleQueue()
        self._failures: list[Failure] = []
        for task in reversed(tasks):
            if task.within:
                self._templates.setdefault(task.within, []).insert(0, task)
            else:
                self._add(task)

    def wake(self) -> None:
        self._events.put(None)

    def values(self) -> dict[str, Any]:
        try:
            while not self._failures and (self._start() or self._running or self._waiting):
                self._turn()
            while self._running:
                self._turn()
        except BaseException as error:
            if not isinstance(error, (KeyboardInterrupt, Interrupted)):
                while self._running:
                    self._turn()
            for node in self._running:
                self._executor.cancel(self._jobs[node].ticket)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(signal.SIGINT) from None
            raise
        if self._failures:
            raise NodesFailed(self._failures)
        return {name: self._here(self._values[name]) for name in self._wanted}
