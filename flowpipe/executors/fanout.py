"""One fan-out while it runs: an item's tasks are made when there is room for them, its results are put in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from flowpipe.executors import Gathered

_T = TypeVar("_T")


def instance(name: str, index: int) -> str:
    """What a node is called for one item.

    >>> instance("score", 17)
    'score[17]'
    """
    return f"{name}[{index}]"


class Fanout:
    """The items of an expanding node that wait, and what the tasks `within` it gave so far.

    Args:
        node: the expanding one.
        tasks: what runs once per item, as templates; each `queue.Task`.
        collected: the templates, or the node itself, whose values are wanted for all items.
    """

    def __init__(self, node: str, tasks: Sequence[Any], collected: Collection[str], items: Sequence[Any]) -> None:
        self.node = node
        self._tasks = tasks
        self._own = {node, *(task.node for task in tasks)}
        self._waiting = iter(enumerate(items)) if tasks else iter(())
        self._left = len(items) * len(tasks)
        self._values = {name: [None] * len(items) for name in collected}
        if node in self._values:
            self._values[node] = list(items)

    @property
    def is_done(self) -> bool:
        return not self._left

    @property
    def gathered(self) -> Iterator[tuple[str, Gathered]]:
        """What was collected, by name."""
        return ((name, Gathered(tuple(values))) for name, values in self._values.items())

    def outside(self) -> set[str]:
        """The values from outside that every item's tasks take."""
        return {need for task in self._tasks for need in task.needs.values()} - self._own

    def open(self) -> tuple[int, Any, list[Any]] | None:
        """The next item, its number, and its own tasks; None: all have been opened."""
        found = next(self._waiting, None)
        if found is None:
            return None
        index, item = found
        return index, item, [self._for_item(task, index) for task in self._tasks]

    def take(self, name: str, index: int, value: Any) -> None:
        """The value of one task for one item."""
        self._left -= 1
        if name in self._values:
            self._values[name][index] = value

    def _for_item(self, task: _T, index: int) -> _T:
        needs: Mapping[str, str] = task.needs  # type: ignore[attr-defined]  # a queue.Task, which is above
        own = {key: instance(need, index) if need in self._own else need for key, need in needs.items()}
        return dataclasses.replace(task, node=instance(task.node, index), needs=own)  # type: ignore[type-var,attr-defined]
