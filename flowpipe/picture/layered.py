"""Layered drawing (Sugiyama): boxes in columns, few crossings, links that pass between boxes and never through one.

The libraries for it are GPL (igraph, grandalf) or know neither boxes of different sizes nor places on their sides
(fast-sugiyama). Links that leave a box at one place share their way as far as they can, so a param that ten nodes take
is one line with ten ends.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from flowpipe.picture.settling import Grid, Joint, Slot, settle

_SWEEPS = 24
_LANE = 6.0  # what a link takes of a column that it passes

Point = tuple[float, float]
Run = tuple[float, float, float]
"""A level stretch of a link: from x, to x, at y; between two of them it bends."""


@dataclass(frozen=True)
class Box:
    """A box; it stands in column `floor` or to the right of it, `pinned` just there, `last` in the last column."""

    id: str
    width: float
    height: float
    floor: int = 0
    pinned: bool = False
    last: bool = False


@dataclass(frozen=True)
class Link:
    """From the right side of a box to the left side of another, so much below the middle of each."""

    source: str
    target: str
    out: float = 0
    into: float = 0


@dataclass(frozen=True)
class Spacing:
    """Distances: between columns at least, and between boxes of one."""

    columns: float
    boxes: float


@dataclass(frozen=True)
class Drawing:
    """The upper left corners of boxes, and the way of each link."""

    places: Mapping[str, Point]
    routes: tuple[tuple[Run, ...], ...]
    width: float
    height: float


def draw(boxes: Sequence[Box], links: Sequence[Link], spacing: Spacing) -> Drawing:
    """Give each box its place; links must make no circle."""
    columns = _columns(boxes, links)
    slots = {box.id: Slot(box.height, columns[box.id], box.id) for box in boxes}
    chains = _chains(links, slots)
    grid = _grid(slots.values())
    _order(grid)
    settle(grid, spacing.boxes)
    return _measured(grid, chains, {box.id: box for box in boxes}, slots, spacing)


def _columns(boxes: Sequence[Box], links: Sequence[Link]) -> dict[str, int]:
    """The column of each box: right of all it comes from, and not farther left of what takes it than it must be."""
    before: dict[str, list[str]] = {box.id: [] for box in boxes}
    after: dict[str, list[str]] = {box.id: [] for box in boxes}
    for link in links:
        before[link.target].append(link.source)
        after[link.source].append(link.target)
    known = {box.id: box for box in boxes}
    order = list(TopologicalSorter(before).static_order())
    column: dict[str, int] = {}
    for name in order:
        column[name] = max([known[name].floor, *(column[source] + 1 for source in before[name])])
    for name in reversed(order):
        if after[name] and not known[name].pinned:
            nearer = min(column[target] for target in after[name]) - 1
            reach = (
                max(column[other] for other in after[s] if other != name or len(after[s]) == 1) for s in before[name]
            )
            if all(far > nearer for far in reach):
                column[name] = nearer
    end = max([column[box.id] for box in boxes if not box.last], default=0) + 1
    return column | {box.id: end for box in boxes if box.last}


def _chains(links: Sequence[Link], slots: Mapping[str, Slot]) -> list[list[Joint]]:
    """The joints of each link; links that leave one place share those that they can."""
    lanes: dict[tuple[str, float, int], Slot] = {}
    joints: dict[tuple[Slot, float, Slot, float], Joint] = {}
    chains = []
    for link in links:
        here, out = slots[link.source], link.out
        chain = []
        for column in range(here.column + 1, slots[link.target].column + 1):
            is_end = column == slots[link.target].column
            lane = (link.source, link.out, column)
            there = slots[link.target] if is_end else lanes.setdefault(lane, Slot(_LANE, column))
            key = (here, out, there, link.into if is_end else 0.0)
            if key not in joints:
                joints[key] = joint = Joint(*key)
                here.right.append(joint)
                there.left.append(joint)
            chain.append(joints[key])
            here, out = there, 0.0
        chains.append(chain)
    return chains


def _grid(boxes: Iterable[Slot]) -> Grid:
    """All slots in their columns, at first in the order in which they are met from box to box."""
    met: dict[Slot, None] = {}
    for first in boxes:
        todo = [first]
        while todo:
            slot = todo.pop()
            if slot not in met:
                met[slot] = None
                todo += [*(joint.target for joint in slot.right), *(joint.source for joint in slot.left)]
    grid: Grid = [[] for _ in range(1 + max((slot.column for slot in met), default=-1))]
    for slot in met:
        slot.rank = len(grid[slot.column])
        grid[slot.column].append(slot)
    return grid


def _order(grid: Grid) -> None:
    """Put each column in the order of its neighbours, to and fro, and keep the order with the fewest crossings."""
    best, kept = _crossings(grid), [list(column) for column in grid]
    for turn in range(_SWEEPS):
        for column in grid if turn % 2 == 0 else reversed(grid):
            wanted = {slot: _mean(slot, to_left=turn % 2 == 0) for slot in column}
            _arrange(column, wanted)
        _swap(grid)
        found = _crossings(grid)
        if found < best:
            best, kept = found, [list(column) for column in grid]
    for column, order in zip(grid, kept, strict=True):
        column[:] = order
        _number(column)


def _mean(slot: Slot, *, to_left: bool) -> float | None:
    keys = [j.source.key(j.out) for j in slot.left] if to_left else [j.target.key(j.into) for j in slot.right]
    return sum(keys) / len(keys) if keys else None


def _arrange(column: list[Slot], wanted: Mapping[Slot, float | None]) -> None:
    """Sort a column; what wants nothing stays where it is."""
    asked = [(value, slot.rank, slot) for slot, value in wanted.items() if value is not None]
    moved = iter(sorted(asked, key=lambda entry: entry[:2]))
    column[:] = [slot if wanted[slot] is None else next(moved)[2] for slot in column]
    _number(column)


def _number(column: Sequence[Slot]) -> None:
    for rank, slot in enumerate(column):
        slot.rank = rank


def _swap(grid: Grid) -> None:
    """Exchange neighbours while that takes crossings away."""
    for column in grid:
        for rank in range(len(column) - 1):
            upper, lower = column[rank], column[rank + 1]
            if _between(upper, lower) > _between(lower, upper):
                column[rank : rank + 2] = lower, upper
                upper.rank, lower.rank = rank + 1, rank


def _between(upper: Slot, lower: Slot) -> int:
    """How many links of two slots cross when one is above the other."""
    found = 0
    for above, below in (
        ([j.source.key(j.out) for j in upper.left], [j.source.key(j.out) for j in lower.left]),
        ([j.target.key(j.into) for j in upper.right], [j.target.key(j.into) for j in lower.right]),
    ):
        ends = sorted(above)
        found += sum(len(ends) - bisect_right(ends, key) for key in below)
    return found


def _crossings(grid: Grid) -> int:
    found = 0
    for column in grid:
        ends: list[float] = []
        pairs = sorted((j.source.key(j.out), j.target.key(j.into)) for slot in column for j in slot.right)
        for _, end in pairs:
            found += len(ends) - bisect_right(ends, end)
            insort(ends, end)
    return found


def _measured(
    grid: Grid, chains: Sequence[Sequence[Joint]], boxes: Mapping[str, Box], slots: Mapping[str, Slot], spacing: Spacing
) -> Drawing:
    """Places and routes; a gap between columns is the wider the farther links in it rise or fall."""
    left, right = [0.0], []
    for column in grid:
        right.append(left[-1] + max((boxes[slot.box].width for slot in column if slot.box), default=0))
        rise = max((abs(j.source.y + j.out - j.target.y - j.into) for slot in column for j in slot.right), default=0)
        left.append(right[-1] + spacing.columns + min(0.15 * rise, 3 * spacing.columns))
    places = {name: (left[slot.column], slot.y - slot.height / 2) for name, slot in slots.items()}

    def route(chain: Sequence[Joint]) -> Iterator[Run]:
        first, *_, last = chain[0], chain[-1]
        begin = left[first.source.column] + boxes[first.source.box or ""].width
        yield begin, right[first.source.column], first.source.y + first.out
        for joint in chain[:-1]:
            yield left[joint.target.column], right[joint.target.column], joint.target.y
        yield left[last.target.column], left[last.target.column], last.target.y + last.into

    ends = [slot.y + slot.height / 2 for column in grid for slot in column]
    return Drawing(
        places, tuple(tuple(route(chain)) for chain in chains), right[-1] if right else 0, max(ends, default=0)
    )
