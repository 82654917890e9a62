"""What two tables that differ are told to differ in."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from flowpipe.testing import assert_frames_equal

ORDERS = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "amount": [10.0, 20.0, 0.1 + 0.2],
        "n": pl.Series([1, 2, 3], dtype=pl.Int32),
        "day": [date(2024, 1, 1)] * 3,
    }
)


def told(actual: Any, expected: Any, **how: Any) -> str:
    with pytest.raises(AssertionError) as error:
        assert_frames_equal(actual, expected, **how)
    return str(error.value)


def test_equal_tables_of_any_kind() -> None:
    assert_frames_equal(ORDERS, ORDERS.reverse().select("day", "n", "amount", "id"))
    assert_frames_equal(ORDERS.lazy(), ORDERS.to_arrow())
    assert_frames_equal(ORDERS, ORDERS.to_dicts(), ordered=True)
    assert_frames_equal(ORDERS, "id | day\n3 | 2024-01-01\n2 | 2024-01-01\n1 | 2024-01-01", columns="expected")
    assert_frames_equal(ORDERS, "amount\n0.3\n10\n20", columns=["amount"])
    assert_frames_equal(ORDERS.head(0), "id | amount | n | day")
    assert_frames_equal(ORDERS.head(0), [])
    assert_frames_equal(ORDERS, ORDERS.with_columns(amount=pl.Series([10.05, 20.0, 0.3])), approx=0.01)
    odd = pl.DataFrame(
        {"x": [None, float("nan"), float("inf")], "l": [[1], None, []], "s": [{"a": 1}, None, {"a": None}]}
    )
    assert_frames_equal(odd, odd.reverse())


def test_rows_and_cells_are_told_by_key() -> None:
    assert told(
        ORDERS,
        """
        id | amount | n | day
        3  | 0.4    | 3 | 2024-01-02
        1  | 10     | 1 | 2024-01-01
        4  | 20     | 2 | 2024-01-01
        """,
    ) == (
        "1 row missing, 1 row too many, 1 row with other values; 3 rows, expected 3\n"
        "missing:\n"
        "  id | amount | n | day\n"
        "  4  | 20.0   | 2 | 2024-01-01\n"
        "too many:\n"
        "  id | amount | n | day\n"
        "  2  | 20.0   | 2 | 2024-01-01\n"
        "id=3: amount is 0.30000000000000004, expected 0.4, day is 2024-01-01, expected 2024-01-02"
    )
    assert told(ORDERS, ORDERS.with_columns(n=pl.lit(1, pl.Int32)).head(2), key=["id", "day"]) == (
        "1 row too many, 1 row with other values; 3 rows, expected 2\n"
        "too many:\n"
        "  id | amount              | n | day\n"
        "  3  | 0.30000000000000004 | 3 | 2024-01-01\n"
        "id=2, day=2024-01-01: n is 2, expected 1"
    )


def test_rows_without_a_key_count_as_often_as_they_are_there() -> None:
    assert told(pl.DataFrame({"a": ["x", "x", "y"]}), "a\nx\ny\ny") == (
        "1 row missing, 1 row too many; 3 rows, expected 3\nmissing:\n  a\n  y\ntoo many:\n  a\n  x"
    )


def test_null_is_a_value_like_others() -> None:
    rows = pl.DataFrame({"a": [None, None, "x"], "v": [1.0, None, 0.1 + 0.2]})
    assert told(rows, "a | v\nNULL | 1\nNULL | NULL\nx | 4") == (
        "1 row missing, 1 row too many; 3 rows, expected 3\n"
        "missing:\n  a | v\n  x | 4.0\n"
        "too many:\n  a | v\n  x | 0.30000000000000004"
    )
    assert told(rows.tail(2), "a | v\nNULL | 2\nx | 0.3", key="a") == (
        "1 row with other values; 2 rows, expected 2\na=NULL: v is NULL, expected 2.0"
    )


def test_fractions_that_nearly_are_the_same_are_not_told_apart_by_their_order() -> None:
    near = 1 + 1e-12
    actual = pl.DataFrame({"k": [1, 1], "x": [1.0, near], "y": [5.0, 3.0]})
    assert_frames_equal(actual, pl.DataFrame({"k": [1, 1], "x": [near, 1.0], "y": [5.0, 3.0]}))
    assert "missing" in told(pl.DataFrame({"x": [1.0]}), pl.DataFrame({"x": [1.000000005]}))


def test_order() -> None:
    same = ORDERS.select("id")
    assert told(same, "id\n1\n3\n2", ordered=True) == (
        "the same rows in another order, from row 2 on\nrow 2: id is 2, expected 3\nrow 3: id is 3, expected 2"
    )
    assert (
        told(same, "id\n1\n2\n4", ordered=True)
        == "1 row with other values; 3 rows, expected 3\nrow 3: id is 3, expected 4"
    )
    assert told(same, "id\n1", ordered=True).startswith("2 rows too many; 3 rows, expected 1\n")


def test_columns_and_types() -> None:
    assert told(ORDERS, "id | amout\n3 | 0.3") == (
        'column "amout" is missing\n  hint: did you mean "amount"? known: amount, day, id, n\n'
        "columns that are too many: amount, n, day"
    )
    assert told(ORDERS, "id | n:int\n1 | 1\n2 | 2\n3 | 3", columns="expected") == "column n is Int32, expected Int64"
    assert told(ORDERS, pl.DataFrame({"id": ["1"]}), columns=["id"]) == "column id is Int64, expected String"
    assert told(ORDERS, "id\n1", columns=["n"]) == 'column "n" is to be compared, but nothing is expected of it'
    assert told(ORDERS, ORDERS, key="idd") == (
        'unknown key column "idd"\n  hint: did you mean "id"? known: amount, day, id, n'
    )
    assert told(ORDERS, ORDERS, key="day") == "the key day occurs more than once among the actual rows: 2 rows too many"
    assert told(ORDERS, []) == "3 rows, expected none"


def test_many_rows_and_long_cells_stay_a_short_message() -> None:
    rows = 100_000
    many = pl.DataFrame({"id": range(rows), "v": [0.5] * rows, "s": ["x" * 500] * rows})
    changed = many.with_columns(v=pl.when(pl.col("id") % 10 == 3).then(1.5).otherwise("v")).filter(pl.col("id") % 7 > 0)
    lines = told(many, changed).splitlines()
    assert lines[0] == "14,286 rows too many, 8,572 rows with other values; 100,000 rows, expected 85,714"
    assert lines[2:4] == ["  id | v   | s", f"  0  | 0.5 | {'x' * 29}..."]
    assert lines[-2:] == ["id=43: v is 0.5, expected 1.5", "  and 8,567 more"]
    assert len(lines) == 15
