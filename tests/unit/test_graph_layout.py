"""Where the boxes and edges of a picture stand: nothing lies on anything else, at any size."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from flowpipe.picture.arrange import Frame, Line, Placed, Sheet, arrange, text_width
from flowpipe.picture.layered import Box, Link, Spacing, draw
from flowpipe.picture.parts import Edge, Group, Parts, Vertex

Area = tuple[float, float, float, float]  # left, top, right, bottom


def made(nodes: int, pipelines: int, seed: int = 1) -> Parts:
    """A project of this size: each pipeline reads some datasets of those before it and writes two."""
    chance = random.Random(seed)
    datasets = [f"dataset:raw_{number}" for number in range(3)]
    vertices = [Vertex(name, "dataset", name.partition(":")[2], "lake") for name in datasets]
    edges: list[Edge] = []
    groups = []
    for number in range(pipelines):
        group = f"pipeline_{number}"
        groups.append(Group(group, "by month"))
        inner: list[str] = []
        vertices.append(Vertex(f"param:{group}.limit", "param", "limit", "10", (), group))
        reads = chance.sample(datasets, min(3, len(datasets)))
        for index in range(nodes // pipelines):
            name = f"node:{group}.{'long_' * chance.randint(0, 4)}node_{index}"
            sources = [*reads[index : index + 1], *chance.sample(inner[-6:], min(len(inner), chance.randint(0, 3)))]
            edges += [Edge(source, name) for source in sources]
            edges += [Edge(f"param:{group}.limit", name)] if chance.random() < 0.2 else []
            inner.append(name)
            vertices.append(Vertex(name, "node", name.partition(".")[2], "", (), group))
        for index in range(2):
            dataset = f"dataset:{group}_{index}"
            vertices.append(Vertex(dataset, "dataset", dataset.partition(":")[2], "lake"))
            edges.append(Edge(inner[-1 - index * (len(inner) > 1)], dataset))
            datasets.append(dataset)
    return Parts("made", "", tuple(groups), tuple(vertices), tuple(edges))


def area(shape: Placed | Frame) -> Area:
    return shape.x, shape.y, shape.x + shape.width, shape.y + shape.height


def overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def ways(line: Line) -> list[Area]:
    """The level stretches of an edge and the rectangles in which it bends, a little smaller than they are."""
    found = [(start + 0.1, y - 0.1, end - 0.1, y + 0.1) for start, end, y in line.runs if end > start]
    for (_, end, y), (start, _, level) in zip(line.runs, line.runs[1:], strict=False):
        found.append((end + 0.1, min(y, level), start - 0.1, max(y, level) + 0.1))
    return found


def check(parts: Parts, sheet: Sheet) -> None:
    boxes = {box.vertex.id: area(box) for box in sheet.boxes}
    frames = {frame.group.name: area(frame) for frame in sheet.frames}
    assert min(left for left, *_ in [*boxes.values(), *frames.values()]) == 0
    assert boxes.keys() == {vertex.id for vertex in parts.vertices}
    assert [pair for pair in combinations(boxes, 2) if overlap(boxes[pair[0]], boxes[pair[1]])] == []
    assert [pair for pair in combinations(frames, 2) if overlap(frames[pair[0]], frames[pair[1]])] == []
    for vertex in parts.vertices:
        left, top, right, bottom = boxes[vertex.id]
        assert min(left, top) >= 0
        assert right <= sheet.width + 0.01
        assert bottom <= sheet.height + 0.01
        assert {name for name, frame in frames.items() if overlap(frame, boxes[vertex.id])} == {
            *([vertex.group] if vertex.group else [])
        }
        if vertex.group:
            frame = frames[vertex.group]
            assert frame[0] < left < right < frame[2]
            assert frame[1] + 30 < top < bottom < frame[3]
    assert {line.edge for line in sheet.lines} == {*parts.edges}
    for line in sheet.lines:
        source, target = boxes[line.edge.source], boxes[line.edge.target]
        start, end = line.runs[0], line.runs[-1]
        assert (start[0], end[1]) == pytest.approx((source[2], target[0]))
        assert source[1] < start[2] < source[3]
        assert target[1] < end[2] < target[3]
        assert [name for name, box in boxes.items() for way in ways(line) if overlap(way, box)] == []


@pytest.mark.parametrize(("nodes", "pipelines"), [(5, 1), (5, 3), (50, 6), (50, 1), (300, 24), (300, 1)])
def test_nothing_lies_on_anything_else(nodes: int, pipelines: int) -> None:
    parts = made(nodes, pipelines)
    check(parts, arrange(parts))


def test_what_reads_nothing_stands_at_the_left() -> None:
    vertices = (Vertex("pipeline:a", "pipeline", "a"), Vertex("dataset:b", "dataset", "b"))
    parts = Parts("made", "", (), vertices, (Edge("pipeline:a", "dataset:b"),))
    check(parts, arrange(parts))


def test_pipelines_alone_and_what_has_no_edges() -> None:
    parts = made(60, 12)
    whole = Parts("made", "", (), tuple(v for v in parts.vertices if not v.group), ())
    check(whole, arrange(whole))
    bottom = {box.y for box in arrange(whole).boxes}
    assert 1 < len(bottom) < len(whole.vertices)  # in rows, not in one column


def test_the_same_parts_stand_at_the_same_places() -> None:
    assert arrange(made(50, 6)) == arrange(made(50, 6))


def test_what_is_joined_in_a_row_is_level() -> None:
    boxes = [Box(name, 50, 30) for name in "abc"] + [Box("alone", 50, 80)]
    drawing = draw(boxes, [Link("a", "b"), Link("b", "c")], Spacing(40, 10))
    (route, other) = drawing.routes
    assert [y for _, _, y in (*route, *other)] == [route[0][2]] * 4
    assert [drawing.places[name][0] for name in "abc"] == [0, 90, 180]


def test_edges_do_not_cross_where_they_need_not() -> None:
    boxes = [Box(name, 50, 30) for name in "abcdABCD"]
    drawing = draw(boxes, [Link("a", "D"), Link("b", "C"), Link("c", "B"), Link("d", "A")], Spacing(40, 10))
    order = sorted(drawing.places, key=lambda name: drawing.places[name][1])
    assert [name for name in order if name in "ABCD"] == [
        {"a": "D", "b": "C", "c": "B", "d": "A"}[name] for name in order if name in "abcd"
    ]


def test_a_tree_in_any_order_has_no_crossing() -> None:
    links = [Link(f"n{number // 2}", f"n{number}") for number in range(2, 64)]
    names = [f"n{number}" for number in range(1, 64)]
    random.Random(3).shuffle(names)
    places = draw([Box(name, 50, 30) for name in names], links, Spacing(40, 10)).places
    columns: dict[float, list[tuple[float, float]]] = {}
    for link in links:
        columns.setdefault(places[link.target][0], []).append((places[link.source][1], places[link.target][1]))
    assert len(columns) == 5
    for ends in columns.values():
        assert [high for _, high in sorted(ends)] == sorted(high for _, high in ends)


def test_a_source_stands_beside_what_takes_it() -> None:
    boxes = [Box(name, 50, 30) for name in ("a", "b", "c", "param")]
    places = draw(boxes, [Link("a", "b"), Link("b", "c"), Link("param", "c")], Spacing(40, 10)).places
    assert places["param"][0] == places["b"][0]


def test_links_from_one_place_share_their_way() -> None:
    boxes = [Box(name, 50, 30) for name in ("a", "b", "c", "d")]
    links = [Link("a", "b"), Link("b", "c"), Link("c", "d"), Link("a", "d"), Link("a", "c")]
    routes = draw(boxes, links, Spacing(40, 10)).routes
    assert routes[3][1] == routes[4][1]  # past b


def test_text_has_room() -> None:
    assert (
        text_width("illi", 10)
        < text_width("name", 10)
        < text_width("NAME", 10)
        < text_width("\u6f22\u5b57\u6f22\u5b57", 10)
    )
