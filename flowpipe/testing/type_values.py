"""Values of every Polars type at which stores break, and column names that no store expects."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any, Literal

import polars as pl
from hypothesis import strategies as st

_INTS: dict[pl.DataType, tuple[int, int]] = {
    **{kind(): (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for kind, bits in (
        (pl.Int8, 8), (pl.Int16, 16), (pl.Int32, 32), (pl.Int64, 64), (pl.Int128, 128))},
    **{kind(): (0, 2**bits - 1) for kind, bits in (
        (pl.UInt8, 8), (pl.UInt16, 16), (pl.UInt32, 32), (pl.UInt64, 64), (pl.UInt128, 128))},
}  # fmt: skip
_FIRST, _LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
# What nanoseconds reach.
_NEAR, _FAR = datetime(1677, 9, 22), datetime(2262, 4, 11)
_UNITS: tuple[Literal["ms", "us", "ns"], ...] = ("ms", "us", "ns")
_ZONES = (None, "UTC", "Europe/Berlin", "Asia/Kathmandu")
_TEXTS = ["", " ", "\0", "a\0b", 'O\'Hare "ü"', "🦆", "e\u0301", "\n\r\t", "\\N", "NULL", "\ufeff", "\u202e"]
NAMES = (
    "a b", " a", "a ", 'a"b', "a'b", "a`b", "ü", "日本", "🦆", "select", "order", "user", "a.b", "a,b", "a;b", "a=b",
    "a:b", "a/b", "a\\b", "a\nb", "a\tb", "a{b}", "(a)", "%", "%s", "$1", "?", "-", "1", "", "source", "target",
    "rowid", "ctid", "xmin", "tableoid", "__index_level_0__", "a" * 63, "a" * 64, "ü" * 32, "a" * 200,
)  # fmt: skip


def _edges() -> dict[pl.DataType, list[Any]]:
    floats = [0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf")]
    spans = [timedelta(0), timedelta(days=-1, microseconds=1), timedelta(days=40_000)]
    found: dict[pl.DataType, list[Any]] = {dtype: [low, high, 0, 1] for dtype, (low, high) in _INTS.items()}
    found |= {
        pl.Boolean(): [True, False],
        pl.Float32(): [*floats, 3.4028234663852886e38],
        pl.Float64(): [*floats, 5e-324, 1.7976931348623157e308],
        pl.String(): _TEXTS,
        pl.Binary(): [b"", b"\0", b"a\0b", bytes(range(256))],
        pl.Date(): [date.min, date(1582, 10, 4), date(1970, 1, 1), date.max],
        pl.Time(): [time.min, time(12, 30, 0, 1), time.max],
        pl.Decimal(10, 2): [Decimal("99999999.99"), Decimal("-0.01")],
        pl.Decimal(38, 0): [Decimal("9" * 38), Decimal("-" + "9" * 38), Decimal(0)],
        pl.Decimal(38, 38): [Decimal("0." + "9" * 38), Decimal("-0." + "9" * 38)],
        pl.Categorical(): ["a", "", "🦆"],
        pl.Enum(["b", "a", ""]): ["a", "b", ""],
        pl.Null(): [],
    }
    found |= {pl.Duration(unit): spans for unit in _UNITS}
    for unit, zone in itertools.product(_UNITS, _ZONES):
        inner = [datetime(1900, 2, 28), datetime(1969, 12, 31, 23, 59, 59, 999000), datetime(2024, 2, 29, 1, 2, 3)]
        outer = [_NEAR, _FAR] if unit == "ns" else [] if zone else [_FIRST, _LAST]
        found[pl.Datetime(unit, zone)] = [*inner, *outer]
    return found


EDGES = _edges()


def column(dtype: pl.DataType, values: list[Any]) -> pl.Series:
    """Values as a column; instants are given as wall clocks in UTC."""
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        clock = pl.Series("v", values, dtype=pl.Datetime(dtype.time_unit))
        return clock.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
    return pl.Series("v", values, dtype=dtype)


def nested() -> Iterator[pl.Series]:
    """Types within types, with NULL at every level."""
    yield pl.Series("v", [[1, None], [], None, [2]], dtype=pl.List(pl.Int64))
    yield pl.Series("v", [[["a"], None], [], None], dtype=pl.List(pl.List(pl.String)))
    yield pl.Series("v", [[1, 2], None, [None, 4]], dtype=pl.Array(pl.Int32, 2))
    yield pl.Series("v", [[[1, 2], [3, 4]], None], dtype=pl.Array(pl.Int64, (2, 2)))
    yield pl.Series("v", [{"x": 1, "y": "a"}, None, {"x": None, "y": None}])
    yield pl.Series("v", [{"x": {"y": [1, None]}}, {"x": None}, None])
    yield pl.Series("v", [[{"x": 1}, None], None, []], dtype=pl.List(pl.Struct({"x": pl.Int16})))
    yield pl.Series("v", [[Decimal("1.5")], None], dtype=pl.List(pl.Decimal(10, 2)))
    yield pl.Series("v", [[datetime(2024, 1, 1)], None], dtype=pl.List(pl.Datetime("ns")))
    yield pl.Series("v", [[2**64 - 1]], dtype=pl.List(pl.UInt64))
    yield pl.Series("v", [["\0"]], dtype=pl.List(pl.String))
    yield pl.Series("v", [{"odd name": 1, 'q"': 2}])
    yield pl.Series("v", [{"a": 1, "A": 2}])
    yield pl.Series("v", [[time(1)], None], dtype=pl.List(pl.Time))
    yield pl.Series("v", [["a"], None], dtype=pl.List(pl.Categorical))
    yield pl.Series("v", [[b"\0"], None], dtype=pl.List(pl.Binary))
    yield pl.Series("v", [[None], []], dtype=pl.List(pl.Null))
    yield pl.Series("v", [None, None], dtype=pl.Struct([]))


def columns() -> st.SearchStrategy[pl.Series]:
    """A column of any flat type, or of lists of it."""
    return st.sampled_from(list(EDGES)).flatmap(
        lambda dtype: st.lists(_values(dtype), max_size=5).map(lambda values: column(dtype, values))
    )


def _values(dtype: pl.DataType) -> st.SearchStrategy[Any]:
    """Values of one type: NULL, those at the edge, any."""
    known: st.SearchStrategy[Any] = st.none() | st.sampled_from(EDGES[dtype]) if EDGES[dtype] else st.none()
    return known | _any(dtype) if dtype not in _INTS else known | st.integers(*_INTS[dtype])


def _any(dtype: pl.DataType) -> st.SearchStrategy[Any]:
    values: st.SearchStrategy[Any] = st.none()
    match dtype:
        case pl.Float64() | pl.Float32():
            values = st.floats(width=64 if isinstance(dtype, pl.Float64) else 32)
        case pl.Decimal():
            most, exact = 10 ** (dtype.precision or 38) - 1, Context(prec=40)
            values = st.integers(-most, most).map(lambda number: Decimal(number).scaleb(-dtype.scale, exact))
        case pl.String():
            values = st.text(max_size=20)
        case pl.Binary():
            values = st.binary(max_size=20)
        case pl.Date():
            values = st.dates()
        case pl.Time():
            values = st.times()
        case pl.Datetime():
            near = dtype.time_unit == "ns" or dtype.time_zone
            values = st.datetimes(_NEAR, _FAR) if near else st.datetimes(_FIRST, _LAST)
        case pl.Duration():
            values = st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000))
    return values
