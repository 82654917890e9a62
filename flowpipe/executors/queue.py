"""Which node runs when: one ready queue in the driver for all executors.

A node starts when its inputs are there; the latest ready one goes first, so that a branch is finished, and its values
freed, before the next is begun. The driver sleeps while nodes run. Nothing is recursive, so depth and width are free.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Literal

from flowpipe.config import RetryConfig
from flowpipe.errors import Interrupted
from flowpipe.executors import Call, Executor, NodeEnd, NodeProgress, NodeStart, Result


@dataclass(frozen=True, slots=True)
class Task:
    """A node to be run; `needs` are the nodes and given values that its function takes, by their names."""

    node: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    retry: RetryConfig


@dataclass(frozen=True, slots=True)
class Failure:
    """A node whose call ended with an error."""

    node: str
    error: BaseException
    attempts: int


class NodesFailed(Exception):
    """The first failure, and those of the nodes that were running meanwhile."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(", ".join(failure.node for failure in failures))
        self.failures = tuple(failures)


@dataclass(frozen=True, slots=True)
class Watch:
    """What the caller sees and does while nodes run, always in the driver's thread.

    `before` is called before a node starts and may raise to stop. `finish` takes a node and its value and gives the
    value that consumers get; what it raises is the node's failure.
    """

    before: Callable[[], None]
    finish: Callable[[str, Any], Any]
    progress: Callable[[NodeProgress], None]


def run(
    tasks: Sequence[Task], given: Mapping[str, Any], wanted: Collection[str], executor: Executor, watch: Watch
) -> dict[str, Any]:
    """Run tasks to the end; the values of the wanted nodes and given names.

    After the first failure nothing new starts, and what runs is waited for; after a signal it is given up.

    Raises:
        NodesFailed: nodes failed.
        Interrupted: Ctrl-C.
    """
    return _Run(tasks, given, wanted, executor, watch).values()


class _Run:
    def __init__(
        self,
        tasks: Sequence[Task],
        given: Mapping[str, Any],
        wanted: Collection[str],
        executor: Executor,
        watch: Watch,
    ) -> None:
        self._tasks = {task.node: task for task in tasks}
        self._values = dict(given)
        self._wanted = wanted
        self._executor = executor
        self._watch = watch
        self._missing = dict.fromkeys(self._tasks, 0)
        self._users: dict[str, list[str]] = {}
        for task in tasks:
            for need in task.needs:
                self._users.setdefault(need, []).append(task.node)
                self._missing[task.node] += need in self._tasks
        self._uses = {name: len(users) for name, users in self._users.items()}
        for name in wanted:
            self._uses[name] = self._uses.get(name, 0) + 1
        self._ready = [node for node in reversed(self._tasks) if not self._missing[node]]
        self._running: set[str] = set()
        self._results: dict[str, Result] = {}
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._failures: list[Failure] = []

    def values(self) -> dict[str, Any]:
        try:
            while (self._ready or self._running) and not self._failures:
                self._start()
                self._complete(self._ended.get())
        except KeyboardInterrupt:
            raise Interrupted(signal.SIGINT) from None
        except Interrupted:
            raise
        except BaseException:
            self._drain()
            raise
        self._drain()
        if self._failures:
            raise NodesFailed(self._failures)
        return {name: self._values[name] for name in self._wanted}

    def _start(self) -> None:
        while self._ready and len(self._running) < self._executor.slots:
            self._watch.before()
            task = self._tasks[self._ready.pop()]
            self._watch.progress(NodeStart(task.node, datetime.now(UTC)))
            arguments = {need: self._values[need] for need in task.needs}
            call = Call(task.node, task.function, arguments, task.retry)
            self._executor.submit(call, functools.partial(self._land, task.node))
            self._running.add(task.node)

    def _land(self, node: str, result: Result) -> None:
        """Take a result, on a thread of the executor."""
        self._results[node] = result
        self._ended.put(node)

    def _complete(self, node: str) -> None:
        result = self._take(node)
        value, error = result.value, result.error
        if isinstance(error, KeyboardInterrupt):
            raise error
        if error is None:
            try:
                value = self._watch.finish(node, value)
            except Exception as raised:  # noqa: BLE001 - it is this node's failure
                value, error = None, raised
        self._tell(node, result, value, error)
        if error is None:
            self._hand_on(node, value)

    def _hand_on(self, node: str, value: Any) -> None:
        if node in self._uses:
            self._values[node] = value
        for need in self._tasks[node].needs:
            self._uses[need] -= 1
            if not self._uses[need]:
                del self._values[need]
        for user in reversed(self._users.get(node, ())):
            self._missing[user] -= 1
            if not self._missing[user]:
                self._ready.append(user)

    def _drain(self) -> None:
        """Wait for what runs; results count, not the queue, because an interrupt may have swallowed an entry of it."""
        while self._running:
            landed = self._running & self._results.keys()
            for node in sorted(landed):
                result = self._take(node)
                self._tell(node, result, result.value, result.error)
            if not landed:
                self._ended.get()

    def _take(self, node: str) -> Result:
        self._running.remove(node)
        return self._results.pop(node)

    def _tell(self, node: str, result: Result, value: Any, error: BaseException | None) -> None:
        if error is not None:
            self._failures.append(Failure(node, error, result.attempts))
        outcome: Literal["done", "failed"] = "done" if error is None else "failed"
        self._watch.progress(NodeEnd(node, result.started_at, result.seconds, result.attempts, outcome, value))
