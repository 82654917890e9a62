"""What a picture of a project shows: datasets, nodes and params as vertices, pipelines around them, and edges."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["dataset", "pipeline", "node", "param", "given"]
KINDS: dict[Kind, str] = {
    "dataset": "dataset",
    "pipeline": "pipeline",
    "node": "node",
    "param": "param",
    "given": "given by the run",
}
_LONG = 46
Facts = tuple[tuple[str, str], ...]
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Vertex:
    """One box: `note` is its second line, or a param's value; `facts` are what is known of it beside that.

    `group` is the pipeline that it stands in.
    """

    id: str
    kind: Kind
    name: str
    note: str = ""
    facts: Facts = ()
    group: str | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Its text, of which very long lines lose their middle."""
        if self.kind == "param" and self.note:
            return (_shortened(f"{self.name} = {self.note}"),)
        return tuple(_shortened(line) for line in (self.name, self.note) if line)


@dataclass(frozen=True)
class Edge:
    """What flows from one vertex to another; `note` is said of it where the names do not tell all."""

    source: str
    target: str
    note: str = ""


@dataclass(frozen=True)
class Group:
    """A pipeline whose nodes are shown."""

    name: str
    note: str = ""
    facts: Facts = ()


@dataclass(frozen=True)
class Parts:
    """All of a picture; the edges make no circle."""

    title: str
    note: str
    groups: tuple[Group, ...]
    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]


def _shortened(text: str) -> str:
    """A text that is not too long for a box.

    >>> _shortened("customers_by_region_and_month_of_the_first_order_of_the_year")
    'customers_by_region_and_month\u2026rder_of_the_year'
    """
    return text if len(text) <= _LONG else f"{text[: 2 * _LONG // 3 - 1]}\u2026{text[-_LONG // 3 :]}"


def printable(text: str) -> str:
    """A text without the characters that neither XML nor DOT can hold."""
    return _UNPRINTABLE.sub("\ufffd", text)
