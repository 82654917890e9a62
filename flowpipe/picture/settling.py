"""How high in its column each slot of a layered drawing stands: near what it is joined to, in order, apart.

A column whose order is given is an isotonic regression: slots that want places in the wrong order, or too near to each
other, become one block (pool adjacent violators). Means first give the whole its form, then medians make links level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

_TURNS = 30


@dataclass(eq=False)
class Slot:
    """A place in a column: of a box, or of links that pass."""

    height: float
    column: int
    box: str | None = None
    rank: int = 0
    y: float = 0.0
    left: list[Joint] = field(default_factory=list)
    right: list[Joint] = field(default_factory=list)

    def key(self, offset: float) -> float:
        """Where in the order of its column something stands."""
        return self.rank + 0.5 + 0.98 * offset / (self.height or 1)


@dataclass(frozen=True, eq=False)
class Joint:
    """A link, or a piece of one, between neighbouring columns."""

    source: Slot
    out: float
    target: Slot
    into: float

    @property
    def weight(self) -> float:
        """How much it should be straight: where links pass on both sides, most."""
        return (1.0, 3.0, 9.0)[(self.source.box is None) + (self.target.box is None)]


Grid = list[list[Slot]]

_Wish = tuple[float, float]  # where, how much


def settle(grid: Grid, gap: float) -> None:
    """Give every slot its height `y`, that of its middle; the uppermost begins at 0."""
    for column in grid:
        for offset, slot in _packed(column, gap):
            slot.y = offset
    for turn in range(2 * _TURNS):
        value = _mean if turn < _TURNS else _median
        one_side = turn < _TURNS // 2
        for column in grid if turn % 2 == 0 else reversed(grid):
            _place(column, gap, value, left=not one_side or turn % 2 == 0, right=not one_side or turn % 2 == 1)
    top = min((slot.y - slot.height / 2 for column in grid for slot in column), default=0)
    for column in grid:
        for slot in column:
            slot.y -= top


def _packed(column: Sequence[Slot], gap: float) -> Iterator[tuple[float, Slot]]:
    """Slots as near to each other as they may be."""
    end: float = 0.0
    before: bool | None = None
    for slot in column:
        # Links may pass nearer to each other than boxes stand.
        end += 0 if before is None else gap if slot.box or before else gap / 3
        yield end + slot.height / 2, slot
        end, before = end + slot.height, bool(slot.box)


def _place(
    column: Sequence[Slot], gap: float, value: Callable[[Sequence[_Wish]], float], *, left: bool, right: bool
) -> None:
    blocks: list[tuple[float, list[_Wish], list[tuple[float, Slot]]]] = []
    for offset, slot in _packed(column, gap):
        wishes = [*_wishes(slot, left=left, right=right)] or [(slot.y, 0.01)]
        mine = [(place - offset, weight) for place, weight in wishes]
        blocks.append((value(mine), mine, [(offset, slot)]))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            _, more, below = blocks.pop()
            _, wishes, slots = blocks.pop()
            blocks.append((value(wishes + more), wishes + more, slots + below))
    for start, _, slots in blocks:
        for offset, slot in slots:
            slot.y = start + offset


def _wishes(slot: Slot, *, left: bool, right: bool) -> Iterator[_Wish]:
    if left:
        yield from ((joint.source.y + joint.out - joint.into, joint.weight) for joint in slot.left)
    if right:
        yield from ((joint.target.y + joint.into - joint.out, joint.weight) for joint in slot.right)


def _mean(wishes: Sequence[_Wish]) -> float:
    return sum(place * weight for place, weight in wishes) / sum(weight for _, weight in wishes)


def _median(wishes: Sequence[_Wish]) -> float:
    """The weighted median; the middle between two that are as good."""
    ordered = sorted(wishes)
    half, passed = sum(weight for _, weight in ordered) / 2, 0.0
    for number, (place, weight) in enumerate(ordered):
        passed += weight
        if abs(passed - half) < 1e-9 and number + 1 < len(ordered):
            return (place + ordered[number + 1][0]) / 2
        if passed > half:
            return place
    return ordered[-1][0]
