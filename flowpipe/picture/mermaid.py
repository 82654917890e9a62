"""A picture as Mermaid's text, which GitHub, GitLab and many wikis draw."""

from __future__ import annotations

from collections.abc import Iterator

from flowpipe.picture.parts import Kind, Parts, Vertex

_SHAPES: dict[Kind, tuple[str, str]] = {
    "dataset": ("[(", ")]"),
    "pipeline": ("[[", "]]"),
    "node": ("[", "]"),
    "param": ("([", "])"),
    "given": ("([", "])"),
}
_STYLES: dict[Kind, str] = {
    "dataset": "fill:#e6f2fa,stroke:#0072b2,color:#1b2733",
    "pipeline": "fill:#eef1f4,stroke:#5b6876,color:#1b2733",
    "node": "fill:#ffffff,stroke:#008f68,color:#1b2733",
    "param": "fill:#fff3dc,stroke:#b36b00,color:#1b2733",
    "given": "fill:#fbeef6,stroke:#b0558a,color:#1b2733,stroke-dasharray:4 3",
}
# What Mermaid, or the HTML that it makes of labels, would read as its own.
_ESCAPED = {character: f"#{ord(character)};" for character in '#"&<>`\\'}


def mermaid(parts: Parts) -> str:
    """The picture; the same parts give the same text."""
    return "\n".join(_lines(parts)) + "\n"


def _lines(parts: Parts) -> Iterator[str]:
    ids = {vertex.id: f"v{number}" for number, vertex in enumerate(parts.vertices)}
    yield f"%% {_plain(f'{parts.title}, {parts.note}')}"
    yield "flowchart LR"
    for number, group in enumerate(parts.groups):
        heading = " \u00b7 ".join(filter(None, (group.name, group.note)))
        yield f'  subgraph g{number}["{_label(heading)}"]'
        yield from (f"    {_vertex(v, ids[v.id])}" for v in parts.vertices if v.group == group.name)
        yield "  end"
    yield from (f"  {_vertex(vertex, ids[vertex.id])}" for vertex in parts.vertices if not vertex.group)
    for edge in parts.edges:
        arrow = "-.->" if edge.source.startswith(("param:", "given:")) else "-->"
        note = f'|"{_label(edge.note)}"|' if edge.note else ""
        yield f"  {ids[edge.source]} {arrow}{note} {ids[edge.target]}"
    if parts.groups:
        yield "  classDef group fill:#f7f9fb,stroke:#cfd8e1,color:#1b2733"
        yield f"  class {','.join(f'g{number}' for number in range(len(parts.groups)))} group"
    kinds = {vertex.kind for vertex in parts.vertices}
    yield from (f"  classDef {kind} {style}" for kind, style in _STYLES.items() if kind in kinds)


def _vertex(vertex: Vertex, name: str) -> str:
    begin, end = _SHAPES[vertex.kind]
    return f'{name}{begin}"{_label(*vertex.lines)}"{end}:::{vertex.kind}'


def _label(*lines: str) -> str:
    return "<br/>".join("".join(_ESCAPED.get(c, c) for c in _plain(line)) for line in lines if line)


def _plain(text: str) -> str:
    return " ".join(text.split())
