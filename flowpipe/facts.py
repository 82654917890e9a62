"""The form of an explanation: what one thing is, as facts in the order in which people ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Fact:
    """One thing that is to be known, in one line or several."""

    label: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """What one thing is."""

    kind: Literal["dataset", "node", "pipeline", "error"]
    name: str
    facts: tuple[Fact, ...]


def known(facts: Iterable[tuple[str, Iterable[str] | str | None]]) -> tuple[Fact, ...]:
    """Facts of which there is something to say.

    >>> known([("mode", "merge"), ("key", None), ("used by", [])])
    (Fact(label='mode', lines=('merge',)),)
    """
    return tuple(_known(facts))


def _known(facts: Iterable[tuple[str, Iterable[str] | str | None]]) -> Iterator[Fact]:
    for label, said in facts:
        lines = (said,) if isinstance(said, str) else tuple(said or ())
        if lines:
            yield Fact(label, lines)
