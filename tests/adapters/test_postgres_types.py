"""PostgreSQL: every type comes back whole, converted as the contract says, or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from postgres_schema import PostgresStore, fresh, query, table

from flowpipe.errors import DataError
from flowpipe.testing.servers import PostgresServer

CAST = "cast the column, a duration for example with .dt.total_seconds()"
ENCODE = "write it as JSON text: .struct.json_encode(), or unnest it"
BEYOND = "\n  hint: Polars has no such value; read it by a `query:` that makes it NULL, or text"


@pytest.fixture
def store(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
    with fresh(postgres_server.dsn, tmp_path) as made:
        yield made


def series(values: list[Any], dtype: Any) -> pl.Series:
    return pl.Series([*values, None], dtype=dtype)


STORED: list[tuple[pl.Series, pl.DataType]] = [
    (series([True, False], pl.Boolean), pl.Boolean()),
    (series([-(2**7), 2**7 - 1], pl.Int8), pl.Int16()),
    (series([-(2**15), 2**15 - 1], pl.Int16), pl.Int16()),
    (series([-(2**31), 2**31 - 1], pl.Int32), pl.Int32()),
    (series([-(2**63), 2**63 - 1], pl.Int64), pl.Int64()),
    (series([-(10**38) + 1, 10**38 - 1], pl.Int128), pl.Decimal(38, 0)),
    (series([0, 2**8 - 1], pl.UInt8), pl.Int16()),
    (series([0, 2**16 - 1], pl.UInt16), pl.Int32()),
    (series([0, 2**32 - 1], pl.UInt32), pl.Int64()),
    (series([0, 2**64 - 1], pl.UInt64), pl.Decimal(20, 0)),
    (series([1.5, float("nan"), float("inf")], pl.Float16), pl.Float32()),
    (series([1.5, float("nan"), float("-inf"), -0.0], pl.Float32), pl.Float32()),
    (series([0.1, 5e-324, float("nan"), float("inf"), float("-inf"), -0.0], pl.Float64), pl.Float64()),
    (series([Decimal("-99999999.99"), Decimal("0.01")], pl.Decimal(10, 2)), pl.Decimal(10, 2)),
    (series([Decimal("9" * 20 + "." + "9" * 18)], pl.Decimal(38, 18)), pl.Decimal(38, 18)),
    (series([Decimal("0." + "9" * 38)], pl.Decimal(38, 38)), pl.Decimal(38, 38)),
    (series(["", "ü 🛫", "NULL", "\\N", "a\tb\nc\\", "x" * 2**20], pl.String), pl.String()),
    (series([b"", b"\x00\xff\\", b"x" * 2**20], pl.Binary), pl.Binary()),
    (series([date(1, 1, 1), date(9999, 12, 31)], pl.Date), pl.Date()),
    (series([time(0), time(23, 59, 59, 999999)], pl.Time), pl.Time()),
    (series([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)], pl.Datetime("us")), pl.Datetime("us")),
    (series([datetime(1, 1, 1, 0, 0, 0, 1000)], pl.Datetime("ms")), pl.Datetime("us")),
    (series([datetime(2013, 1, 2, 3, 4, 5, 6)], pl.Datetime("ns")), pl.Datetime("us")),
    (
        series([datetime(2013, 7, 2, tzinfo=UTC)], pl.Datetime("us", "UTC")).dt.convert_time_zone("Europe/Berlin"),
        pl.Datetime("us", "UTC"),
    ),
    (series(["a", "b"], pl.Categorical), pl.String()),
    (series(["a", "b"], pl.Enum(["b", "a"])), pl.String()),
    (series([[1, None], []], pl.List(pl.Int64)), pl.List(pl.Int64())),
    (series([[1, 2]], pl.Array(pl.UInt8, 2)), pl.List(pl.Int16())),
    (series([["a,b", '"', "NULL", "", None], []], pl.List(pl.String)), pl.List(pl.String())),
    (series([[Decimal("1.50"), None], []], pl.List(pl.Decimal(10, 2))), pl.List(pl.Decimal(10, 2))),
    (series([[date(2013, 1, 2), None]], pl.List(pl.Date)), pl.List(pl.Date())),
    (series([[datetime(2013, 1, 2), None]], pl.List(pl.Datetime("us"))), pl.List(pl.Datetime("us"))),
    (series([[b"\x00", b""]], pl.List(pl.Binary)), pl.List(pl.Binary())),
    (series([[True, None]], pl.List(pl.Boolean)), pl.List(pl.Boolean())),
    (series([[time(1, 2), None]], pl.List(pl.Time)), pl.List(pl.Time())),
]


@pytest.mark.parametrize(("values", "stored"), STORED, ids=lambda each: str(getattr(each, "dtype", "")))
def test_a_type_comes_back_whole(store: PostgresStore, values: pl.Series, stored: pl.DataType) -> None:
    frame = values.alias("x").to_frame()
    assert store.adapter.storable(table(), frame.schema) == {"x": stored}
    store.publish(table(), frame)
    assert_frame_equal(store.read(table()), frame.cast({"x": stored}))
    assert store.adapter.schema(table()) == {"x": stored}
    # Through the table aside, too.
    merged = frame.with_row_index("k").cast({"k": pl.Int64})
    store.publish(table("merged", mode="merge", key=["k"]), merged)
    assert_frame_equal(store.read(table("merged")).sort("k"), merged.cast({"x": stored}))


@pytest.mark.parametrize(
    ("dtype", "shown", "hint"),
    [
        (pl.Duration("us"), "Duration(time_unit='us')", CAST),
        (pl.Null(), "Null", CAST),
        (pl.Object(), "Object", CAST),
        (pl.Struct({"a": pl.Int64}), "Struct({'a': Int64})", ENCODE),
        (pl.List(pl.List(pl.Int64)), "List(List(Int64))", ENCODE),
        (pl.Array(pl.Int64, (2, 2)), "Array(Int64, shape=(2, 2))", ENCODE),
        (pl.List(pl.Struct({"a": pl.Int64})), "List(Struct({'a': Int64}))", ENCODE),
        (pl.List(pl.Null), "List(Null)", ENCODE),
    ],
)
def test_types_that_would_not_come_back_are_refused(store: PostgresStore, dtype: Any, shown: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        store.adapter.storable(table(), {"x": dtype})
    assert str(caught.value) == f'column "x" is {shown}, which PostgreSQL cannot hold\n  hint: {hint}'


@pytest.mark.parametrize("mode", ["overwrite", "merge"])
@pytest.mark.parametrize("nul", ["a\0b", ["ok", "a\0b"]])
def test_a_nul_in_a_text_is_refused_with_its_column(store: PostgresStore, mode: str, nul: Any) -> None:
    frame = pl.DataFrame({"id": [1, 2], "ok": ["a", "b"], "a, note": [None, nul]})
    with pytest.raises(DataError) as caught:
        store.publish(table(mode=mode, key=["id"] if mode == "merge" else []), frame)
    assert str(caught.value).partition(": ")[2] == (
        'column "a, note": invalid byte sequence for encoding "UTF8": 0x00\n'
        '  hint: remove NUL characters, as by .str.replace_all("\\0", "")'
    )
    assert store.adapter.schema(table()) is None


def test_types_that_polars_lacks_are_read_as_what_holds_them(store: PostgresStore) -> None:
    store.sql(
        "CREATE TYPE color AS ENUM ('red', 'it''s')",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE DOMAIN cents AS numeric(10,2) CHECK (VALUE > 0)",
        """CREATE TABLE odd AS SELECT 12345678901234567890.5::numeric AS free, 1.50::numeric(10,2) AS fixed,
        123.4::numeric(38,3) AS wide, 5::numeric(50,2) AS wider, 1200::numeric(3,-2) AS rounded,
        '00000000-0000-0000-0000-000000000001'::uuid AS id, '{"b": 1}'::json AS json, '{"b": 1}'::jsonb AS jsonb,
        'it''s'::color AS color, ARRAY['red']::color[] AS colors, interval '1 month 2 days 03:04:05.6' AS span,
        '01:02:03+02'::timetz AS clock, '1.2.3.4'::inet AS address, ROW(1, 'x')::pair AS pair, B'101' AS bits,
        '$1.50'::money AS money, 'ab'::char(4) AS padded, 'ab'::varchar(9) AS limited, 7::oid AS oid, 'n'::name AS name,
        int4range(1, 3) AS range, 3.5::cents AS cents, ARRAY[1.5, 2]::numeric(5,1)[] AS fixeds,
        ARRAY['00000000-0000-0000-0000-000000000001'::uuid, NULL] AS ids, 'x'::"char" AS letter,
        'a b'::tsvector AS words, point(1, 2) AS point, ARRAY['ab']::varchar(3)[] AS limiteds,
        '2013-01-02 03:04:05.67'::timestamp(1) AS short, 1::smallint AS small""",
    )
    expected = {
        "free": "12345678901234567890.5",
        "fixed": Decimal("1.50"),
        "wide": Decimal("123.400"),
        "wider": "5.00",
        "rounded": "1200",
        "id": "00000000-0000-0000-0000-000000000001",
        "json": '{"b": 1}',
        "jsonb": '{"b": 1}',
        "color": "it's",
        "colors": ["red"],
        "span": "1 mon 2 days 03:04:05.6",
        "clock": "01:02:03+02",
        "address": "1.2.3.4/32",
        "pair": "(1,x)",
        "bits": "101",
        "money": "$1.50",
        "padded": "ab  ",
        "limited": "ab",
        "oid": "7",
        "name": "n",
        "range": "[1,3)",
        "cents": Decimal("3.50"),
        "fixeds": [Decimal("1.5"), Decimal("2.0")],
        "ids": ["00000000-0000-0000-0000-000000000001", None],
        "letter": "x",
        "words": "'a' 'b'",
        "point": "(1,2)",
        "limiteds": ["ab"],
        "short": datetime(2013, 1, 2, 3, 4, 5, 700000),
        "small": 1,
    }
    for dataset in (table("odd"), query("SELECT * FROM odd")):
        frame = store.read(dataset)
        assert frame.row(0, named=True) == expected
        assert store.adapter.schema(dataset) == frame.schema
        assert frame.schema["wide"] == pl.Decimal(38, 3)


def test_what_is_read_can_be_written_back(store: PostgresStore) -> None:
    """Texts go into the table's own types, and what is too long for them is refused, never cut."""
    store.sql(
        """CREATE TYPE color AS ENUM ('red')""",
        """CREATE TYPE "Odd (3)" AS ENUM ('x')""",
        """CREATE TABLE odd (id uuid, json jsonb, color color, colors color[], span interval, free numeric, bits bit(3),
        limited varchar(3), padded char(3), address inet, at timestamp(3), cents numeric(10,2), ids uuid[],
        named "Odd (3)", names "Odd (3)"[])""",
    )
    frame = pl.DataFrame(
        {
            "id": ["00000000-0000-0000-0000-000000000001"],
            "json": ['{"a": 1}'],
            "color": ["red"],
            "colors": [["red", None]],
            "span": ["1 mon"],
            "free": ["1.234"],
            "bits": ["101"],
            "limited": ["abc"],
            "padded": ["ab "],
            "address": ["1.2.3.4/32"],
            "at": pl.Series([datetime(2013, 1, 2)], dtype=pl.Datetime("us")),
            "cents": pl.Series([Decimal("1.50")], dtype=pl.Decimal(10, 2)),
            "ids": [["00000000-0000-0000-0000-000000000001"]],
            "named": ["x"],
            "names": [["x", None]],
        }
    )
    store.publish(table("odd"), frame)
    assert_frame_equal(store.read(table("odd")), frame)
    for name, value, said in (
        ("limited", "abcd", "value too long for type character varying(3)"),
        ("padded", "abcd", "value too long for type character(3)"),
        ("bits", "1010", "bit string length 4 does not match type bit(3)"),
        ("color", "blue", 'invalid input value for enum color: "blue"'),
        ("id", "1", 'invalid input syntax for type uuid: "1"'),
        ("json", "{", "invalid input syntax for type json: The input string ended unexpectedly."),
    ):
        with pytest.raises(DataError) as caught:
            store.publish(table("odd"), frame.with_columns(pl.lit(value).alias(name)), run=f"run-{name}")
        assert str(caught.value).partition(": ")[2] == said
        assert_frame_equal(store.read(table("odd")), frame)


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("date", "infinity", "infinity"),
        ("date", "-infinity", "-infinity"),
        ("timestamp", "infinity", "infinity"),
        ("timestamp(3)", "-infinity", "-infinity"),
        ("timestamp", "294247-01-01", "294247-01-01 00:00:00"),
        ("timestamptz", "infinity", "infinity"),
        ("timestamptz", "294276-01-01 00:00+00", "294276-01-01 00:00:00+00"),
        ("time", "24:00", "24:00:00"),
        ("numeric(10,2)", "NaN", "NaN"),
        ("int[]", "{{1,2},{3,4}}", "{{1,2},{3,4}}"),
        ("text[]", '{{"a"},{"b"}}', "{{a},{b}}"),
        ("numeric(10,2)[]", "{1,NaN}", "{1.00,NaN}"),
        ("date[]", "{2013-01-02,infinity}", "{2013-01-02,infinity}"),
        ("timestamp[]", "{-infinity}", "{-infinity}"),
        ("uuid[]", "{{00000000-0000-0000-0000-000000000001}}", "{{00000000-0000-0000-0000-000000000001}}"),
    ],
)
def test_values_that_polars_lacks_are_refused(store: PostgresStore, kind: str, value: str, shown: str) -> None:
    store.sql(f'CREATE TABLE odd ("a b" {kind})', "INSERT INTO odd VALUES (NULL)")
    store.read(table("odd"))
    store.sql(f"INSERT INTO odd VALUES ('{value}')")
    for dataset in (table("odd"), query("SELECT * FROM odd")):
        with pytest.raises(DataError) as caught:
            store.read(dataset)
        assert str(caught.value) == f'column "a b" holds {shown}{BEYOND}'
    assert store.read(query('SELECT "a b"::text AS x FROM odd WHERE "a b" IS NOT NULL')).item() == shown


def test_moments_at_the_edge_of_what_polars_holds_are_right(store: PostgresStore) -> None:
    store.sql(
        """CREATE TABLE odd AS SELECT '4713-01-01 BC'::date AS first, '5874897-12-31'::date AS last,
        '4713-01-01 BC'::timestamp AS early, '294246-12-31 23:59:59.999999'::timestamp AS late"""
    )
    found = store.read(table("odd")).select(pl.all().to_physical()).row(0)
    day = "'1970-01-01'::date"
    moments = [f"(extract(epoch FROM {name}) * 1000000)::bigint" for name in ("early", "late")]
    expected = store.sql(f"SELECT first - {day}, last - {day}, {', '.join(moments)} FROM odd")[0]
    assert [found] == expected


def test_odd_names(store: PostgresStore) -> None:
    names = ["select", "A", "a", 'q"uote', "it's", "ü 🛫", "$start", "a.b", "%s", "{x}", "-- c"]
    frame = pl.DataFrame({name: [number] for number, name in enumerate(names)})
    for dataset in (table(), table("merged", mode="merge", key=["A", 'q"uote'], order_by="$start")):
        store.publish(dataset, frame)
        store.publish(dataset, frame, fingerprint="f2", run="run2")
        assert_frame_equal(store.read(dataset), frame)
