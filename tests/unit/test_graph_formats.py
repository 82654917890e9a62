"""A picture in each format: well formed, escaped, complete, the same every time."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from flowpipe.picture import Graph
from flowpipe.picture.arrange import text_width
from flowpipe.picture.parts import Edge, Group, Vertex

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</script><b>\"a\"&'b' #35;`c`{d}\x00"


@pytest.fixture
def graph() -> Graph:
    return Graph(
        "shop",
        "profile dev",
        (Group("clean", HOSTILE, (("nodes", "1"),)),),
        (
            Vertex("dataset:raw", "dataset", "raw", HOSTILE, (("columns", HOSTILE),)),
            Vertex("pipeline:after", "pipeline", "after", "2 nodes"),
            Vertex("param:clean.limit", "param", "limit", HOSTILE, (), "clean"),
            Vertex("given:clean.run_time", "given", "run_time", "", (), "clean"),
            Vertex("node:clean.typed", "node", "typed", "", (("about", "Types <them>."),), "clean"),
            Vertex("dataset:typed", "dataset", "typed"),
        ),
        (
            Edge("dataset:raw", "node:clean.typed", HOSTILE),
            Edge("param:clean.limit", "node:clean.typed"),
            Edge("given:clean.run_time", "node:clean.typed"),
            Edge("node:clean.typed", "dataset:typed"),
            Edge("dataset:typed", "pipeline:after"),
        ),
    )


def test_svg_is_xml_with_every_box_and_edge(graph: Graph) -> None:
    root = ElementTree.fromstring(graph.svg())
    drawn = [each.get("data-id") for each in root.iter(f"{SVG}g") if each.get("data-id")]
    assert sorted(map(str, drawn)) == sorted([*(v.id for v in graph.vertices), "pipeline:clean"])
    lines = [(each.get("data-from"), each.get("data-to")) for each in root.iter(f"{SVG}g") if each.get("data-from")]
    assert sorted(map(str, lines)) == sorted(str((edge.source, edge.target)) for edge in graph.edges)
    titles = [each.text for each in root.iter(f"{SVG}title")]
    assert "typed (node)\nabout: Types <them>." in titles
    assert f"raw (dataset)\ncolumns: {HOSTILE}".replace("\x00", "\ufffd") in titles
    legend = [text.text for each in root.findall(f"{SVG}g") for text in each.findall(f"{SVG}text")]
    assert legend == ["dataset", "pipeline", "node", "param", "given by the run"]


def test_svg_runs_nothing_and_fetches_nothing(graph: Graph) -> None:
    text = graph.svg()
    tags = {each.tag.removeprefix(SVG) for each in ElementTree.fromstring(text).iter()}
    assert tags == {"svg", "style", "rect", "g", "title", "path", "text", "tspan"}
    assert re.findall(r"(?:href|src|url|@import|http)[^\s]*", text) == ['http://www.w3.org/2000/svg"']
    assert "prefers-color-scheme:dark" in text


def test_texts_stay_in_their_boxes(graph: Graph) -> None:
    sizes = {"more": 11, "name": 13, "heading": 14}
    for group in ElementTree.fromstring(graph.svg()).iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        if not group.get("data-id") or rect is None:
            continue
        right = float(rect.get("x", 0)) + float(rect.get("width", 0))
        is_pill = group.get("class") in {"box param", "box given"}
        for text in group.findall(f"{SVG}text"):
            size = 12 if is_pill else sizes[text.get("class", "")]
            assert float(text.get("x", 0)) + text_width(text.text or "", size) <= right


def test_html_is_one_file_with_the_picture_its_data_and_its_script(graph: Graph) -> None:
    text = graph.html()
    assert graph.svg() in text
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    known = {entry["id"]: entry for entry in json.loads(found[1])}
    assert known["dataset:raw"]["facts"] == [["columns", HOSTILE]]
    assert known["pipeline:clean"]["facts"] == [["nodes", "1"]]
    assert "</script><b>" not in text
    assert re.findall(r'(?:src|href)=|url\(|@import|https?://(?!www\.w3\.org/2000/svg")', text) == []
    assert "{{" not in text


def test_mermaid_names_every_box_and_escapes_what_is_its_own(graph: Graph) -> None:
    hostile = "#60;/script#62;#60;b#62;#34;a#34;#38;'b' #35;35;#96;c#96;{d}\x00"
    assert graph.mermaid().splitlines() == [
        "%% shop, profile dev",
        "flowchart LR",
        f'  subgraph g0["clean \u00b7 {hostile}"]',
        f'    v2(["limit = {hostile}"]):::param',
        '    v3(["run_time"]):::given',
        '    v4["typed"]:::node',
        "  end",
        f'  v0[("raw<br/>{hostile}")]:::dataset',
        '  v1[["after<br/>2 nodes"]]:::pipeline',
        '  v5[("typed")]:::dataset',
        f'  v0 -->|"{hostile}"| v4',
        "  v2 -.-> v4",
        "  v3 -.-> v4",
        "  v4 --> v5",
        "  v5 --> v1",
        "  classDef group fill:#f7f9fb,stroke:#cfd8e1,color:#1b2733",
        "  class g0 group",
        "  classDef dataset fill:#e6f2fa,stroke:#0072b2,color:#1b2733",
        "  classDef pipeline fill:#eef1f4,stroke:#5b6876,color:#1b2733",
        "  classDef node fill:#ffffff,stroke:#008f68,color:#1b2733",
        "  classDef param fill:#fff3dc,stroke:#b36b00,color:#1b2733",
        "  classDef given fill:#fbeef6,stroke:#b0558a,color:#1b2733,stroke-dasharray:4 3",
    ]


def test_dot_quotes_every_text(graph: Graph) -> None:
    lines = graph.dot().splitlines()
    quoted = "</script><b>\\\"a\\\"&'b' #35;`c`{d}\ufffd"
    assert lines[0] == 'digraph "shop" {'
    assert f'  "dataset:raw" -> "node:clean.typed" [label="{quoted}"]' in lines
    assert '  "node:clean.typed" -> "dataset:typed"' in lines
    # Outside of strings there is nothing but DOT's own words.
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', "\n".join(lines))
    assert set(re.findall(r"[^\w\s]", bare)) <= set('{}[]"=->.')
    assert bare.count("{") == bare.count("}") == 2


def test_json_holds_all_parts(graph: Graph) -> None:
    text = graph.json()
    found = json.loads(text)
    assert text.count("\n") == 1
    assert found["title"] == "shop"
    assert [each["id"] for each in found["vertices"]] == [each.id for each in graph.vertices]
    assert found["edges"][1] == {"source": "param:clean.limit", "target": "node:clean.typed", "note": ""}
    assert found["groups"][0]["facts"] == [["nodes", "1"]]


def test_a_notebook_shows_the_picture(graph: Graph) -> None:
    assert graph.svg() in graph._repr_html_()


@pytest.mark.parametrize("form", ["svg", "html", "mermaid", "dot", "json"])
def test_the_same_graph_gives_the_same_text(graph: Graph, form: str) -> None:
    assert getattr(graph, form)() == getattr(Graph(**vars(graph)), form)()
