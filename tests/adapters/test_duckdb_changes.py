"""DuckDB: what a publish does to a table with columns, constraints and statements of its own, all or nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from flowpipe.adapters import Dataset, Held
from flowpipe.adapters.duckdb import DuckDB, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError, PublishError
from flowpipe.partition import WHOLE
from flowpipe.testing.suite import MONTHLY, Store, month, rows


def table(name: str = "delays", **config: Any) -> Dataset:
    return Dataset(name, DatasetConfig(store="warehouse", **{"table": name} | config))


def run_sql(store: Store, *statements: str) -> list[Any]:
    (store.folder / "data").mkdir(exist_ok=True)
    with duckdb.connect(str(store.folder / "data" / "w.duckdb")) as connection:
        return [connection.execute(statement).fetchall() for statement in statements]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(DuckDB(Options(database="data/w.duckdb"), tmp_path), tmp_path)


def refused(store: Store, dataset: Dataset, frame: pl.DataFrame, error: type[Exception] = DataError) -> str:
    """What is said of rows that cannot be published; the table and its state are as before."""
    before = store.read(dataset), store.held(dataset)
    with pytest.raises(error) as caught:
        store.publish(dataset, frame, fingerprint="refused", run="refused")
    after = store.read(dataset), store.held(dataset)
    assert (after[0].rows(), after[0].schema, after[1]) == (before[0].rows(), before[0].schema, before[1])
    return str(caught.value)


def test_numbers_grow_in_place(store: Store) -> None:
    small = {"a": pl.Int16, "b": pl.UInt32, "c": pl.Float32, "d": pl.Decimal(10, 2), "e": pl.Int64}
    big = {"a": pl.Int64, "b": pl.Int64, "c": pl.Float64, "d": pl.Decimal(14, 4), "e": pl.Int32}
    dataset = table(mode="append", schema_change="add", **MONTHLY)
    day = rows("2013-01", 1).select("day")
    store.publish(dataset, pl.DataFrame([[1, 1, 1, 1, 1]], small, orient="row").hstack(day), month("2013-01"))
    new = pl.DataFrame([[2**40, 2**40, 1e300, "0.0001", 1]], list(big), orient="row").cast(pl.Schema(big)).hstack(day)
    for name in ("a", "b", "c", "d"):
        assert store.adapter.widens(pl.Schema(small)[name], pl.Schema(big)[name])
    store.publish(dataset, new, month("2013-02"), run="run2")
    assert store.adapter.schema(dataset) == pl.Schema(big | {"e": pl.Int64, "day": pl.Date})
    assert store.read(dataset).sort("a").rows()[1][:4] == new.rows()[0][:4]
    text = new.with_columns(a=pl.lit("x"))
    with pytest.raises(DataError) as caught:
        store.publish(dataset, text, month("2013-03"), run="run3")
    assert str(caught.value) == 'column "a" is VARCHAR, in table delays it is BIGINT\n  hint: cast the column'


def test_a_column_that_others_need_cannot_grow(store: Store) -> None:
    run_sql(store, "CREATE TABLE delays (id INTEGER PRIMARY KEY, v INTEGER, w BIGINT GENERATED ALWAYS AS (v * 2))")
    dataset = table(mode="merge", key=["id"], schema_change="add")
    store.publish(dataset, pl.DataFrame({"id": [1], "v": [1]}, schema={"id": pl.Int32, "v": pl.Int32}))
    assert refused(store, dataset, pl.DataFrame({"id": [2], "v": [1]})) == (
        'column "id" of table delays cannot become BIGINT: Cannot change the type of a column that has a UNIQUE or '
        "PRIMARY KEY constraint specified\n  hint: alter the table by hand, or cast the column"
    )
    assert refused(store, dataset, pl.DataFrame({"id": [2], "V": [1]}).cast({"id": pl.Int32})) == (
        'column "V" is "v" in table delays, which DuckDB does not tell apart\n  hint: rename it'
    )
    assert refused(store, dataset, pl.DataFrame({"id": [2], "v": [1], "w": [2]}).cast(pl.Int32)) == (
        'column "w" of table delays is generated: rows cannot say what it is'
        "\n  hint: leave it out of the rows, and set `schema_change: add`"
    )
    grown = pl.DataFrame({"id": [2], "v": [3]}, schema={"id": pl.Int32, "v": pl.Int32})
    store.publish(dataset, grown, run="run2")
    assert run_sql(store, "FROM delays ORDER BY id") == [[(1, 1, 2), (2, 3, 6)]]


def test_overwrite_may_change_the_columns(store: Store) -> None:
    dataset = table(schema_change="replace", allow_empty=True)
    store.publish(dataset, rows("2013-01", 1, 2))
    run_sql(store, "ALTER TABLE delays ALTER id SET DEFAULT 7")
    store.publish(dataset, rows("2013-01", 3), run="run2")
    assert run_sql(store, "SELECT column_default FROM duckdb_columns() WHERE column_name = 'id'") == [[("7",)]]
    new = store.publish(dataset, pl.DataFrame({"day": ["x"], "n": [1.5]}), fingerprint="f3", run="run3")
    assert store.read(dataset).equals(pl.DataFrame({"day": ["x"], "n": [1.5]}))
    assert store.held(dataset) == Held(new.state)
    store.adapter.publish(new)
    assert store.read(dataset).rows() == [("x", 1.5)]


def test_a_table_that_is_made_anew_stays_when_the_publish_fails(store: Store) -> None:
    dataset = table(schema_change="replace", after_publish="SELEKT 1")
    store.publish(table(), rows("2013-01", 1, 2))
    said = refused(store, dataset, pl.DataFrame({"n": [1]}), PublishError)
    assert said == (
        "dataset delays: statement 1 of after_publish failed, nothing was published: "
        'Parser Error: syntax error at or near "SELEKT"\n  hint: mend `SELEKT 1`'
    )


def test_after_publish_commits_with_the_rows(store: Store) -> None:
    run_sql(store, "CREATE TABLE log (n BIGINT)")
    note = "INSERT INTO log SELECT count(*) FROM delays"
    dataset = table(after_publish=[note, "UPDATE delays SET id = id + 10; DELETE FROM delays WHERE id = 12"])
    published = store.publish(dataset, rows("2013-01", 1, 2))
    store.adapter.publish(published)
    assert run_sql(store, "FROM log", "SELECT id FROM delays") == [[(2,)], [(11,)]]
    assert store.held(dataset) == Held(published.state)
    failing = table(after_publish=[note, "INSERT INTO nowhere VALUES (1)"])
    assert refused(store, failing, rows("2013-01", 3, 4, 5), PublishError) == (
        "dataset delays: statement 2 of after_publish failed, nothing was published: Catalog Error: "
        "Table with name nowhere does not exist!\n  hint: mend `INSERT INTO nowhere VALUES (1)`"
    )
    assert run_sql(store, "FROM log") == [[(2,)]]


@pytest.mark.parametrize(
    ("columns", "frame", "said"),
    [
        (
            "id BIGINT NOT NULL, n BIGINT",
            {"id": [None, 2], "n": [1, 2]},
            "NOT NULL constraint failed: delays.id",
        ),
        (
            "id BIGINT, n BIGINT CHECK (n > 0)",
            {"id": [2], "n": [-1]},
            'CHECK constraint failed on table "delays" with expression CHECK((n > 0))',
        ),
        (
            "id BIGINT, n BIGINT UNIQUE",
            {"id": [2, 3], "n": [5, 5]},
            'PRIMARY KEY or UNIQUE constraint violation: duplicate key "5"',
        ),
    ],
)
def test_rows_that_break_a_rule_of_the_table_are_refused(store: Store, columns: str, frame: Any, said: str) -> None:
    run_sql(store, f"CREATE TABLE delays ({columns})", "INSERT INTO delays VALUES (1, 1)")
    frame = pl.DataFrame(frame, schema={"id": pl.Int64, "n": pl.Int64})
    wanted = f"dataset delays: table delays refuses the rows: {said}\n  hint: mend the rows, or the table"
    assert refused(store, table(), frame) == wanted


def test_rows_that_others_refer_to_cannot_go(store: Store) -> None:
    run_sql(
        store,
        "CREATE TABLE delays (id BIGINT PRIMARY KEY, n BIGINT)",
        "INSERT INTO delays VALUES (1, 1), (2, 2)",
        "CREATE TABLE child (id BIGINT REFERENCES delays(id))",
        "INSERT INTO child VALUES (1)",
    )
    hint = "DuckDB checks when a row goes, not at commit: drop the foreign key, or `mode: append`"
    for dataset in (table(), table(mode="merge", key=["id"])):
        assert refused(store, dataset, pl.DataFrame({"id": [1], "n": [3]})) == (
            "dataset delays: table delays refuses the rows: "
            'Violates foreign key constraint because key "id: 1" is still referenced '
            f"by a foreign key in a different table\n  hint: {hint}"
        )
    store.publish(table(mode="merge", key=["id"]), pl.DataFrame({"id": [2, 3], "n": [9, 9]}))
    assert store.read(table()).sort("id").rows() == [(1, 1), (2, 9), (3, 9)]


@pytest.mark.parametrize("columns", ["id BIGINT PRIMARY KEY, n BIGINT UNIQUE", "id BIGINT, n BIGINT, UNIQUE (n, id)"])
def test_keys_that_go_and_come_in_one_transaction(store: Store, columns: str) -> None:
    """Older DuckDB took the old row's key for taken; a killed process leaves a log that is read in the same way."""
    run_sql(store, f"CREATE TABLE delays ({columns})")
    first = pl.select(id=pl.int_range(50_000), n=pl.int_range(50_000))
    store.publish(table(), first)
    store.publish(table(), first.with_columns(n=pl.col("n").reverse()), run="run2")
    half = first.tail(25_000).with_columns(n=pl.col("n") - 25_000)
    store.publish(table(mode="merge", key=["id"], missing="delete", max_deleted="60%"), half, run="run3")
    assert store.read(table()).sort("id").equals(half)
    publishing = f"""
import duckdb, os, signal
c = duckdb.connect({str(store.folder / "data" / "w.duckdb")!r})
c.execute("BEGIN; DELETE FROM delays; INSERT INTO delays SELECT i, 9 + i FROM range(1000) t(i); COMMIT")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", publishing], check=False).returncode == -9
    assert store.ids(table()) == list(range(1000))
    store.publish(table(), first, run="run4")
    assert store.ids(table()) == list(range(50_000))


def test_defaults_fill_what_rows_lack(store: Store) -> None:
    run_sql(store, "CREATE TABLE delays (id BIGINT, source VARCHAR DEFAULT 'flowpipe')")
    store.publish(table(schema_change="add"), pl.DataFrame({"id": [1]}))
    assert store.read(table()).rows() == [(1, "flowpipe")]


def test_too_many_deleted_leave_the_table_as_it_was(store: Store) -> None:
    dataset = table(mode="merge", key=["id"], missing="delete", max_deleted=1)
    store.publish(dataset, rows("2013-01", 1, 2, 3))
    assert refused(store, dataset, rows("2013-01", 1)) == (
        "dataset delays: 2 of 3 rows have a key that is not in the new rows and would be deleted, "
        "more than max_deleted: 1\n  hint: nothing was published; look at the input, or raise `max_deleted`"
    )
    store.publish(dataset, rows("2013-01", 1, 2), run="run2")
    assert store.ids(dataset) == [1, 2]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            {"swap": True},
            (
                ("swap",), "swap is for postgres stores only",
                "remove it: readers of a DuckDB file see the old table until the transaction ends",
            ),
        ),
        (
            {"partition_by": ["day"]},
            (
                ("partition_by",), "partition_by is for delta stores only",
                "remove it: a DuckDB table has no folders",
            ),
        ),
        ({"mode": "snapshot"}, (("mode",), "snapshot needs a key", "add `key: [NAME]`")),
        (
            {"after_publish": "SELEKT 1"},
            (("after_publish",), 'Parser Error: syntax error at or near "SELEKT"', "mend `SELEKT 1`"),
        ),
        (
            {"after_publish": ["ANALYZE", "SELECT 1; COMMIT"]},
            (
                ("after_publish",), "after_publish runs in the transaction of the publish",
                "remove BEGIN, COMMIT and ROLLBACK",
            ),
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_here_is_said(store: Store, config: Any, problem: Any) -> None:
    assert list(store.adapter.check(table(**config), written=True)) == [problem]
    assert list(store.adapter.check(table(**config), written=False)) == []


def test_a_version_of_what_goes_by_key_is_that_of_all_slices(store: Store) -> None:
    dataset = table(mode="merge", key=["id"], **MONTHLY)
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    before = store.adapter.pin(dataset, month("2013-01")).version
    store.publish(dataset, rows("2013-02", 2), month("2013-02"))
    assert store.adapter.pin(dataset, month("2013-01")).version != before
    assert store.adapter.pin(dataset, WHOLE).version is not None
