"""What the picture of a project shows: vertices of each kind, edges, stores, and nothing secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flowpipe.errors import ConfigError, UsageError
from flowpipe.picture import Graph
from flowpipe.picture.parts import Vertex
from flowpipe.project import Project
from tests.conftest import ProjectFolder

FILES = {
    "conf/project.yml": "name: shop\n",
    "conf/profiles/dev.yml": """
        stores:
          landing: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
        """,
    "conf/catalog.yml": """
        raw: {store: landing, path: "raw/${env:SHOP_FOLDER}.csv", schema: "rows:Raw"}
        events: {store: lake, table: events, mode: merge, key: [id], partition: {every: day, column: day}}
        history: {store: lake, table: history, schema: "rows:History", on_invalid: quarantine}
        summary: {store: lake, table: summary}
        spare: {store: landing, path: spare.csv}
        """,
    "conf/pipelines/ingest.yml": """
        modules: [ingest]
        params: {token: "${env:SHOP_TOKEN}", limit: 10}
        writes: {loaded: events}
        partitions: {every: day, start: 2024-01-01}
        """,
    "conf/pipelines/keep.yml": """
        modules: [keep]
        reads: {before: {dataset: history, trigger: false}}
        writes: [history]
        """,
    "conf/pipelines/report.yml": "modules: [report]\nwrites: [summary]\n",
    "pipelines/rows.py": """
        import pandera.polars as pa
        import polars as pl


        class Raw(pa.DataFrameModel):
            id: pl.Int64


        class History(pa.DataFrameModel):
            id: pl.Int64
            day: pl.Date
        """,
    "pipelines/ingest.py": """
        from datetime import datetime

        import polars as pl


        def typed(raw: pl.LazyFrame, token: str, size: int = 5) -> pl.LazyFrame:
            \"\"\"The rows as they came, <typed>.

            More is said here.
            \"\"\"
            return raw


        def loaded(typed: pl.LazyFrame, limit: int, run_time: datetime) -> pl.LazyFrame:
            return typed
        """,
    "pipelines/keep.py": """
        import polars as pl


        def history(before: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
            return before
        """,
    "pipelines/report.py": """
        import polars as pl
        from hamilton.htypes import Collect, Parallelizable


        def part() -> Parallelizable[int]:
            yield from range(3)


        def counted(part: int, history: pl.DataFrame) -> pl.DataFrame:
            return history.head(part)


        def summary(counted: Collect[pl.DataFrame]) -> pl.DataFrame:
            return pl.concat(counted)
        """,
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = ProjectFolder(tmp_path_factory.mktemp("shop")).write(FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_FOLDER", "private-folder")
        patch.setenv("SHOP_TOKEN", "hunter2")
        return Project.load(folder.path)


@pytest.fixture(scope="module")
def whole(shop: Project) -> Graph:
    return shop.graph()


def vertex(graph: Graph, name: str) -> Vertex:
    (found,) = (each for each in graph.vertices if each.id == name)
    return found


def edges(graph: Graph) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in graph.edges}


def test_a_small_project_shows_all_of_its_nodes(whole: Graph) -> None:
    assert (whole.title, whole.note) == ("shop", "profile dev \u00b7 3 pipelines, 5 datasets")
    assert [(group.name, group.note) for group in whole.groups] == [("ingest", "by day"), ("keep", ""), ("report", "")]
    assert edges(whole) == {
        ("dataset:raw", "node:ingest.typed"),
        ("param:ingest.token", "node:ingest.typed"),
        ("param:ingest.size", "node:ingest.typed"),
        ("node:ingest.typed", "node:ingest.loaded"),
        ("param:ingest.limit", "node:ingest.loaded"),
        ("given:ingest.run_time", "node:ingest.loaded"),
        ("node:ingest.loaded", "dataset:events"),
        ("before:history", "node:keep.history"),
        ("dataset:events", "node:keep.history"),
        ("node:keep.history", "dataset:history"),
        ("node:report.part", "node:report.counted"),
        ("dataset:history", "node:report.counted"),
        ("node:report.counted", "node:report.summary"),
        ("node:report.summary", "dataset:summary"),
    }
    ends = {end for edge in whole.edges for end in (edge.source, edge.target)}
    assert {each.id for each in whole.vertices} - ends == {"dataset:spare"}


def test_a_dataset_tells_its_store_and_what_becomes_of_its_rows(whole: Graph) -> None:
    assert vertex(whole, "dataset:history").note == "lake \u00b7 delta"
    assert vertex(whole, "dataset:spare").note == "landing \u00b7 files \u00b7 unused"
    assert dict(vertex(whole, "dataset:history").facts) == {
        "store": "lake",
        "table": "history",
        "mode": "overwrite",
        "schema": "rows:History",
        "invalid rows": "quarantine into history__rejected",
        "columns": "id Int64\nday Date",
        "written by": "keep",
        "read by": "keep, report",
    }
    events = dict(vertex(whole, "dataset:events").facts)
    assert (events["mode"], events["key"], events["partition"]) == ("merge", "id", "day by day")
    assert dict(vertex(whole, "dataset:raw").facts)["columns"] == "id Int64"


def test_a_node_tells_its_type_its_place_and_what_it_is(whole: Graph) -> None:
    assert dict(vertex(whole, "node:ingest.typed").facts) == {
        "about": "The rows as they came, <typed>.",
        "type": "polars.LazyFrame",
        "at": "pipelines/ingest.py:6",
    }
    assert dict(vertex(whole, "node:ingest.loaded").facts)["written to"] == "events"
    notes = [vertex(whole, f"node:report.{name}").note for name in ("part", "counted", "summary")]
    assert notes == ["one for each item", "for each of part", "all of counted"]


def test_a_param_tells_its_value_and_where_that_is_from(whole: Graph) -> None:
    limit, size = vertex(whole, "param:ingest.limit"), vertex(whole, "param:ingest.size")
    assert (limit.lines, dict(limit.facts)["from"]) == (("limit = 10",), "param")
    assert (size.lines, dict(size.facts)["from"]) == (("size = 5",), "default")
    assert vertex(whole, "given:ingest.run_time").lines == ("run_time",)


def test_what_a_pipeline_reads_and_writes_is_there_twice_and_no_circle(whole: Graph) -> None:
    before = vertex(whole, "before:history")
    assert (before.name, before.note) == ("history", "as it was before keep")
    (edge,) = (edge for edge in whole.edges if edge.source == "before:history")
    assert edge.note == "as before, no trigger"


def test_nothing_secret_shows(whole: Graph) -> None:
    for text in (whole.svg(), whole.html(), whole.mermaid(), whole.dot(), whole.json()):
        assert "hunter2" not in text
        assert "private-folder" not in text
    assert dict(vertex(whole, "dataset:raw").facts)["path"] == "raw/***.csv"
    assert vertex(whole, "param:ingest.token").lines == ("token = ***",)


def test_pipelines_are_boxes_of_their_own_where_that_is_asked_for(shop: Project) -> None:
    graph = shop.graph(level="pipelines")
    assert graph.groups == ()
    assert vertex(graph, "pipeline:ingest").note == "2 nodes \u00b7 by day"
    assert edges(graph) == {
        ("dataset:raw", "pipeline:ingest"),
        ("pipeline:ingest", "dataset:events"),
        ("dataset:events", "pipeline:keep"),
        ("before:history", "pipeline:keep"),
        ("pipeline:keep", "dataset:history"),
        ("dataset:history", "pipeline:report"),
        ("pipeline:report", "dataset:summary"),
    }


def test_one_pipeline_is_shown_with_those_that_write_and_read_what_it_does(shop: Project) -> None:
    graph = shop.graph("keep")
    assert graph.title == "shop: keep"
    assert [group.name for group in graph.groups] == ["keep"]
    assert {each.id for each in graph.vertices} == {
        "dataset:events",
        "dataset:history",
        "before:history",
        "pipeline:ingest",
        "pipeline:report",
        "node:keep.history",
    }
    assert ("pipeline:ingest", "dataset:events") in edges(graph)
    assert ("dataset:history", "pipeline:report") in edges(graph)


def test_a_large_project_shows_its_pipelines_first(empty_project: Callable[[dict[str, str]], ProjectFolder]) -> None:
    nodes = [
        f"def n{number}(n{number - 1}: pl.LazyFrame) -> pl.LazyFrame:\n    return n{number - 1}\n"
        for number in range(1, 62)
    ]
    folder = empty_project(
        {
            **{name: FILES[name] for name in ("conf/project.yml", "conf/profiles/dev.yml")},
            "conf/catalog.yml": "n0: {store: landing, path: n0.csv}\nn61: {store: landing, path: n61.csv}\n",
            "conf/pipelines/long.yml": "modules: [long]\nwrites: [n61]\n",
            "pipelines/long.py": "\n\n".join(["import polars as pl\n", *nodes]),
        }
    )
    project = Project.load(folder.path)
    assert [each.id for each in project.graph().vertices] == ["dataset:n0", "dataset:n61", "pipeline:long"]
    assert len(project.graph(level="nodes").vertices) == 63
    assert len(project.graph("long").vertices) == 63


def test_names_that_are_not_there(shop: Project) -> None:
    with pytest.raises(ConfigError) as unknown:
        shop.graph("kepe")
    assert str(unknown.value) == 'unknown pipeline "kepe"\n  hint: did you mean "keep"? known: ingest, keep, report'
    with pytest.raises(UsageError) as level:
        shop.graph(level="node")  # type: ignore[arg-type]  # the mistake
    assert str(level.value) == 'unknown level "node"\n  hint: did you mean "nodes"? known: nodes, pipelines'


def test_a_project_without_pipelines_has_a_picture_too(tmp_path: Path) -> None:
    names = ("conf/project.yml", "conf/profiles/dev.yml")
    folder = ProjectFolder(tmp_path).write({name: FILES[name] for name in names} | {"pipelines/a.py": ""})
    graph = Project.load(folder.path).graph()
    assert graph.note == "profile dev \u00b7 0 pipelines, 0 datasets"
    assert "shop" in graph.svg()
    assert graph.mermaid() == "%% shop, profile dev \u00b7 0 pipelines, 0 datasets\nflowchart LR\n"
