"""PostgreSQL: tables and their constraints, queries, states, and configurations, on a real server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from postgres_schema import PostgresStore, fresh, query, table

from flowpipe.adapters import Dataset, Held, Missing
from flowpipe.adapters.abilities import Filling, Maintainable, Upkeep
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError, PublishError
from flowpipe.partition import WHOLE, of_key, of_window, parse
from flowpipe.testing.servers import PostgresServer
from flowpipe.testing.suite import MONTHLY, TYPES, AdapterSuite, Store, month, rows, staged_nothing, state

OTHERS = "the table was changed by somebody else"


@pytest.fixture
def store(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
    with fresh(postgres_server.dsn, tmp_path) as made:
        yield made


class TestPostgres(AdapterSuite):
    types = TYPES.drop("struct")
    changed = OTHERS
    gone = "the table is gone"

    @pytest.fixture
    def store(self, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
        # The schema is made by the first publish.
        made = PostgresStore(postgres_server.dsn, tmp_path)
        yield made
        made.adapter.close()
        made.sql(f"DROP SCHEMA IF EXISTS {made.schema} CASCADE")

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        return table(name, **config)

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        assert isinstance(store, PostgresStore)
        store.sql(f"DELETE FROM {dataset.config.table} WHERE id = 1")

    def drop(self, store: Store, dataset: Dataset) -> None:
        assert isinstance(store, PostgresStore)
        store.sql(f"DROP TABLE {dataset.config.table}")

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        return config.model_copy(update={"table": f"delays_{mode}"})


def test_a_table_may_be_in_a_schema_and_have_any_name(store: PostgresStore) -> None:
    other = f"{store.schema}_other"
    dataset = table("daily", table=f'{other}.odd "name"')
    store.publish(dataset, rows("2013-01", 1).rename({"id": 'i"d', "day": "Day"}).with_columns(day=pl.lit(1)))
    assert store.sql(f'SELECT "i""d", "Day", day FROM {other}."odd ""name"""') == [[(1, date(2013, 1, 1), 1)]]
    assert store.read(dataset).columns == ['i"d', "Day", "day"]
    assert store.one(f"SELECT count(*) FROM {store.schema}._flowpipe_state") == 1
    store.sql(f"DROP SCHEMA {other} CASCADE")


def test_columns_get_sensible_types(store: PostgresStore) -> None:
    store.publish(table(), TYPES.drop("struct"))
    columns = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attnum > 0 AND attrelid = "
    assert store.sql(f"{columns} '{store.schema}.delays'::regclass ORDER BY attnum")[0] == [
        ("flag", "boolean"),
        ("small", "smallint"),
        ("whole", "bigint"),
        ("real", "double precision"),
        ("money", "numeric(10,2)"),
        ("text", "text"),
        ("day", "date"),
        ("at", "timestamp without time zone"),
        ("instant", "timestamp with time zone"),
        ("list", "bigint[]"),
    ]


def test_merge_updates_in_place_and_keeps_the_newest(store: PostgresStore) -> None:
    store.sql(
        """CREATE TABLE delays (number serial, k text PRIMARY KEY, v bigint, at bigint)""",
        "INSERT INTO delays (k, v, at) VALUES ('a', 1, 5), ('b', 1, 5), ('c', 1, NULL)",
        "CREATE TABLE children (k text REFERENCES delays ON DELETE CASCADE)",
        "INSERT INTO children VALUES ('a'), ('b')",
    )
    dataset = table(mode="merge", key=["k"], order_by="at")
    new = pl.DataFrame({"k": ["a", "b", "c", "d", "e"], "v": [2, 2, 2, 2, 2], "at": [6, 4, 1, 1, None]})
    store.publish(dataset, new)
    assert store.read(dataset).sort("k").drop("number").rows() == [
        ("a", 2, 6), ("b", 1, 5), ("c", 2, 1), ("d", 2, 1), ("e", 2, None),
    ]  # fmt: skip
    assert store.sql("SELECT number FROM delays WHERE k < 'd' ORDER BY k")[0] == [(1,), (2,), (3,)]
    assert store.sql("SELECT k FROM children ORDER BY k")[0] == [("a",), ("b",)]


@pytest.mark.parametrize("mode", ["overwrite", "merge"])
def test_a_partitioned_table_is_written_as_any_other(store: PostgresStore, mode: str) -> None:
    store.sql(
        "CREATE TABLE delays (id bigint, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE early PARTITION OF delays FOR VALUES FROM (MINVALUE) TO ('2013-02-01')",
        "CREATE TABLE late PARTITION OF delays FOR VALUES FROM ('2013-02-01') TO (MAXVALUE)",
    )
    dataset = table(mode=mode, key=["id"] if mode == "merge" else [])
    store.publish(dataset, pl.concat([rows("2013-01", 1), rows("2013-02", 2)]))
    published = store.publish(dataset, rows("2013-02", 1, 2), fingerprint="f2", run="run2")
    assert (store.ids(dataset), store.one("SELECT count(*) FROM late")) == ([1, 2], 2)
    assert store.held(dataset) == Held(published.state)
    store.sql("UPDATE early SET id = id", "UPDATE late SET id = id WHERE id = 1")
    assert store.held(dataset).changed == OTHERS


def test_replace_by_key(store: PostgresStore) -> None:
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
        (pl.Datetime("us", "UTC"), "Europe/Berlin", [datetime(2012, 12, 31, 23), datetime(2013, 1, 31, 22, 59)]),
    ],
)
def test_windows_cut_dates_wall_clocks_and_instants(
    store: PostgresStore, dtype: Any, zone: str, inside: list[datetime]
) -> None:
    dataset = table(mode="replace", partition={"every": "month", "column": "at", "timezone": zone})
    january = of_window(parse("2013-01", "month", zone))
    outside = [inside[0] - timedelta(days=1), inside[1] + timedelta(days=1)]
    everything = pl.Series("at", [*inside, *outside]).cast(dtype).to_frame()
    store.publish(table(), everything)
    assert store.read(dataset, january)["at"].to_list() == everything["at"].head(2).to_list()
    store.publish(dataset, everything.head(1), january, run="run2")
    assert sorted(store.read(dataset)["at"].to_list()) == sorted(everything["at"].gather([0, 2, 3]).to_list())


def test_a_column_that_tells_no_window_is_refused(store: PostgresStore) -> None:
    dataset = table(mode="replace", partition={"every": "month", "column": "id"})
    store.publish(table(), rows("2013-01", 1))
    with pytest.raises(DataError) as caught:
        store.publish(dataset, rows("2013-01", 1), month("2013-01"), run="run2")
    assert str(caught.value) == 'the partition column "id" is bigint, not a date or a timestamp'
    gone = table(mode="replace", partition={"every": "month", "column": "dya"})
    with pytest.raises(DataError) as caught:
        store.adapter.pin(gone, month("2013-01"))
    assert str(caught.value) == 'there is no partition column "dya"\n  hint: see `partition:` of the dataset'
    assert store.ids(table()) == [1]


def test_a_slice_is_appended_once_even_by_another_fingerprint(store: PostgresStore) -> None:
    dataset = table(mode="append", **MONTHLY)
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    with pytest.raises(PublishError) as caught:
        store.publish(dataset, rows("2013-01", 2), month("2013-01"), fingerprint="f2", run="run2")
    assert str(caught.value) == (
        "delays (2013-01) was already appended by run run1; a slice is never appended twice\n"
        "  hint: delete its rows and append under another slice, or use `mode: replace`"
    )
    store.sql("DELETE FROM delays")
    assert store.held(dataset, month("2013-01")) == Held(state("delays", month("2013-01"), 1))
    store.sql("DROP TABLE delays")
    assert store.held(dataset, month("2013-01")).changed == "the table is gone"
    store.publish(dataset, rows("2013-01", 3), month("2013-01"), run="run2")
    assert store.ids(dataset) == [3]


def test_a_table_made_anew_forgets_the_slices_of_the_old_one(store: PostgresStore) -> None:
    dataset = table(mode="replace", **MONTHLY)
    for key in ("2013-01", "2013-02"):
        store.publish(dataset, rows(key, 1), month(key))
    store.sql("DROP TABLE delays")
    store.publish(dataset, rows("2013-01", 1), month("2013-01"), run="run2")
    assert store.held(dataset, month("2013-02")) == Held()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE delays SET id = id WHERE id = 1",
        "DELETE FROM delays WHERE id = 1",
        "INSERT INTO delays VALUES (9, '2013-01-01')",
        "WITH gone AS (DELETE FROM delays WHERE id = 1 RETURNING *) INSERT INTO delays SELECT * FROM gone",
        "TRUNCATE delays",
    ],
)
def test_whatever_somebody_else_changes_is_noticed(store: PostgresStore, change: str) -> None:
    dataset = table(mode="replace", **MONTHLY)
    for key in ("2013-01", "2013-02"):
        store.publish(dataset, rows(key, 1, 2), month(key))
    pin = store.adapter.pin(dataset, WHOLE)
    store.sql(change)
    parts = [month("2013-01"), month("2013-02")]
    assert [held.changed for held in store.adapter.held(dataset, parts).values()] == [OTHERS, OTHERS]
    assert store.adapter.pin(dataset, WHOLE).token != pin.token
    january = store.publish(dataset, rows("2013-01", 1, 2), month("2013-01"), run="run2")
    assert store.held(dataset, month("2013-01")) == Held(january.state)
    assert store.held(dataset, month("2013-02")).changed == OTHERS
    store.publish(dataset, rows("2013-02", 1, 2), month("2013-02"), run="run2")
    assert store.held(dataset, month("2013-02")).changed is None


def test_the_upkeep_of_a_table_is_no_change(store: PostgresStore) -> None:
    dataset = table()
    published = store.publish(dataset, rows("2013-01", 1, 2))
    store.publish(dataset, rows("2013-01", *range(100)), fingerprint="f2", run="run2")
    published = store.publish(dataset, rows("2013-01", 1, 2), run="run3")
    for statement in (
        "VACUUM FREEZE delays",
        "VACUUM FULL delays",
        "CREATE INDEX at ON delays (id)",
        "CLUSTER delays USING at",
        "ANALYZE delays",
    ):
        store.sql(statement)
        assert store.held(dataset) == Held(published.state)
    assert isinstance(store.adapter, Maintainable)
    upkeep = Upkeep(frozenset(), timedelta(days=7))
    dry = store.adapter.maintain(dataset, dataclasses.replace(upkeep, dry_run=True))
    assert dry == ["table delays would be vacuumed and analyzed"]
    assert store.adapter.maintain(table("nothing"), upkeep) == []
    assert store.adapter.maintain(query("SELECT 1"), upkeep) == []
    assert store.adapter.maintain(dataset, upkeep) == ["table delays was vacuumed and analyzed"]
    assert store.held(dataset) == Held(published.state)


def test_columns_are_added_only_where_that_is_allowed(store: PostgresStore) -> None:
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
    assert str(caught.value) == (
        'column "id" is double precision, in table delays it is bigint\n  hint: cast the column'
    )
    adding = table(mode="merge", key=["id"], schema_change="add")
    store.publish(adding, more, run="run2")
    assert store.read(adding).sort("id").rows() == [(1, date(2013, 1, 1), None), (2, None, True)]


def test_columns_grow_in_place(store: PostgresStore) -> None:
    narrow = {"id": pl.Int64, "n": pl.Int16, "m": pl.Decimal(5, 2), "x": pl.Float32, "w": pl.Int64}
    wide = {"id": pl.Int64, "n": pl.Int64, "m": pl.Decimal(9, 4), "x": pl.Float64, "w": pl.Int16}
    adapter, dataset = store.adapter, table(mode="append", schema_change="add", **MONTHLY)
    assert [adapter.widens(pl.Int16(), pl.Int64()), adapter.widens(pl.Int64(), pl.Int16())] == [True, False]
    for schema, key in ((narrow, "2013-01"), (wide, "2013-02")):
        frame = rows(key, 1).with_columns(n=1, m=1, x=1, w=1).cast(schema)
        store.publish(dataset, frame, month(key))
    there = wide | {"w": pl.Int64}
    assert {name: dtype for name, dtype in store.read(dataset).schema.items() if name != "day"} == there
    with pytest.raises(DataError) as caught:
        store.publish(dataset, frame.cast({"n": pl.String}), month("2013-03"))
    assert str(caught.value) == 'column "n" is text, in table delays it is bigint\n  hint: cast the column'


def test_the_columns_are_replaced_and_the_table_stays(store: PostgresStore) -> None:
    store.publish(table(), rows("2013-01", 1))
    store.sql("CREATE INDEX by_id ON delays (id)", "ALTER TABLE delays ALTER id SET NOT NULL, ALTER id SET DEFAULT 7")
    new = pl.DataFrame({"id": ["a"], "late": [True]})
    dataset = table(schema_change="replace")
    published = store.publish(dataset, new, fingerprint="f2", run="run2")
    assert_frame_equal(store.read(dataset), new)
    assert store.held(dataset) == Held(published.state)
    assert store.sql("SELECT indexname FROM pg_indexes WHERE tablename = 'delays'")[0] == [("by_id",)]


def test_defaults_identities_and_generated_columns_are_the_table_s(store: PostgresStore) -> None:
    store.sql(
        """CREATE TABLE delays (number int GENERATED ALWAYS AS IDENTITY, id bigint, day date, source text DEFAULT 'us',
        twice bigint GENERATED ALWAYS AS (id * 2) STORED)"""
    )
    dataset = table()
    assert isinstance(store.adapter, Filling)
    assert store.adapter.filled(dataset) == {"number", "source", "twice"}
    assert store.adapter.filled(table("other")) == ()
    store.publish(dataset, rows("2013-01", 4))
    assert store.sql("SELECT * FROM delays") == [[(1, 4, date(2013, 1, 1), "us", 8)]]
    with pytest.raises(DataError) as caught:
        store.publish(dataset, rows("2013-01", 4).with_columns(twice=pl.lit(1)), run="run2")
    assert str(caught.value) == (
        'column "twice" of table delays is generated: rows cannot say what it is\n  hint: leave it out of the rows'
    )
    store.publish(table(schema_change="replace"), rows("2013-01", 5).drop("day"), run="run3")
    assert store.sql("SELECT id, source, twice FROM delays") == [[(5, "us", 10)]]


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (
            "PRIMARY KEY (id)",
            'duplicate key value violates unique constraint "delays_pkey": Key (id)=(1) already exists.',
        ),
        (
            "CONSTRAINT not_two CHECK (id <> 1)",
            'new row for relation "delays" violates check constraint "not_two": Failing row contains (1, 2013-01-01).',
        ),
        (
            "CONSTRAINT of_planes FOREIGN KEY (id) REFERENCES planes",
            'insert or update on table "delays" violates foreign key constraint "of_planes": Key (id)=(1) is not there',
        ),
        (
            "CONSTRAINT late FOREIGN KEY (id) REFERENCES planes DEFERRABLE INITIALLY DEFERRED",
            'insert or update on table "delays" violates foreign key constraint "late": Key (id)=(1) is not there',
        ),
    ],
)
def test_rows_that_break_a_constraint_are_the_fault_of_the_data(
    store: PostgresStore, constraint: str, message: str
) -> None:
    store.sql("CREATE TABLE planes (id bigint PRIMARY KEY)", f"CREATE TABLE delays (id bigint, day date, {constraint})")
    with pytest.raises(DataError) as caught:
        store.publish(table(), rows("2013-01", 1, 1))
    said = str(caught.value).partition(": ")[2].replace('present in table "planes".', "there")
    assert said == message
    assert store.one("SELECT count(*) FROM delays") == 0
    assert store.held(table()) == Held()


def test_a_failed_publish_leaves_rows_and_state_as_they_were(store: PostgresStore) -> None:
    dataset = table()
    first = store.publish(dataset, rows("2013-01", 1))
    staged = store.stage(dataset, rows("2013-01", 2), fingerprint="f2", run="run2")
    for file in staged.staged.files:
        Path(file.path).write_bytes(b"PAR1 torn")
    with pytest.raises(PublishError, match=r"^a staged file cannot be read: Parquet magic bytes not found in footer"):
        store.adapter.publish(staged)
    assert store.ids(dataset) == [1]
    assert store.held(dataset) == Held(first.state)


def test_a_file_torn_in_its_middle_leaves_all_as_it_was(store: PostgresStore) -> None:
    dataset = table(mode="merge", key=["id"])
    first = store.publish(dataset, rows("2013-01", 1))
    staged = store.stage(dataset, rows("2013-01", *range(100_000)), fingerprint="f2", run="run2")
    path = Path(staged.staged.files[0].path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3] + b"\xff" * (len(whole) // 3) + whole[-(len(whole) // 3) :])
    with pytest.raises(PublishError, match=r"^a staged file cannot be read: ."):
        store.adapter.publish(staged)
    assert store.ids(dataset) == [1]
    assert store.held(dataset) == Held(first.state)


def test_a_publication_without_any_file_makes_an_empty_table(store: PostgresStore) -> None:
    store.adapter.publish(staged_nothing(table(), WHOLE, rows("2013-01").schema))
    assert_frame_equal(store.read(table()), rows("2013-01"))


def test_threads_publish_and_read_at_once(store: PostgresStore) -> None:
    dataset = table(mode="replace", **MONTHLY)
    keys = [f"2013-{number:02}" for number in range(1, 13)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.publish(dataset, rows(key, 1, 2), month(key)), keys))
        assert list(pool.map(lambda key: store.ids(dataset, month(key)), keys)) == [[1, 2]] * 12
    assert [held.changed for held in store.adapter.held(dataset, [month(key) for key in keys]).values()] == [None] * 12


def test_missing_tables_are_named_with_the_nearest(store: PostgresStore) -> None:
    store.publish(table("delays"), rows("2013-01", 1))
    host = store.adapter._options.shown  # type: ignore[attr-defined]  # the folder of its socket is another every time
    assert host.startswith("database postgres on /")
    for name, near in (("delay", "table delays"), ("q", None)):
        with pytest.raises(Missing) as caught:
            store.adapter.pin(table(name), WHOLE)
        assert (caught.value.location, caught.value.near) == (f"table {name} in {host}", near)


def test_a_table_of_somebody_else_and_a_view_have_no_version(store: PostgresStore) -> None:
    store.sql("CREATE TABLE delays AS SELECT 1 AS id", "CREATE VIEW seen AS SELECT id FROM delays")
    for name in ("delays", "seen"):
        assert store.adapter.pin(table(name), WHOLE).version is None
        assert store.ids(table(name)) == [1]
        assert store.held(table(name)) == Held()


def test_a_window_that_was_never_published_has_no_version(store: PostgresStore) -> None:
    dataset = table(mode="replace", **MONTHLY)
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    assert store.adapter.pin(dataset, month("2013-01")).version is not None
    assert store.adapter.pin(dataset, month("2013-02")).version is None
    year = of_window(parse("2013", "year"))
    assert store.adapter.pin(dataset, year).version is None
    assert store.ids(dataset, year) == [1]


def test_names_that_postgresql_would_cut_are_refused(store: PostgresStore) -> None:
    for name in ("a" * 64, "ü" * 32, "", "a\0b"):
        with pytest.raises(DataError) as caught:
            store.adapter.storable(table(), {name: pl.Int64()})
        assert str(caught.value) == (
            f'"{name}" cannot be a column in PostgreSQL\n'
            "  hint: rename it: PostgreSQL takes names of 1 to 63 bytes, without NUL"
        )
    frame = pl.DataFrame({"a" * 63: [1], "ü" * 31: [2]})
    store.publish(table(), frame)
    assert_frame_equal(store.read(table()), frame)


def test_a_thousand_columns(store: PostgresStore) -> None:
    frame = pl.DataFrame({f"column {number}": [number] for number in range(1000)})
    store.publish(table(), frame)
    assert_frame_equal(store.read(table()), frame)
