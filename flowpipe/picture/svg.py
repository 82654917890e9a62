"""A picture as SVG: one piece of XML without scripts and outside resources, for light and for dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from flowpipe.picture.arrange import MARGIN, Frame, Line, Placed, arrange, text_width
from flowpipe.picture.parts import KINDS, Facts, Kind, Parts, Vertex, printable

_TOP = 104.0  # title and legend
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

# Okabe and Ito's colours, which colour-blind people tell apart: line, fill, and both on a dark page.
_KINDS: dict[Kind, tuple[str, str, str, str]] = {
    "dataset": ("#0072b2", "#e6f2fa", "#56b4e9", "#0f2a3d"),
    "pipeline": ("#5b6876", "#eef1f4", "#93a3b5", "#1d2937"),
    "node": ("#008f68", "#ffffff", "#2fc79a", "#10201f"),
    "param": ("#b36b00", "#fff3dc", "#e69f00", "#2f2409"),
    "given": ("#b0558a", "#fbeef6", "#e29cc4", "#2f1a27"),
}
# Paper, ink, what is less important, the frame of a pipeline and its fill, links.
_PAGES = (
    ("#ffffff", "#1b2733", "#5c6a79", "#cfd8e1", "#f7f9fb", "#9aa8b6"),
    ("#0d1520", "#e8eef4", "#97a6b5", "#2c3b4b", "#131e2b", "#5d6f82"),
)


def svg(parts: Parts) -> str:
    """The picture; the same parts give the same text."""
    sheet = arrange(parts)
    width = max(sheet.width, _legend_width(parts), text_width(parts.title, 20)) + 2 * MARGIN
    height = sheet.height + _TOP + MARGIN
    size = f'viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}"'
    # Ends lie on each other: what is seen last is what matters most.
    lines = sorted(sheet.lines, key=lambda line: ("given", "param", "node", "dataset").index(_color(line)))
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="flowpipe-graph" {size} role="img"',
            f'aria-label="{_x(parts.title)}">',
            f"<style>{_css()}</style>",
            f'<rect class="paper" width="{_n(width)}" height="{_n(height)}"/>',
            f'<text class="title" x="{_n(MARGIN)}" y="36">{_x(parts.title)}</text>',
            f'<text class="more" x="{_n(MARGIN)}" y="55">{_x(parts.note)}</text>',
            *_legend(parts),
            f'<g transform="translate({_n(MARGIN)} {_n(_TOP)})">',
            *(_frame(frame) for frame in sheet.frames),
            *map(_line, lines),
            *(_box(placed) for placed in sheet.boxes),
            "</g>",
            "</svg>",
            "",
        )
    )


def _css() -> str:
    """The style sheet; colours are written out, for not every reader of SVG knows variables."""
    light, dark = ("".join(_colors(number)) for number in (0, 1))
    return f"""
.flowpipe-graph text{{font-family:{_FONT};font-size:11px}}
.flowpipe-graph .title{{font-size:20px;font-weight:650}}
.flowpipe-graph .name{{font-size:13px;font-weight:500}}
.flowpipe-graph .param .name,.flowpipe-graph .given .name{{font-size:12px;font-weight:400}}
.flowpipe-graph .heading{{font-size:14px;font-weight:650}}
.flowpipe-graph .line path{{fill:none;stroke-width:1.4}}
.flowpipe-graph .line .head{{stroke:none}}
.flowpipe-graph .box rect{{stroke-width:1.3}}
.flowpipe-graph .given rect{{stroke-dasharray:4 3}}
.flowpipe-graph .icon{{fill:none;stroke-width:1.3}}
.flowpipe-graph .line.param path,.flowpipe-graph .line.given path{{stroke-dasharray:3 3}}
{light}@media (prefers-color-scheme:dark){{
{dark}}}
"""


def _colors(page: int) -> Iterator[str]:
    paper, ink, less, frame, fill, link = _PAGES[page]
    root = ".flowpipe-graph"
    yield f"{root} .paper{{fill:{paper}}}\n{root} text{{fill:{ink}}}\n{root} .more{{fill:{less}}}\n"
    yield f"{root} .frame rect{{fill:{fill};stroke:{frame}}}\n"
    yield f"{root} .line path{{stroke:{link}}}\n{root} .line .head{{fill:{link}}}\n"
    for kind, colors in _KINDS.items():
        line, inside = colors[2 * page : 2 * page + 2]
        yield f"{root} .{kind} rect{{stroke:{line};fill:{inside}}}\n{root} .{kind} .icon{{stroke:{line}}}\n"
        yield f"{root} .{kind} .bar{{stroke:none;fill:{line}}}\n"
        if kind != "node":
            yield f"{root} .line.{kind} path{{stroke:{line}}}\n{root} .line.{kind} .head{{fill:{line}}}\n"


def _legend_width(parts: Parts) -> float:
    return sum(46 + text_width(KINDS[kind], 11) for kind in _kinds(parts))


def _kinds(parts: Parts) -> list[Kind]:
    found = {vertex.kind for vertex in parts.vertices}
    return [kind for kind in KINDS if kind in found]


def _legend(parts: Parts) -> Iterator[str]:
    x = MARGIN
    for kind in _kinds(parts):
        radius = 8 if kind in {"param", "given"} else 4
        yield (
            f'<g class="box {kind}"><rect x="{_n(x)}" y="70" width="24" height="16" rx="{radius}"/>'
            f'<text class="more" x="{_n(x + 31)}" y="82">{KINDS[kind]}</text></g>'
        )
        x += 46 + text_width(KINDS[kind], 11)


def _frame(frame: Frame) -> str:
    name = frame.group.name
    return (
        f'<g class="frame" data-id="pipeline:{_x(name)}">{_tip(f"{name} (pipeline)", frame.group.facts)}'
        f'<rect x="{_n(frame.x)}" y="{_n(frame.y)}" width="{_n(frame.width)}" height="{_n(frame.height)}" rx="10"/>'
        f'<text class="heading" x="{_n(frame.x + 14)}" y="{_n(frame.y + 22)}">{_x(name)}'
        f'<tspan class="more" dx="8" font-size="11" font-weight="400">{_x(frame.group.note)}</tspan></text></g>'
    )


def _color(line: Line) -> str:
    """Whose colour a line has: that of a dataset wherever one is at an end of it."""
    source, target = line.edge.source.partition(":")[0], line.edge.target.partition(":")[0]
    return "dataset" if target == "dataset" or source in {"before", "pipeline"} else source


def _line(line: Line) -> str:
    edge = line.edge
    said = f" ({edge.note})" if edge.note else ""
    tip = f"{_plain(edge.source)} \u2192 {_plain(edge.target)}{said}"
    return (
        f'<g class="line {_color(line)}" data-from="{_x(edge.source)}" data-to="{_x(edge.target)}">'
        f"<title>{_x(tip)}</title>"
        f'<path d="{_way(line)}"/><path class="head" d="{_head(line)}"/></g>'
    )


def _plain(vertex: str) -> str:
    return vertex.partition(":")[2]


def _way(line: Line) -> str:
    x, _, y = line.runs[0]
    steps = [f"M{_n(x)} {_n(y)}"]
    for number, (start, end, level) in enumerate(line.runs):
        is_last = number == len(line.runs) - 1
        if number:
            bend = (start - x) / 2
            steps.append(
                f"C{_n(x + bend)} {_n(y)} {_n(start - bend)} {_n(level)} {_n(start - 6 * is_last)} {_n(level)}"
            )
        x, y = end, level
        if end > start:
            steps.append(f"H{_n(end - 6 * is_last)}")
    return "".join(steps)


def _head(line: Line) -> str:
    _, x, y = line.runs[-1]
    return f"M{_n(x)} {_n(y)}l-8 -4v8z"


def _box(placed: Placed) -> str:
    vertex, x, y = placed.vertex, placed.x, placed.y
    middle = y + placed.height / 2
    pill = vertex.kind in {"param", "given"}
    size = f'width="{_n(placed.width)}" height="{_n(placed.height)}" rx="{_n(placed.height / 2 if pill else 6)}"'
    shapes = [f'<rect x="{_n(x)}" y="{_n(y)}" {size}/>']
    left = x + (12 if pill else 16)
    if vertex.kind == "dataset":
        shapes.append(_cylinder(x + 12, middle - 8))
        left = x + 34
    elif not pill:
        shapes.append(f'<path class="bar" d="M{_n(x + 5)} {_n(y + 7)}h3v{_n(placed.height - 14)}h-3z"/>')
    return (
        f'<g class="box {vertex.kind}" data-id="{_x(vertex.id)}">{_tip(_called(vertex), vertex.facts)}'
        f"{''.join(shapes)}{''.join(_texts(vertex.lines, left, middle))}</g>"
    )


def _called(vertex: Vertex) -> str:
    return f"{vertex.name} ({KINDS[vertex.kind]})"


def _texts(lines: Sequence[str], x: float, middle: float) -> Iterator[str]:
    if len(lines) == 1:
        yield f'<text class="name" x="{_n(x)}" y="{_n(middle + 4.5)}">{_x(lines[0])}</text>'
        return
    yield f'<text class="name" x="{_n(x)}" y="{_n(middle - 3)}">{_x(lines[0])}</text>'
    yield f'<text class="more" x="{_n(x)}" y="{_n(middle + 12.5)}">{_x(lines[1])}</text>'


def _cylinder(x: float, y: float) -> str:
    top = f"M{_n(x)} {_n(y + 3)}a6.5 3 0 0 1 13 0a6.5 3 0 0 1 -13 0"
    return f'<path class="icon" d="{top}v10a6.5 3 0 0 0 13 0v-10"/>'


def _tip(head: str, facts: Facts) -> str:
    text = "\n".join((head, *(f"{name}: {value}" for name, value in facts)))
    return f"<title>{_x(text)}</title>"


def _x(text: str) -> str:
    """Text as XML has it."""
    return escape(printable(text))


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
