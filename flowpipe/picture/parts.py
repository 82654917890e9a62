"""What a picture of a project shows: datasets, nodes and params as vertices, pipelines around them, and edges."""

from __future__ import annotations

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
Facts = tuple[tuple[str, str], ...]


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
        """Its text."""
        if self.kind == "param" and self.note:
            return (f"{self.name} = {self.note}",)
        return (self.name, self.note) if self.note else (self.name,)


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
