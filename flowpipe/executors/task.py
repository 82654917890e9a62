"""What the queue is given, and what it gives: nodes to be run, who watches them, how they failed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowpipe.executors import ONE_CPU, NodeProgress, Resources
from flowpipe.executors.retry import Policy


@dataclass(frozen=True, slots=True)
class Settings:
    """How a node is run; `timeout` bounds each attempt, in seconds, `takes` is what it needs of a machine."""

    retry: Policy
    timeout: float | None = None
    takes: Resources = ONE_CPU


@dataclass(frozen=True, slots=True)
class Task:
    """A node to be run; `needs` are the nodes and given values that its function takes, by its parameters.

    A node that `expands` gives a list: the tasks that are `within` it run once
    per item, and it stands for the item there. What a task outside `collects` of them, it gets for all items.
    """

    node: str
    function: Callable[..., Any]
    needs: Mapping[str, str]
    settings: Settings
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

    `before` is called whenever the driver wakes up and may raise to stop. `finish` takes a node and its value and gives
    the value that consumers get; what it raises is the node's failure. It is called for the nodes of `finishes`, whose
    values are fetched for it. What `progress` sets of context variables, the node's function sees. At `until`, of the
    monotonic clock, the driver wakes up.
    """

    before: Callable[[], None]
    finish: Callable[[str, Any], Any]
    progress: Callable[[NodeProgress], None]
    finishes: Collection[str] = ()
    until: float | None = None
