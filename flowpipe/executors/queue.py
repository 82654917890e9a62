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
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

from flowpipe.errors import Interrupted
from flowpipe.executors import Call, Executor, NodeEnd, NodeStart, Remote, Result
from flowpipe.executors.capacity import Capacity
from flowpipe.executors.fanout import Fanout, Fanouts
from flowpipe.executors.task import Failure, NodesFailed, NodeTimeout, Task, Watch


@dataclass(slots=True)
class _Job:
    """A node from its first start to its end."""

    context: contextvars.Context
    started_at: datetime
    clock: float
    attempts: int = 0
    ticket: Any = None
    result: Result | None = None


class Run:
    """One computation; `values` runs it to its end."""

    def __init__(
        self,
        tasks: Sequence[Task],
        given: Mapping[str, Any],
        wanted: Collection[str],
        watch: Watch,
        *,
        executor: Executor,
        capacity: Capacity,
        here: str | None = None,
    ) -> None:
        self._values = dict(given)
        self._wanted = wanted
        self._executor = executor
        self._capacity = capacity
        self._own_name = here
        self._watch = watch
        self._tasks: dict[str, Task] = {}
        self._missing: dict[str, int] = {}
        self._users: dict[str, list[str]] = {}
        self._uses: dict[str, int] = dict.fromkeys(wanted, 1)
        self._ready: list[str] = []
        self._fanouts = Fanouts(tasks)
        self._jobs: dict[str, _Job] = {}
        self._running: set[str] = set()
        self._again: list[tuple[float, str]] = []
        self._limits: list[tuple[float, str, int]] = []
        self._results: dict[tuple[str, int], Result] = {}
        self._events: SimpleQueue[None] = SimpleQueue()
        self._failures: list[Failure] = []
        for task in reversed(tasks):
            if not task.within:
                self._add(task)
        for node, outside in self._fanouts.nodes():
            for need in outside:  # also while none of its items is there
                self._uses[need] = self._uses.get(need, 0) + 1
            if node in given:
                self._expand(node, given[node])

    def wake(self) -> None:
        self._events.put(None)

    def values(self) -> dict[str, Any]:
        try:
            while not self._failures and (self._start() or self._running or self._again):
                self._turn()
            self._drain()
        except KeyboardInterrupt:
            self._give_up()
            raise Interrupted(signal.SIGINT) from None
        except Interrupted:
            self._give_up()
            raise
        except BaseException:
            self._drain()
            raise
        if self._failures:
            raise NodesFailed(self._failures)
        return {name: self._here(self._values[name]) for name in self._wanted}

    def _add(self, task: Task) -> None:
        missing = 0
        for need in task.needs.values():
            self._uses[need] = self._uses.get(need, 0) + 1
            if need not in self._values:
                missing += 1
                self._users.setdefault(need, []).append(task.node)
        self._tasks[task.node] = task
        self._missing[task.node] = missing
        if not missing:
            self._ready.append(task.node)

    def _start(self) -> bool:
        """Start what is ready while there is room; whether anything is left to wait for."""
        while self._ready or self._open_item():
            task = self._tasks[self._ready[-1]]
            self._watch.before()  # may raise, so before anything is taken that other steps wait for
            if not self._capacity.take(task.settings.takes, self.wake):
                return True
            self._ready.pop()
            self._submit(task)
        return False

    def _open_item(self) -> bool:
        """Make the tasks of one more item of a fan-out: only when nothing else is ready, so that few are in flight."""
        opened = self._fanouts.open()
        if opened is None:
            return False
        name, item, tasks = opened
        self._values[name] = item
        for task in reversed(tasks):
            self._add(task)
        return True

    def _submit(self, task: Task) -> None:
        node = task.node
        job = self._jobs.get(node)
        arguments = {name: self._values[need] for name, need in task.needs.items()}
        if job is None:
            job = self._jobs[node] = _Job(contextvars.copy_context(), datetime.now(UTC), time.perf_counter())
            job.context.run(self._watch.progress, NodeStart(node, job.started_at, arguments))
        job.attempts += 1
        stays = not (task.expands or node in self._wanted or node in self._watch.finishes)
        self._running.add(node)
        if task.settings.timeout is not None:
            heapq.heappush(self._limits, (time.monotonic() + task.settings.timeout, node, job.attempts))
        done = functools.partial(self._land, (node, job.attempts))
        call = Call(node, task.function, arguments, stays, task.settings.takes)
        job.ticket = job.context.run(self._executor.submit, call, done)

    def _land(self, attempt: tuple[str, int], result: Result) -> None:
        """Take a result, on a thread of the executor."""
        self._results[attempt] = result
        self._events.put(None)

    def _turn(self) -> None:
        """Sleep until something happens, and take it in."""
        # Results count, not events: an interrupt may have swallowed one.
        if not self._results:
            with suppress(Empty):
                self._events.get(timeout=self._pause())
        while self._again and self._again[0][0] <= time.monotonic():
            self._ready.append(heapq.heappop(self._again)[1])
        for node, attempt in list(self._results):
            result = self._results.pop((node, attempt))
            if self._is_running(node, attempt):
                self._complete(node, result)
        while self._limits and self._limits[0][0] <= time.monotonic():
            _, node, attempt = heapq.heappop(self._limits)
            if self._is_running(node, attempt):
                self._executor.cancel(self._jobs[node].ticket)
                self._complete(node, self._too_long(node))
        self._watch.before()

    def _pause(self) -> float | None:
        """Seconds until something is due."""
        due = [at for at, *_ in self._again[:1]] + [at for at, *_ in self._limits[:1]]
        due += [] if self._watch.until is None else [self._watch.until]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _is_running(self, node: str, attempt: int) -> bool:
        """Whether an attempt is waited for: not one that was given up."""
        return node in self._running and self._jobs[node].attempts == attempt

    def _too_long(self, node: str) -> Result:
        limit = self._tasks[node].settings.timeout
        error = NodeTimeout(f"it took longer than its timeout of {limit:g} s")
        return Result(None, error, datetime.now(UTC), limit or 0)

    def _complete(self, node: str, result: Result) -> None:
        task, job = self._tasks[node], self._jobs[node]
        self._running.remove(node)
        self._capacity.give(task.settings.takes, self.wake)
        value, error = result.value, result.error
        if isinstance(error, KeyboardInterrupt):
            raise error
        if error is None and task.settings.timeout is not None and result.seconds > task.settings.timeout:
            error = self._too_long(node).error  # of an executor that could not be asked meanwhile
        if error is not None:
            pause = task.settings.retry.wait(error, job.attempts)
            if pause is not None and not self._failures:
                job.result = replace(result, value=None, error=error)
                heapq.heappush(self._again, (time.monotonic() + pause, node))
                return
        elif node in self._watch.finishes:
            try:
                value = self._watch.finish(node, value)
            except Exception as raised:  # noqa: BLE001 - it is this node's failure
                error = raised
        self._end(task, result, None if error else value, error)

    def _end(self, task: Task, result: Result, value: Any, error: BaseException | None) -> None:
        job = self._jobs.pop(task.node)
        once, worker = job.attempts == 1, result.worker or self._own_name
        event = NodeEnd(
            task.node,
            result.started_at if once else job.started_at,
            result.seconds if once else time.perf_counter() - job.clock,
            job.attempts,
            "failed" if error else "done",
            value,
            error,
            worker,
            result.warning,
        )
        job.context.run(self._watch.progress, event)
        del self._tasks[task.node], self._missing[task.node]
        if error is None:
            self._hand_on(task, value)
        else:
            item = self._fanouts.item(task.node)
            self._failures.append(Failure(task.node, error, job.attempts, worker, item))

    def _hand_on(self, task: Task, value: Any) -> None:
        if task.expands:
            if task.node in self._wanted:
                self._values[task.node] = value
            self._expand(task.node, value)
        else:
            self._deliver(task.node, value)
            self._gather(self._fanouts.end(task.node, value))
        for need in task.needs.values():
            self._release(need)

    def _expand(self, node: str, items: Sequence[Any]) -> None:
        self._gather(self._fanouts.begin(node, items))

    def _gather(self, done: Fanout | None) -> None:
        """Hand on what was collected of a fan-out that is done."""
        if done is not None:
            for name, gathered in done.gathered():
                self._deliver(name, gathered)
            for need in done.outside():
                self._release(need)

    def _deliver(self, name: str, value: Any) -> None:
        if name in self._uses:
            self._values[name] = value
        for user in self._users.pop(name, ()):
            self._missing[user] -= 1
            if not self._missing[user]:
                self._ready.append(user)

    def _release(self, name: str) -> None:
        self._uses[name] -= 1
        if not self._uses[name]:
            del self._values[name], self._uses[name]

    def _here(self, value: Any) -> Any:
        return self._executor.fetch(value) if isinstance(value, Remote) else value

    def _drain(self) -> None:
        """Wait for what runs; what was to be tried again has failed."""
        while self._running:
            self._turn()
        for _, node in self._again:
            if result := self._jobs[node].result:
                self._end(self._tasks[node], result, None, result.error)
        self._again.clear()

    def _give_up(self) -> None:
        for node in self._running:
            self._executor.cancel(self._jobs[node].ticket)
            self._capacity.give(self._tasks[node].settings.takes, self.wake)
        self._running.clear()
