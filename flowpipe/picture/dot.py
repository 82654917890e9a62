"""A picture as DOT, for Graphviz and what reads its files."""

from __future__ import annotations

from collections.abc import Iterator

from flowpipe.picture.parts import Kind, Parts, Vertex, printable

_LOOKS: dict[Kind, str] = {
    "dataset": 'shape=cylinder fillcolor="#e6f2fa" color="#0072b2"',
    "pipeline": 'shape=component fillcolor="#eef1f4" color="#5b6876"',
    "node": 'shape=box style="rounded,filled" fillcolor="#ffffff" color="#008f68"',
    "param": 'shape=box style="rounded,filled" fillcolor="#fff3dc" color="#b36b00"',
    "given": 'shape=box style="rounded,filled,dashed" fillcolor="#fbeef6" color="#b0558a"',
}
_FRAME = 'style="rounded,filled" fillcolor="#f7f9fb" color="#cfd8e1"'


def dot(parts: Parts) -> str:
    """The picture; the same parts give the same text."""
    return "\n".join(_lines(parts)) + "\n"


def _lines(parts: Parts) -> Iterator[str]:
    yield f"digraph {_quoted(parts.title)} {{"
    yield f"  graph [rankdir=LR fontname=Helvetica labelloc=t label={_quoted(parts.title, parts.note)}]"
    yield "  node [style=filled fontname=Helvetica fontsize=11]"
    yield '  edge [color="#9aa8b6" arrowsize=0.7 fontname=Helvetica fontsize=9]'
    for group in parts.groups:
        yield f"  subgraph {_quoted(f'cluster_{group.name}')} {{"
        yield f"    graph [label={_quoted(group.name, group.note)} {_FRAME}]"
        yield from (f"    {_vertex(vertex)}" for vertex in parts.vertices if vertex.group == group.name)
        yield "  }"
    yield from (f"  {_vertex(vertex)}" for vertex in parts.vertices if not vertex.group)
    for edge in parts.edges:
        label = f" [label={_quoted(edge.note)}]" if edge.note else ""
        yield f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{label}"
    yield "}"


def _vertex(vertex: Vertex) -> str:
    tip = "\n".join(f"{name}: {value}" for name, value in vertex.facts)
    return f"{_quoted(vertex.id)} [label={_quoted(*vertex.lines)} tooltip={_quoted(tip)} {_LOOKS[vertex.kind]}]"


def _quoted(*lines: str) -> str:
    """A string of DOT's; its lines are below each other."""
    text = printable("\n".join(line for line in lines if line))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
