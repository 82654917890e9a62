"""Rows that go, histories that grow, columns that change and what is done afterwards, through the command."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from flowpipe.partition import WHOLE
from flowpipe.project import Project
from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]
STORES = {
    "duckdb": "{adapter: duckdb, database: data/base.duckdb}",
    "delta": "{adapter: delta, url: data/lake}",
    "postgres": '{adapter: postgres, dsn: "${env:WAREHOUSE_DSN}", schema: "${env:WAREHOUSE_SCHEMA}"}',
}
DATABASES = ["duckdb", "postgres"]
GONE = "2 of 3 rows have a key that is not in the new rows and"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        for name, value in {**server.environment, "WAREHOUSE_SCHEMA": f"modes_{uuid.uuid4().hex[:8]}"}.items():
            monkeypatch.setenv(name, value)
    return str(request.param)


def copying(store: str, settings: str, rows: str) -> dict[str, str]:
    """Rows of a file, copied into a dataset with settings."""
    return {
        "conf/project.yml": "name: modes\n",
        "conf/profiles/dev.yml": f"stores:\n  here: {{adapter: files, url: data}}\n  there: {STORES[store]}\n",
        "conf/catalog.yml": (
            "rows: {store: here, path: rows.csv, options: {try_parse_dates: true}}\n"
            f"out: {{store: there, table: out, {settings}}}\n"
        ),
        "conf/pipelines/copy.yml": "modules: [same]\nwrites: [out]\n",
        "pipelines/same.py": "import polars as pl\n\n\ndef out(rows: pl.LazyFrame) -> pl.LazyFrame:\n    return rows\n",
        "data/rows.csv": rows,
    }


def ran(project: ProjectFolder, rows: str | None = None) -> None:
    """A run that ends well, of new rows if there are any."""
    if rows is not None:
        project.write({"data/rows.csv": rows})
    done = project.flowpipe("run")
    assert (done.code, done.err) == (0, ""), done.err


def refused(project: ProjectFolder, rows: str | None = None) -> tuple[int, list[str]]:
    """How a run ends that may not publish: exit code and errors."""
    if rows is not None:
        project.write({"data/rows.csv": rows})
    done = project.flowpipe("run")
    return done.code, done.err.splitlines()


def table(project: ProjectFolder, *columns: str) -> list[tuple[Any, ...]]:
    """All rows of the dataset as flowpipe reads them, in order."""
    catalog = Project.load(project.path).catalog
    dataset = catalog.dataset("out")
    adapter = catalog.adapter(dataset)
    frame = adapter.read(dataset, WHOLE, adapter.pin(dataset, WHOLE), project.path / "spool").collect()
    catalog.close()
    return frame.select(columns or frame.columns).sort(columns or frame.columns).rows()


def test_merge_deletes_what_is_marked_and_what_is_missing(empty_project: Make, store: str) -> None:
    settings = 'mode: merge, key: [id], order_by: at, delete_when: "op = D", missing: delete, max_deleted: "40%"'
    head = "id,at,op\n"
    project = empty_project(copying(store, settings, head + "".join(f"{key},5,I\n" for key in range(1, 6))))
    ran(project)
    ran(project, head + "1,4,D\n2,5,D\n3,6,U\n6,1,I\n7,1,D\n")
    now = [(1, 5, "I"), (3, 6, "U"), (6, 1, "I")]
    assert table(project, "id", "at", "op") == now
    assert refused(project, head + "1,9,U\n") == (
        3,
        [
            f"error: dataset out: {GONE} would be deleted, more than max_deleted: 40%",
            "  hint: nothing was published; look at the input, or raise `max_deleted`",
        ],
    )
    assert table(project, "id", "at", "op") == now
    project.write(copying(store, settings.replace("40%", "70%"), head + "1,9,U\n"))
    ran(project)
    assert table(project, "id", "at", "op") == [(1, 9, "U")]


def test_a_mark_in_a_column_that_is_not_there(empty_project: Make, store: str) -> None:
    project = empty_project(copying(store, 'mode: merge, key: [id], delete_when: "opp = D"', "id,op\n1,I\n"))
    assert refused(project) == (
        3,
        [
            (
                'error: pipelines/same.py:4: dataset out (node out): delete_when: unknown column "opp"; '
                'did you mean "op"? known: id, op'
            ),
            "  hint: return these columns, or mend the dataset in conf/catalog.yml",
        ],
    )


def test_a_history_over_three_runs_of_which_one_is_late(empty_project: Make, store: str) -> None:
    settings = "mode: snapshot, key: [id], track: [city], effective: since"
    head = "id,city,note,since\n"
    project = empty_project(copying(store, settings, head + "1,Berlin,a,2024-01-01\n2,Paris,a,2024-01-01\n"))
    ran(project)
    ran(project, head + "1,Rome,b,2024-01-20\n2,Paris,b,2024-01-20\n")
    ran(project, head + "1,Oslo,c,2024-01-10\n2,,c,2024-01-25\n")
    first, tenth, twentieth = (date(2024, 1, day) for day in (1, 10, 20))
    history = [
        (1, first, tenth, False, "Berlin", "a"),
        (1, tenth, twentieth, False, "Oslo", "c"),
        (1, twentieth, None, True, "Rome", "b"),
        (2, first, date(2024, 1, 25), False, "Paris", "a"),
        (2, date(2024, 1, 25), None, True, None, "c"),
    ]
    columns = ("id", "valid_from", "valid_to", "is_current", "city", "note")
    assert table(project, *columns) == history
    assert project.flowpipe("run", "--force").code == 0
    assert table(project, *columns) == history


def test_a_history_closes_what_is_missing(empty_project: Make, store: str) -> None:
    settings = "mode: snapshot, key: [id], missing: close, max_deleted: 1"
    project = empty_project(copying(store, settings, "id,city\n1,Berlin\n2,Paris\n3,Rome\n"))
    ran(project)
    ran(project, "id,city\n1,Berlin\n3,Oslo\n")
    ran(project, "id,city\n1,Berlin\n2,Paris\n3,Oslo\n")
    found = [
        (key, city, is_current) for key, _, city, is_current in table(project, "id", "valid_from", "city", "is_current")
    ]
    assert found == [
        (1, "Berlin", True), (2, "Paris", False), (2, "Paris", True), (3, "Rome", False), (3, "Oslo", True),
    ]  # fmt: skip
    assert refused(project, "id,city\n1,Berlin\n") == (
        3,
        [
            f"error: dataset out: {GONE} would be closed, more than max_deleted: 1",
            "  hint: nothing was published; look at the input, or raise `max_deleted`",
        ],
    )
    assert len(table(project)) == 5


def test_columns_that_come_and_go(empty_project: Make, store: str) -> None:
    project = empty_project(copying(store, "schema_change: replace", "id,day\n1,2024-01-05\n"))
    ran(project)
    ran(project, "name,id\nx,one\n")
    assert table(project, "name", "id") == [("x", "one")]
    project.write(copying(store, "mode: merge, key: [id], schema_change: add", "id,late\ntwo,true\n"))
    ran(project)
    assert table(project, "id", "name", "late") == [("one", "x", None), ("two", None, True)]
    code, errors = refused(project, "id,late\ntwo,2024-01-05\n")
    assert (code, errors[0]) == (
        3,
        (
            "error: pipelines/same.py:4: dataset out (node out): "
            "column late is Boolean in the table and Date in the new rows"
        ),
    )


@pytest.mark.parametrize("store", DATABASES, indirect=True)
def test_what_is_done_after_a_publish(empty_project: Make, store: str) -> None:
    doubling = 'after_publish: ["UPDATE out SET n = n * 2", "DELETE FROM out WHERE n > 100"]'
    project = empty_project(copying(store, doubling, "n\n1\n20\n80\n"))
    ran(project)
    assert table(project, "n") == [(2,), (40,)]
    ran(project)  # nothing is stale, so nothing is done again
    assert table(project, "n") == [(2,), (40,)]
    project.write(copying(store, 'after_publish: "UPDATE nowhere SET n = 1"', "n\n5\n"))
    code, errors = refused(project)
    assert code == 4
    assert "dataset out: statement 1 of after_publish failed, nothing was published: " in errors[0]
    assert "nowhere" in errors[0]
    assert errors[1] == "  hint: mend `UPDATE nowhere SET n = 1`"
    assert table(project, "n") == [(2,), (40,)]
