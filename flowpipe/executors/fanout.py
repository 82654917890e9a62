"""Fan-outs while they run: the tasks of an item are made when there is room for them, results are put in order."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from flowpipe.executors import Gathered
from flowpipe.executors.task import Task

_SHOWN = 80


class Fanout:
    """One node that expanded: its items that wait, and what the tasks within it gave so far.

    Args:
        node: the one that expanded.
        tasks: what runs once per item, as templates.
        collected: the templates, or the node itself, whose values are wanted for all items.
        items: what it expanded to.
    """

    def __init__(self, node: str, tasks: Sequence[Task], collected: Collection[str], items: Sequence[Any]) -> None:
        self.node = node
        self._tasks = tasks
        self._own = {node, *(task.node for task in tasks)}
        self._waiting = enumerate(items)
        self._left = len(items) * len(tasks)
        self._values = {name: [None] * len(items) for name in collected}
        if node in self._values:
            self._values[node] = list(items)

    @property
    def is_done(self) -> bool:
        return not self._left

    def gathered(self) -> Iterator[tuple[str, Gathered]]:
        """What was collected, by name."""
        return ((name, Gathered(tuple(values))) for name, values in self._values.items())

    def outside(self) -> set[str]:
        """The values that the tasks of every item take besides their own."""
        return _outside(self.node, self._tasks)

    def open(self) -> tuple[int, Any] | None:
        """The next item and its number; None: all have been opened."""
        return next(self._waiting, None)

    def tasks(self, index: int) -> Iterator[tuple[str, Task]]:
        """The tasks of one item, by their templates' names."""
        for task in self._tasks:
            needs = {key: instance(need, index) if need in self._own else need for key, need in task.needs.items()}
            yield task.node, replace(task, node=instance(task.node, index), needs=needs)

    def take(self, name: str, index: int, value: Any) -> None:
        """The value of one template's task for one item."""
        self._left -= 1
        if name in self._values:
            self._values[name][index] = value


class Fanouts:
    """All fan-outs of one run of the queue; the one begun last goes first."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks: dict[str, list[Task]] = {task.node: [] for task in tasks if task.expands}
        for task in tasks:
            if task.within:
                self._tasks.setdefault(task.within, []).append(task)
        self._collected = {task.collects for task in tasks if task.collects}
        self._open: list[Fanout] = []
        self._at: dict[str, tuple[Fanout, str, int, str]] = {}

    def nodes(self) -> Iterator[tuple[str, set[str]]]:
        """The nodes that expand, or were given expanded, and the values that what is within takes besides its own."""
        for node, tasks in self._tasks.items():
            yield node, _outside(node, tasks)

    def begin(self, node: str, items: Sequence[Any]) -> Fanout | None:
        """A node expanded; its fan-out, if nothing is to be run for it."""
        tasks = self._tasks[node]
        collected = self._collected & {node, *(task.node for task in tasks)}
        fanout = Fanout(node, tasks, collected, items)
        if fanout.is_done:
            return fanout
        self._open.append(fanout)
        return None

    def open(self) -> tuple[str, Any, list[Task]] | None:
        """The next item, under the name that its tasks take it by, and these tasks; None: there is none."""
        while self._open:
            fanout = self._open[-1]
            if opened := fanout.open():
                index, item = opened
                tasks = []
                for name, task in fanout.tasks(index):
                    self._at[task.node] = fanout, name, index, _shown(item)
                    tasks.append(task)
                return instance(fanout.node, index), item, tasks
            self._open.pop()
        return None

    def end(self, node: str, value: Any) -> Fanout | None:
        """A node ended; the fan-out that is done by it."""
        if node not in self._at:
            return None
        fanout, name, index, _ = self._at.pop(node)
        fanout.take(name, index, value)
        return fanout if fanout.is_done else None

    def item(self, node: str) -> str | None:
        """The item that a node is at, as text."""
        return self._at[node][3] if node in self._at else None


def instance(name: str, index: int) -> str:
    """What a node is called for one item.

    >>> instance("score", 17)
    'score[17]'
    """
    return f"{name}[{index}]"


def _outside(node: str, tasks: Sequence[Task]) -> set[str]:
    return {need for task in tasks for need in task.needs.values()} - {node, *(task.node for task in tasks)}


def _shown(item: Any) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxother = _SHOWN
    text = " ".join(short.repr(item).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
