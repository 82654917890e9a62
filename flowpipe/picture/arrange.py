"""Where everything of a picture stands: each pipeline's nodes in columns, then pipelines and datasets in columns.

A pipeline is laid out by itself and becomes one box of the whole, with ports on its sides where datasets come in and
go out; so no box of another pipeline ever stands in it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flowpipe.picture.layered import Box, Drawing, Link, Run, Spacing, draw
from flowpipe.picture.parts import Edge, Group, Parts, Vertex

MARGIN, HEAD, PAD = 24.0, 34.0, 14.0
_INSIDE, _OUTSIDE = Spacing(36, 14), Spacing(40, 18)
_ROW = 1200.0  # boxes without edges fill rows of at least this width


@dataclass(frozen=True)
class Placed:
    """A vertex and its box."""

    vertex: Vertex
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Frame:
    """A pipeline and the box around its nodes."""

    group: Group
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """An edge and its way."""

    edge: Edge
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Sheet:
    """All that is drawn, from (0, 0) on."""

    boxes: tuple[Placed, ...]
    frames: tuple[Frame, ...]
    lines: tuple[Line, ...]
    width: float
    height: float


@dataclass(frozen=True)
class _Inside:
    """A pipeline laid out by itself; `ins` and `outs` are the heights of its ports, from its middle."""

    group: Group
    drawing: Drawing
    edges: tuple[Edge, ...]
    ins: Mapping[str, float]
    outs: Mapping[str, float]

    @property
    def width(self) -> float:
        inner = self.drawing.width + (0 if self.outs else PAD)
        return max(inner, text_width(self.group.name, 14) + text_width(self.group.note, 11) + 48)

    @property
    def height(self) -> float:
        return HEAD + self.drawing.height + PAD


def arrange(parts: Parts) -> Sheet:
    """Give all parts their places."""
    insides = {group.name: _inside(parts, group) for group in parts.groups}
    homes = {vertex.id: vertex.group for vertex in parts.vertices if vertex.group}
    boxes = {f"in {name}": Box(f"in {name}", i.width, i.height, floor=1) for name, i in insides.items()}
    for vertex in parts.vertices:
        if not vertex.group:
            boxes[vertex.id] = replace(_box(vertex), floor=int(vertex.kind == "pipeline"))
    links: dict[Link, None] = {}
    outer: list[tuple[Edge, Link]] = []
    for edge in parts.edges:
        source, target = homes.get(edge.source), homes.get(edge.target)
        if source is None or source != target:
            link = Link(
                f"in {source}" if source else edge.source,
                f"in {target}" if target else edge.target,
                insides[source].outs[edge.target] if source else 0,
                insides[target].ins[edge.source] if target else 0,
            )
            links[link] = None
            outer.append((edge, link))
    places, routes, width, height = _stacked(list(boxes.values()), list(links))
    sheet = _gathered(parts, insides, places, routes, outer)
    return Sheet(*sheet, width, height)


def _gathered(
    parts: Parts,
    insides: Mapping[str, _Inside],
    places: Mapping[str, tuple[float, float]],
    routes: Mapping[Link, tuple[Run, ...]],
    outer: Sequence[tuple[Edge, Link]],
) -> tuple[tuple[Placed, ...], tuple[Frame, ...], tuple[Line, ...]]:
    """The insides of pipelines set into their boxes, and each edge of one piece."""
    at, frames, lines = dict(places), [], []
    ways: dict[Edge, tuple[Run, ...]] = {}
    for name, inside in insides.items():
        x, y = places[f"in {name}"]
        frames.append(Frame(inside.group, x, y, inside.width, inside.height))
        # The last column is the right side, also where the heading is wider than the nodes.
        for id_, (dx, dy) in inside.drawing.places.items():
            at[id_] = x + dx, y + HEAD + dy
        for edge, runs in zip(inside.edges, inside.drawing.routes, strict=True):
            ways[edge] = tuple((x + start, x + end, y + HEAD + level) for start, end, level in runs)
    homes = {f"in {name}" for name in insides}
    for edge, link in outer:
        before = ways[edge] if link.source in homes else ()
        after = ways[edge] if link.target in homes else ()
        lines.append(Line(edge, _joined(before, routes[link], after)))
    crossing = {edge for edge, _ in outer}
    lines += [Line(edge, way) for edge, way in ways.items() if edge not in crossing]
    boxes = []
    for vertex in parts.vertices:
        box = _box(vertex)
        boxes.append(Placed(vertex, *at[vertex.id], box.width, box.height))
    return tuple(boxes), tuple(frames), tuple(lines)


def _joined(*pieces: tuple[Run, ...]) -> tuple[Run, ...]:
    """Pieces of a way that meet at the side of a pipeline, as one."""
    way: list[Run] = []
    for piece in pieces:
        if way and piece:
            way[-1] = (way[-1][0], piece[0][1], piece[0][2])
            way += piece[1:]
        else:
            way += piece
    return tuple(way)


def _inside(parts: Parts, group: Group) -> _Inside:
    mine = {vertex.id: vertex for vertex in parts.vertices if vertex.group == group.name}
    edges = tuple(edge for edge in parts.edges if edge.source in mine or edge.target in mine)
    # Names of ports cannot be those of vertices, which have no space before their colon.
    ins = {edge.source: f" in:{edge.source}" for edge in edges if edge.source not in mine}
    outs = {edge.target: f" out:{edge.target}" for edge in edges if edge.target not in mine}
    boxes = [replace(_box(vertex), floor=1) for vertex in mine.values()]
    boxes += [Box(port, 0, 8, pinned=True) for port in ins.values()]
    boxes += [Box(port, 0, 8, last=True) for port in outs.values()]
    links = [Link(ins.get(edge.source, edge.source), outs.get(edge.target, edge.target)) for edge in edges]
    drawing = draw(boxes, links, _INSIDE)
    middle = (HEAD + drawing.height + PAD) / 2

    def below_middle(port: str) -> float:
        return HEAD + drawing.places[port][1] + 4 - middle

    return _Inside(
        group,
        drawing,
        edges,
        {name: below_middle(port) for name, port in ins.items()},
        {name: below_middle(port) for name, port in outs.items()},
    )


def _stacked(
    boxes: Sequence[Box], links: Sequence[Link]
) -> tuple[dict[str, tuple[float, float]], dict[Link, tuple[Run, ...]], float, float]:
    """Each part of the graph that hangs together below the one before; at the end all that stands alone, in rows."""
    places: dict[str, tuple[float, float]] = {}
    routes: dict[Link, tuple[Run, ...]] = {}
    width = y = 0.0
    alone: list[Box] = []
    for members in _components(boxes, links):
        if len(members) == 1:
            alone += members
            continue
        names = {box.id for box in members}
        own = [link for link in links if link.source in names]
        drawing = draw(members, own, _OUTSIDE)
        left = min(x for x, _ in drawing.places.values())  # of pipelines that read nothing: their column is the second
        places |= {name: (x - left, y + dy) for name, (x, dy) in drawing.places.items()}
        for link, runs in zip(own, drawing.routes, strict=True):
            routes[link] = tuple((start - left, end - left, y + level) for start, end, level in runs)
        width, y = max(width, drawing.width - left), y + drawing.height + 2 * _OUTSIDE.boxes
    x = height = 0.0
    for box in alone:
        if x and x + box.width > max(width, _ROW):
            x, y, height = 0.0, y + height + _OUTSIDE.boxes, 0.0
        places[box.id] = x, y
        x, height = x + box.width + _OUTSIDE.boxes, max(height, box.height)
        width = max(width, x - _OUTSIDE.boxes)
    return places, routes, width, y + height - (0 if alone else 2 * _OUTSIDE.boxes)


def _components(boxes: Iterable[Box], links: Iterable[Link]) -> Iterator[list[Box]]:
    known = {box.id: box for box in boxes}
    near: dict[str, list[str]] = {name: [] for name in known}
    for link in links:
        near[link.source].append(link.target)
        near[link.target].append(link.source)
    seen: set[str] = set()
    for first in known:
        members, todo = [], [first]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                members.append(name)
                todo += near[name]
        if members:
            yield [known[name] for name in known if name in set(members)]


def _box(vertex: Vertex) -> Box:
    """How large a vertex is."""
    first, *rest = vertex.lines
    if vertex.kind in {"param", "given"}:
        return Box(vertex.id, text_width(first, 12) + 24, 24)
    text = max(text_width(first, 13), *(text_width(line, 11) for line in rest), 0)
    return Box(vertex.id, text + (44 if vertex.kind == "dataset" else 28), 46 if rest else 32)


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans serif font; rather too much."""
    return sum(_advance(character) for character in text) * size


def _advance(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    if character in "iljtfI.,:;|!'()[] ":
        return 0.36
    return 0.92 if character in "mwMW@%" else 0.72 if character.isupper() else 0.62
