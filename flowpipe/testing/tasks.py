"""What the suites of executors are made of: tasks to run, and a log of what was told of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from flowpipe.executors import Executor, NodeEnd, NodeProgress, NodeStart
from flowpipe.executors.retry import Policy
from flowpipe.executors.scheduler import Scheduler
from flowpipe.executors.task import NodesFailed, Settings, Task, Watch
from flowpipe.running import RetryConfig

ONCE = RetryConfig()


SETTINGS = Settings(Policy(ONCE))


def task(
    node: str, function: Callable[..., Any], *needs: str, retry: RetryConfig = ONCE, timeout: float | None = None
) -> Task:
    return Task(node, function, dict(zip(needs, needs, strict=True)), Settings(Policy(retry), timeout))


def total(both: list[int]) -> int:
    return sum(both)


def count(items: list[int]) -> int:
    return len(items)


def fan_out(items: Sequence[int]) -> list[Task]:
    """`score` and `both` once per item, `total` and `count` of all."""
    return [
        Task("items", lambda: list(items), {}, SETTINGS, expands=True),
        Task("score", lambda items, k: items * k, {"items": "items", "k": "k"}, SETTINGS, within="items"),
        Task("both", lambda score, item: score + item, {"score": "score", "item": "items"}, SETTINGS, within="items"),
        Task("total", total, {"both": "both"}, SETTINGS, collects="both"),
        Task("count", count, {"items": "items"}, SETTINGS, collects="items"),
    ]


@dataclass
class Log:
    """Runs tasks and keeps what was told."""

    executor: Executor
    events: list[NodeProgress] = field(default_factory=list)
    finish: Callable[[str, Any], Any] = lambda node, value: value
    before: Callable[[], None] = lambda: None
    finishes: Collection[str] = ()

    def run(self, tasks: Sequence[Task], *wanted: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        watch = Watch(self.before, self.finish, self._tell, self.finishes)
        return Scheduler(self.executor).run(tasks, given or {}, wanted, watch)

    def _tell(self, event: NodeProgress) -> None:
        self.events.append(replace(event, value=None) if isinstance(event, NodeEnd) else replace(event, arguments={}))

    def failures(self, tasks: Sequence[Task], *wanted: str) -> list[tuple[str, str, int]]:
        with pytest.raises(NodesFailed) as caught:
            self.run(tasks, *wanted)
        return [(failure.node, repr(failure.error), failure.attempts) for failure in caught.value.failures]

    @property
    def started(self) -> list[str]:
        return [event.node for event in self.events if isinstance(event, NodeStart)]

    @property
    def ended(self) -> dict[str, str]:
        return {event.node: event.outcome for event in self.events if isinstance(event, NodeEnd)}


class ExecutorTests:
    """What every part of the suite needs of its user."""

    many = 5000
    patience = 1.0

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        raise NotImplementedError

    @pytest.fixture
    def log(self, executor: Executor) -> Log:
        return Log(executor)
