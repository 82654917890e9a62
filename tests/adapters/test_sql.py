"""The statements that databases share, as text."""

from __future__ import annotations

import pytest

from flowpipe.adapters import sql
from flowpipe.errors import DataError
from flowpipe.partition import WHOLE, of_key, of_window, parse

JANUARY = of_window(parse("2013-01", "month", "Europe/Berlin"))


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("date", "\"at\" >= DATE '2013-01-01' AND \"at\" < DATE '2013-02-01'"),
        ("TIMESTAMP", "\"at\" >= TIMESTAMP '2013-01-01 00:00:00' AND \"at\" < TIMESTAMP '2013-02-01 00:00:00'"),
        (
            "timestamp without time zone",
            "\"at\" >= TIMESTAMP '2013-01-01 00:00:00' AND \"at\" < TIMESTAMP '2013-02-01 00:00:00'",
        ),
        (
            "timestamp with time zone",
            "\"at\" >= TIMESTAMPTZ '2013-01-01T00:00:00+01:00' AND \"at\" < TIMESTAMPTZ '2013-02-01T00:00:00+01:00'",
        ),
        (
            "TIMESTAMPTZ_NS",
            "\"at\" >= TIMESTAMPTZ '2013-01-01T00:00:00+01:00' AND \"at\" < TIMESTAMPTZ '2013-02-01T00:00:00+01:00'",
        ),
    ],
)
def test_a_window_is_said_in_the_type_of_its_column(kind: str, condition: str) -> None:
    assert sql.of_slice(JANUARY, "at", {"at": kind}) == condition


def test_a_key_and_the_whole() -> None:
    assert sql.of_slice(of_key("O'Hare"), "slice", {"slice": "text"}) == "\"slice\" = 'O''Hare'"
    assert sql.of_slice(WHOLE, None, {}) is None


def test_a_slice_without_its_column_is_never_everything() -> None:
    with pytest.raises(DataError, match="no column tells the rows of slice 2013-01"):
        sql.of_slice(JANUARY, None, {"at": "date"})
    with pytest.raises(DataError, match='the partition column "at" is text, not a date or a timestamp'):
        sql.of_slice(JANUARY, "at", {"at": "text"})


def test_names_are_quoted_everywhere() -> None:
    odd = 'a"; DROP TABLE t; --'
    quoted = '"a""; DROP TABLE t; --"'
    assert sql.qualified(odd, "main") == f'"main".{quoted}'
    assert sql.create_table("t", {odd: "BIGINT"}) == f"CREATE TABLE t ({quoted} BIGINT)"
    assert sql.add_column("t", odd, "BIGINT") == f"ALTER TABLE t ADD COLUMN {quoted} BIGINT"
    assert sql.insert("t", [odd], "s") == f"INSERT INTO t ({quoted}) SELECT {quoted} FROM s AS source"
    assert (sql.delete("t", None), sql.delete("t", "1 = 1")) == ("DELETE FROM t", "DELETE FROM t WHERE 1 = 1")
    assert sql.count("t", "x > 1") == "SELECT count(*) FROM t AS source WHERE x > 1"


def test_the_state_is_upserted_by_dataset_and_slice() -> None:
    assert sql.UPSERT_STATE == (
        "INSERT INTO _flowpipe_state (dataset, slice, fingerprint, parts, rows, run, published_at, table_rows)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (dataset, slice) DO UPDATE SET"
        " fingerprint = excluded.fingerprint, parts = excluded.parts, rows = excluded.rows, run = excluded.run,"
        " published_at = excluded.published_at, table_rows = excluded.table_rows"
    )
