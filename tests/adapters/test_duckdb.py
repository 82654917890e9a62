"""DuckDB: tables, queries, one file open at a time, and types that come back whole or not at all."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowpipe.adapters import Dataset, Held, Missing
from flowpipe.adapters.duckdb import DuckDB, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError, FlowpipeError, PublishError
from flowpipe.partition import WHOLE, of_key, of_window, parse
from flowpipe.testing.suite import MONTHLY, AdapterSuite, Store, month, rows, staged_nothing, state


def table(name: str = "delays", **config: Any) -> Dataset:
    return Dataset(name, DatasetConfig(store="warehouse", **{"table": name} | config))


def query(sql: str, **config: Any) -> Dataset:
    return Dataset("report", DatasetConfig(store="warehouse", query=sql, **config))


def run_sql(store: Store, *statements: str) -> list[Any]:
    with duckdb.connect(str(store.folder / "data" / "w.duckdb")) as connection:
        return [connection.execute(statement).fetchall() for statement in statements]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(DuckDB(Options(database="data/w.duckdb"), tmp_path), tmp_path)


class TestDuckDB(AdapterSuite):
    changed = "its row count is 1, 2 was published"
    gone = "the table is gone"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(DuckDB(Options(database="data/w.duckdb"), tmp_path), tmp_path)

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        return table(name, **config)

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        run_sql(store, f"DELETE FROM {dataset.config.table} WHERE id = 1")

    def drop(self, store: Store, dataset: Dataset) -> None:
        run_sql(store, f"DROP TABLE {dataset.config.table}")

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        return config.model_copy(update={"table": f"delays_{mode}"})


def test_a_table_may_be_in_a_schema_and_have_any_name(store: Store) -> None:
    dataset = table("daily", table='sales."odd name')
    store.publish(dataset, rows("2013-01", 1))
    assert run_sql(store, 'SELECT id FROM sales."""odd name"') == [[(1,)]]
    assert store.ids(dataset) == [1]


def test_merge_keeps_the_newest_row_of_a_key(store: Store) -> None:
    dataset = table(mode="merge", key=["k"], order_by="at")
    store.publish(dataset, pl.DataFrame({"k": ["a", "b", "c"], "v": [1, 1, 1], "at": [5, 5, None]}))
    new = pl.DataFrame({"k": ["a", "b", "c", "d", "e"], "v": [2, 2, 2, 2, 2], "at": [6, 4, 1, 1, None]})
    store.publish(dataset, new, fingerprint="f2", run="run2")
    assert store.read(dataset).sort("k").rows() == [
        ("a", 2, 6), ("b", 1, 5), ("c", 2, 1), ("d", 2, 1), ("e", 2, None),
    ]  # fmt: skip
    store.publish(dataset, pl.DataFrame({"k": ["a"], "v": [3], "at": [None]}, schema=new.schema), run="run3")
    assert store.read(dataset).filter(k="a").rows() == [("a", 2, 6)]


def test_merge_works_on_a_table_with_a_primary_key(store: Store) -> None:
    dataset = table(mode="merge", key=["id"])
    (store.folder / "data").mkdir()
    run_sql(
        store, "CREATE TABLE delays (id BIGINT PRIMARY KEY, day DATE)", "INSERT INTO delays VALUES (1, '2012-01-01')"
    )
    store.publish(dataset, rows("2013-01", 1, 2))
    assert store.read(dataset).sort("id")["day"].to_list() == [date(2013, 1, 1), date(2013, 1, 1)]


def test_replace_by_key(store: Store) -> None:
    dataset = table("delays__rejected", mode="replace", partition={"every": "day", "column": "slice"})
    for key, texts in (("2013-01", ["x", "y"]), ("it's", ["z"]), ("2013-01", ["w"])):
        frame = pl.DataFrame({"slice": [key] * len(texts), "row": texts})
        store.publish(dataset, frame, of_key(key), run=f"run-{texts[0]}")
    assert store.read(dataset).sort("row").rows() == [("2013-01", "w"), ("it's", "z")]
    assert store.read(dataset, of_key("it's")).rows() == [("it's", "z")]
    assert not store.adapter.is_empty(dataset, of_key("2013-01"))
    assert store.adapter.is_empty(dataset, of_key("2013-02"))


@pytest.mark.parametrize(
    ("dtype", "zone", "inside"),
    [
        (pl.Date(), "UTC", [datetime(2013, 1, 1), datetime(2013, 1, 31)]),
        (pl.Datetime("us"), "Europe/Berlin", [datetime(2013, 1, 1), datetime(2013, 1, 31, 23, 59)]),
        (pl.Datetime("ns"), "UTC", [datetime(2013, 1, 1), datetime(2013, 1, 31, 23, 59)]),
        (pl.Datetime("us", "UTC"), "Europe/Berlin", [datetime(2012, 12, 31, 23), datetime(2013, 1, 31, 22, 59)]),
    ],
)
def test_windows_cut_dates_wall_clocks_and_instants(
    store: Store, dtype: Any, zone: str, inside: list[datetime]
) -> None:
    dataset = table(mode="replace", partition={"every": "month", "column": "at", "timezone": zone})
    january = of_window(parse("2013-01", "month", zone))
    outside = [inside[0] - timedelta(days=1), inside[1] + timedelta(days=1)]
    everything = pl.Series("at", [*inside, *outside]).cast(dtype).to_frame()
    store.publish(table(), everything)
    assert store.read(dataset, january)["at"].to_list() == everything["at"].head(2).to_list()
    store.publish(dataset, everything.head(1), january, run="run2")
    assert sorted(store.read(dataset)["at"].to_list()) == sorted(everything["at"].gather([0, 2, 3]).to_list())


def test_a_column_that_tells_no_window_is_refused(store: Store) -> None:
    dataset = table(mode="replace", partition={"every": "month", "column": "id"})
    store.publish(table(), rows("2013-01", 1))
    with pytest.raises(DataError) as caught:
        store.publish(dataset, rows("2013-01", 1), month("2013-01"), run="run2")
    assert str(caught.value) == 'the partition column "id" is BIGINT, not a date or a timestamp'
    gone = table(mode="replace", partition={"every": "month", "column": "dya"})
    with pytest.raises(DataError) as caught:
        store.adapter.pin(gone, month("2013-01"))
    expected = 'there is no partition column "dya"\n  hint: see `partition:` of the dataset'
    assert str(caught.value) == expected
    with pytest.raises(DataError) as caught:
        store.publish(table(), rows("2013-01", 1), month("2013-01"), run="run2")
    expected = "no column tells the rows of slice 2013-01\n  hint: see `partition:` of the dataset"
    assert str(caught.value) == expected
    assert store.ids(table()) == [1]


def test_a_slice_is_appended_once_even_by_another_fingerprint(store: Store) -> None:
    dataset = table(mode="append", **MONTHLY)
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    with pytest.raises(PublishError) as caught:
        store.publish(dataset, rows("2013-01", 2), month("2013-01"), fingerprint="f2", run="run2")
    assert str(caught.value) == (
        "delays (2013-01) was already appended by run run1; a slice is never appended twice\n"
        "  hint: delete its rows and append under another slice, or use `mode: replace`"
    )
    run_sql(store, "DELETE FROM delays")
    assert store.held(dataset, month("2013-01")) == Held(state("delays", month("2013-01"), 1))
    run_sql(store, "DROP TABLE delays")
    assert store.held(dataset, month("2013-01")).changed == "the table is gone"
    store.publish(dataset, rows("2013-01", 3), month("2013-01"), run="run2")
    assert store.ids(dataset) == [3]


def test_a_table_made_anew_forgets_the_slices_of_the_old_one(store: Store) -> None:
    dataset = table(mode="replace", **MONTHLY)
    for key in ("2013-01", "2013-02"):
        store.publish(dataset, rows(key, 1), month(key))
    run_sql(store, "DROP TABLE delays")
    store.publish(dataset, rows("2013-01", 1), month("2013-01"), run="run2")
    assert store.held(dataset, month("2013-02")) == Held()


def test_publishing_one_window_does_not_hide_what_happened_to_another(store: Store) -> None:
    dataset = table(mode="replace", **MONTHLY)
    january, february = month("2013-01"), month("2013-02")
    for part in (january, february):
        store.publish(dataset, rows(part.key, 1, 2), part)
    run_sql(store, "DELETE FROM delays WHERE id = 1 AND day = '2013-02-01'")
    assert store.held(dataset, february).changed == "its row count is 1, 2 was published"
    assert store.held(dataset, january).changed is None
    again = store.publish(dataset, rows("2013-01", 1, 2), january, run="run2")
    assert store.held(dataset, january) == Held(again.state)
    assert store.held(dataset, february).changed == "its row count is 1, 2 was published"
    store.publish(dataset, rows("2013-02", 1, 2), february, run="run2")
    assert store.held(dataset, february).changed is None


def test_slices_that_share_rows_are_counted_together(store: Store) -> None:
    dataset = table(mode="merge", key=["id"], **MONTHLY)
    january, february = month("2013-01"), month("2013-02")
    store.publish(dataset, rows("2013-01", 1, 2), january)
    store.publish(dataset, rows("2013-02", 2, 3), february)
    assert [store.held(dataset, part).changed for part in (january, february)] == [None, None]
    run_sql(store, "DELETE FROM delays WHERE id = 3")
    assert store.held(dataset, january).changed == "its row count is 2, 3 was published"
    store.publish(dataset, rows("2013-02", 2, 3), february, run="run2")
    assert store.held(dataset, february).changed is None
    assert store.held(dataset, january).changed == "the table was changed by somebody else"


@pytest.mark.parametrize("mode", ["overwrite", "merge", "snapshot"])
def test_a_row_that_somebody_changed_is_noticed(store: Store, mode: str) -> None:
    dataset = table(mode=mode, key=["id"] if mode != "overwrite" else [], schema_change="add")
    store.publish(dataset, rows("2013-01", 1, 2))
    changing = "UPDATE delays SET day = day + 1 WHERE id = 1"
    run_sql(store, changing)
    assert store.held(dataset).changed == "its rows were changed by somebody else"
    run_sql(store, "UPDATE delays SET day = day - 1 WHERE id = 1")
    assert store.held(dataset).changed is None
    run_sql(store, changing)
    again = store.publish(dataset, rows("2013-01", 1, 2).with_columns(late=True), run="run2")
    assert store.held(dataset) == Held(again.state)


def test_a_column_that_is_added_changes_no_other_window(store: Store) -> None:
    dataset = table(mode="replace", schema_change="add", **MONTHLY)
    january, february = month("2013-01"), month("2013-02")
    store.publish(dataset, rows("2013-01", 1), january)
    store.publish(dataset, rows("2013-02", 1).with_columns(late=True), february)
    assert [store.held(dataset, part).changed for part in (january, february)] == [None, None]
    run_sql(store, "UPDATE delays SET id = 7 WHERE late")
    assert store.held(dataset, february).changed == "its rows were changed by somebody else"
    run_sql(store, "ALTER TABLE delays DROP COLUMN day")
    assert store.held(dataset, february).changed is None  # its next publish says what is wrong


def test_windows_that_after_publish_may_change_are_counted(store: Store) -> None:
    dataset = table(mode="replace", after_publish="UPDATE delays SET id = (SELECT count(*) FROM delays)", **MONTHLY)
    january, february = month("2013-01"), month("2013-02")
    for part in (january, february):
        store.publish(dataset, rows(part.key, 1), part)
    assert [store.held(dataset, part).changed for part in (january, february)] == [None, None]


def test_states_of_an_older_flowpipe_or_duckdb_are_counted_only(store: Store) -> None:
    first = store.publish(table(), rows("2013-01", 1, 2))
    update = "UPDATE delays SET id = id + 1"
    run_sql(store, "UPDATE _flowpipe_state SET contents = '2 1 1.0.0'", update)
    assert store.held(table()) == Held(first.state)
    run_sql(store, "ALTER TABLE _flowpipe_state DROP COLUMN contents", update)
    assert store.held(table()) == Held(first.state)
    store.publish(table("other"), rows("2013-01", 1))
    assert store.held(table()) == Held(first.state)
    again = store.publish(table(), rows("2013-01", 1, 2), run="run2")
    assert store.held(table()) == Held(again.state)
    run_sql(store, update)
    assert store.held(table()).changed == "its rows were changed by somebody else"


def test_columns_are_added_only_where_that_is_allowed(store: Store) -> None:
    store.publish(table(), rows("2013-01", 1))
    more = rows("2013-01", 2).drop("day").with_columns(late=pl.lit(True))
    with pytest.raises(DataError) as caught:
        store.publish(table(), more, run="run2")
    assert str(caught.value) == 'column "late" is not in table delays\n  hint: set `schema_change: add`'
    with pytest.raises(DataError) as caught:
        store.publish(table(), more.select("id"), run="run2")
    assert str(caught.value) == (
        'column "day" of table delays is not in the new rows\n  hint: set `schema_change: add`'
    )
    with pytest.raises(DataError) as caught:
        store.publish(table(), rows("2013-01", 2).cast({"id": pl.Float64}), run="run2")
    assert str(caught.value) == 'column "id" is DOUBLE, in table delays it is BIGINT\n  hint: cast the column'
    adding = table(mode="merge", key=["id"], schema_change="add")
    store.publish(adding, more, run="run2")
    assert store.read(adding).sort("id").rows() == [(1, date(2013, 1, 1), None), (2, None, True)]


def test_a_failed_publish_leaves_rows_and_state_as_they_were(store: Store) -> None:
    dataset = table()
    first = store.publish(dataset, rows("2013-01", 1))
    staged = store.stage(dataset, rows("2013-01", 2), fingerprint="f2", run="run2")
    for file in staged.staged.files:
        Path(file.path).write_bytes(b"PAR1 torn")
    with pytest.raises(PublishError, match=r"^data/w\.duckdb: Invalid Input Error: "):
        store.adapter.publish(staged)
    assert store.ids(dataset) == [1]
    assert store.held(dataset) == Held(first.state)


def test_a_publication_without_any_file_makes_an_empty_table(store: Store) -> None:
    store.adapter.publish(staged_nothing(table(), WHOLE, rows("2013-01").schema))
    assert_frame_equal(store.read(table()), rows("2013-01"))


def test_a_crash_before_the_commit_leaves_nothing_and_after_it_everything(store: Store) -> None:
    """The process dies inside the transaction, then after it; the same publication is published again."""
    dataset = table(mode="append", **MONTHLY)
    publication = store.stage(dataset, rows("2013-01", 1, 2), month("2013-01"))
    path, file = store.folder / "data" / "w.duckdb", publication.staged.files[0].path
    path.parent.mkdir()
    dying = (
        f"import duckdb, os, signal; c = duckdb.connect({str(path)!r}); c.execute('BEGIN');"
        f"c.execute(\"CREATE TABLE delays AS FROM '{file}'\"); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", dying], check=False).returncode == -9
    assert store.held(dataset, month("2013-01")) == Held()
    store.adapter.publish(publication)
    store.adapter.discard(publication.staged)
    store.adapter.publish(dataclasses.replace(publication, staged=store.stage(dataset, rows("2013-01", 1, 2)).staged))
    assert store.ids(dataset) == [1, 2]


def test_threads_publish_and_read_at_once(store: Store) -> None:
    dataset = table(mode="replace", **MONTHLY)
    keys = [f"2013-{number:02}" for number in range(1, 13)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.publish(dataset, rows(key, 1, 2), month(key)), keys))
        assert list(pool.map(lambda key: store.ids(dataset, month(key)), keys)) == [[1, 2]] * 12
    assert [held.changed for held in store.adapter.held(dataset, [month(key) for key in keys]).values()] == [None] * 12


def test_two_stores_of_one_file_share_it_and_retry_conflicts(store: Store, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link.duckdb").symlink_to(tmp_path / "data" / "w.duckdb")
    other = Store(DuckDB(Options(database="link.duckdb"), tmp_path), tmp_path / "other")
    dataset = table(mode="replace", **MONTHLY)
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    again = other.stage(dataset, rows("2013-01", 2), month("2013-01"), run="run2")
    blocking = duckdb.connect(str(tmp_path / "data" / "w.duckdb"))
    blocking.execute("BEGIN")
    blocking.execute("UPDATE _flowpipe_state SET table_rows = 7")
    release = threading.Timer(0.5, lambda: blocking.execute("ROLLBACK").close())
    release.start()
    other.adapter.publish(again)
    release.join()
    assert store.held(dataset, month("2013-01")) == Held(again.state)
    assert store.ids(dataset) == [2]


def test_a_file_that_another_process_has_for_a_moment_is_waited_for(store: Store) -> None:
    store.publish(table(), rows("2013-01", 1))
    path = store.folder / "data" / "w.duckdb"
    holding = f"import duckdb, time; c = duckdb.connect({str(path)!r}); print('held', flush=True); time.sleep(0.7)"
    with subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        store.publish(table(), rows("2013-01", 2), run="run2")
    assert store.ids(table()) == [2]


def test_a_file_held_by_another_process_is_named(store: Store) -> None:
    store.publish(table(), rows("2013-01", 1))
    path = store.folder / "data" / "w.duckdb"
    holding = f"import duckdb; c = duckdb.connect({str(path)!r}); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        message = f"data/w.duckdb is held open by process {holder.pid}\n  hint: close it there, then run again"
        with pytest.raises(FlowpipeError) as caught:
            store.read(table())
        assert (type(caught.value), str(caught.value)) == (FlowpipeError, message)
        with pytest.raises(PublishError) as refused:
            store.publish(table(), rows("2013-01", 2), run="run2")
        assert str(refused.value) == message
        holder.communicate("\n")
    assert store.ids(table()) == [1]


def test_the_file_is_free_between_calls(store: Store) -> None:
    store.publish(table(), rows("2013-01", 1))
    frame = store.adapter.read(table(), WHOLE, store.adapter.pin(table(), WHOLE), store.folder)
    count = f"import duckdb; print(duckdb.connect({str(store.folder / 'data' / 'w.duckdb')!r}).sql('FROM delays'))"
    assert subprocess.run([sys.executable, "-c", count], check=False, capture_output=True).returncode == 0
    assert frame.collect()["id"].to_list() == [1]


def test_missing_tables_and_files_are_named_with_the_nearest(store: Store) -> None:
    with pytest.raises(Missing) as caught:
        store.adapter.pin(table(), WHOLE)
    assert (caught.value.location, caught.value.near) == ("data/w.duckdb", None)
    store.publish(table("delays"), rows("2013-01", 1))
    store.publish(table("x", table="sales.daily"), rows("2013-01", 1))
    for name, near in (("delay", "table delays"), ("sales.dayly", "table sales.daily"), ("q", None)):
        with pytest.raises(Missing) as caught:
            store.adapter.pin(table(name), WHOLE)
        assert (caught.value.location, caught.value.near) == (f"table {name} in data/w.duckdb", near)
    typo = DuckDB(Options(database="data/v.duckdb"), store.folder)
    with pytest.raises(Missing) as caught:
        typo.pin(table(), WHOLE)
    assert (caught.value.location, caught.value.near) == ("data/v.duckdb", "data/w.duckdb")


def test_a_table_of_somebody_else_has_no_version(store: Store) -> None:
    (store.folder / "data").mkdir()
    run_sql(store, "CREATE TABLE delays AS SELECT 1 AS id")
    assert store.adapter.pin(table(), WHOLE).version is None
    assert store.ids(table()) == [1]
    assert store.held(table()) == Held()


def test_a_window_that_was_never_published_has_no_version(store: Store) -> None:
    dataset = table(mode="replace", **MONTHLY)
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    assert store.adapter.pin(dataset, month("2013-01")).version is not None
    assert store.adapter.pin(dataset, month("2013-02")).version is None
    year = of_window(parse("2013", "year"))
    assert store.adapter.pin(dataset, year).version is None
    assert store.ids(dataset, year) == [1]


def test_a_query_is_read_whole_and_by_window(store: Store) -> None:
    store.publish(table(), pl.concat([rows("2013-01", 1), rows("2013-02", 2), rows("2013-03", 3)]))
    assert store.ids(query("SELECT id FROM delays WHERE id > 1; ")) == [2, 3]
    bounded = query("FROM delays WHERE day >= $start AND day < $end -- a comment", partition={"every": "month"})
    assert store.ids(bounded, month("2013-02")) == [2]
    assert store.ids(bounded) == [1, 2, 3]
    assert store.ids(query("FROM delays", **MONTHLY), month("2013-03")) == [3]
    assert store.adapter.pin(bounded, WHOLE).version is None
    assert store.adapter.schema(bounded) == {"id": pl.Int64(), "day": pl.Date()}
    assert store.adapter.is_empty(bounded, month("2014-01"))


def test_the_bounds_of_a_query_are_the_clock_of_the_window(store: Store) -> None:
    at = pl.Series("at", [datetime(2012, 12, 31, h, tzinfo=UTC) for h in (22, 23)])
    store.publish(
        table(),
        pl.DataFrame(
            {"id": [1, 2], "at": at, "wall": at.dt.convert_time_zone("Europe/Berlin").dt.replace_time_zone(None)}
        ),
    )
    berlin = of_window(parse("2013-01", "month", "Europe/Berlin"))
    for column in ("at", "wall"):
        bounded = query(f'FROM delays WHERE "{column}" >= $start AND "{column}" < $end', partition={"every": "month"})
        assert store.ids(bounded, berlin) == [2]


def test_a_query_that_cannot_run_is_said(store: Store) -> None:
    store.publish(table(), rows("2013-01", 1))
    with pytest.raises(FlowpipeError) as caught:
        store.adapter.pin(query("FROM delay"), WHOLE)
    assert str(caught.value) == (
        'data/w.duckdb: Catalog Error: Table with name delay does not exist!\n  hint: Did you mean "delays"?'
    )


PROBLEMS: list[tuple[dict[str, Any], bool, list[tuple[tuple[str, ...], str, str | None]]]] = [
    (
        {"path": "x.csv", "format": "csv", "options": {"separator": ";"}},
        False,
        [
            (("path",), 'a dataset in a duckdb store has no "path"', "write `table: NAME`"),
            (("format",), 'a dataset in a duckdb store has no "format"', "write `table: NAME`"),
            (("options",), 'a dataset in a duckdb store has no "options"', "write `table: NAME`"),
            ((), "a dataset in a duckdb store needs either a table or a query", "table: carrier_rank"),
        ],
    ),
    (
        {"table": "t", "query": "SELECT 1"},
        True,
        [
            ((), "a dataset in a duckdb store needs either a table or a query", "table: carrier_rank"),
            (("query",), "a query is only read", "write `table: NAME`"),
        ],
    ),
    (
        {"table": "t", "partition": {"every": "month"}},
        False,
        [(("partition",), "a partitioned table needs the column that tells a row's window", "column: date")],
    ),
    (
        {"table": "t", "mode": "replace"},
        True,
        [(("mode",), "`mode: replace` needs a partition", "write `partition: {column: date, every: month}`")],
    ),
    ({"table": "t", "mode": "merge"}, True, [(("mode",), "merge needs a key", "add `key: [NAME]`")]),
    (
        {"query": "DELETE FROM t"},
        False,
        [(("query",), "a query is one SELECT", "write one statement that only reads")],
    ),
    (
        {"query": "SELECT 1; SELECT 2"},
        False,
        [(("query",), "a query is one SELECT", "write one statement that only reads")],
    ),
    ({"query": "SELEC 1"}, False, [(("query",), 'Parser Error: syntax error at or near "SELEC"', None)]),
    (
        {"query": "SELECT $strat", "partition": {"every": "month", "column": "d"}},
        False,
        [(("query",), 'unknown placeholder "$strat"', 'did you mean "$start"? known: $end, $start')],
    ),
    (
        {"query": "SELECT $start"},
        False,
        [(("query",), "$start and $end need a window", "write `partition: {every: month}`")],
    ),
    (
        {"query": "SELECT 1", "partition": {"every": "month"}},
        False,
        [
            (
                ("partition",),
                "neither the query nor a column tells a row's window",
                "write $start and $end into the query, or name the `column:`",
            )
        ],
    ),
]


@pytest.mark.parametrize(("config", "written", "problems"), PROBLEMS)
def test_a_wrong_configuration_is_said(store: Store, config: Any, written: bool, problems: Any) -> None:
    dataset = Dataset("delays", DatasetConfig(store="warehouse", **config))
    assert list(store.adapter.check(dataset, written=written)) == problems


def test_types_that_duckdb_lacks_are_cast(store: Store) -> None:
    frame = pl.DataFrame(
        {
            "big": pl.Series([10**30], dtype=pl.Int128),
            "half": pl.Series([1.5], dtype=pl.Float16),
            "category": pl.Series(["a"], dtype=pl.Categorical),
            "enum": pl.Series(["a"], dtype=pl.Enum(["a"])),
            "array": pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)),
            "milli": pl.Series([datetime(2013, 1, 2)], dtype=pl.Datetime("ms")),
            "berlin": pl.Series([datetime(2013, 1, 2)]).dt.replace_time_zone("Europe/Berlin"),
            "nested": pl.Series([[{"c": "a"}]], dtype=pl.List(pl.Struct({"c": pl.Categorical}))),
            "clock": pl.Series([1], dtype=pl.Int64).cast(pl.Time),
            "unsigned": pl.Series([2**64 - 1], dtype=pl.UInt64),
        }
    )
    assert store.adapter.storable(table(), frame.schema) == {
        "big": pl.Decimal(38, 0),
        "half": pl.Float32(),
        "category": pl.String(),
        "enum": pl.String(),
        "array": pl.List(pl.Int64),
        "milli": pl.Datetime("us"),
        "berlin": pl.Datetime("us", "UTC"),
        "nested": pl.List(pl.Struct({"c": pl.String})),
        "clock": pl.Time(),
        "unsigned": pl.UInt64(),
    }
    store.publish(table(), frame)
    assert_frame_equal(store.read(table()), frame.cast(pl.Schema(store.adapter.storable(table(), frame.schema))))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"d": pl.Duration("us")}, "column \"d\" is Duration(time_unit='us'), which DuckDB cannot hold"),
        ({"n": pl.Null()}, 'column "n" is Null, which DuckDB cannot hold'),
        ({"l": pl.List(pl.Null)}, 'column "l" is List(Null), which DuckDB cannot hold'),
        ({"o": pl.Object()}, 'column "o" is Object, which DuckDB cannot hold'),
    ],
)
def test_types_that_would_not_come_back_are_refused(store: Store, schema: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        store.adapter.storable(table(), schema)
    assert str(caught.value) == f"{message}\n  hint: cast the column, a duration for example with .dt.total_seconds()"


def test_columns_that_differ_only_in_case_are_refused(store: Store) -> None:
    with pytest.raises(DataError) as caught:
        store.adapter.storable(table(), {"a": pl.Int64(), "A": pl.Int64()})
    assert str(caught.value) == (
        'columns "a" and "A" differ only in case, which DuckDB does not tell apart\n  hint: rename one of them'
    )


def test_types_that_polars_lacks_are_read_as_what_holds_them(store: Store) -> None:
    everything = query(
        """SELECT 99999999999999999999::HUGEINT AS huge, sum(x) AS total,
        '00000000-0000-0000-0000-000000000001'::UUID AS id, '{"a":1}'::JSON AS json,
        'a'::ENUM('a', 'it''s') AS enum, INTERVAL '1 month' AS span, TIMETZ '01:02:03+02' AS clock,
        TIMESTAMP_S '2013-01-02' AS second, [1, 2]::INT[2] AS fixed, {'UUID': uuid()} IS NULL AS odd,
        [{'u': '00000000-0000-0000-0000-000000000001'::UUID}] AS nested, union_value(n := 1) AS either
        FROM range(3) AS numbers(x)"""
    )
    store.publish(table(), rows("2013-01", 1))
    assert store.read(everything).row(0, named=True) == {
        "huge": Decimal(99999999999999999999),
        "total": Decimal(3),
        "id": "00000000-0000-0000-0000-000000000001",
        "json": '{"a":1}',
        "enum": "a",
        "span": "1 month",
        "clock": "01:02:03+02",
        "second": datetime(2013, 1, 2),
        "fixed": [1, 2],
        "odd": False,
        "nested": [{"u": "00000000-0000-0000-0000-000000000001"}],
        "either": "1",
    }
