"""Every Polars type in every file format: what comes back is exactly what was written, or nothing was published."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from polars.testing.parametric import dtypes, series

from flowpipe.adapters import Dataset
from flowpipe.adapters.files import Files, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError
from flowpipe.testing.suite import Store

ENDINGS = ("parquet", "csv", "ndjson", "json", "ipc")
TEXT = ("csv", "ndjson", "json")
NAN, INF = math.nan, math.inf


def taken(ending: str, frame: pl.DataFrame) -> str:
    """`exact`, or why it was refused; anything else is an error."""
    with TemporaryDirectory() as folder:
        store = Store(Files(Options(url="data", durability="none"), Path(folder)), Path(folder))
        dataset = Dataset("rows", DatasetConfig(store="here", path=f"rows.{ending}"))
        try:
            store.publish(dataset, frame)
        except DataError as error:
            return "lost" if "has no text for" in str(error) else "refused"
        assert_frame_equal(store.read(dataset), frame, check_exact=True, categorical_as_str=True)
        assert store.adapter.schema(dataset) == frame.schema
        return "exact"


def extremes(*kinds: Any) -> dict[str, pl.Series]:
    return {
        str(kind): pl.Series([pl.select(kind.min()).item(), pl.select(kind.max()).item(), None, 0], dtype=kind)
        for kind in kinds
    }


def moments(unit: Any, zone: str | None) -> pl.Series:
    """Far ones, the hour that the end of summer time repeats, and the finest step of each unit."""
    far = {"ns": (1678, 2262)}.get(unit, (2, 9999)) if zone in {None, "UTC"} else (1900, 2200)
    at = [datetime(year, 1, 2, 3, 4, 5) for year in far]
    at += [datetime(2013, 10, 27, 0, 30), datetime(2013, 10, 27, 1, 30), datetime(1969, 12, 31, 23)]
    values = (pl.Series([*at, None]).cast(pl.Datetime(unit)).cast(pl.Int64) - 1).cast(pl.Datetime(unit))
    return values.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else values


def in_zone(zone: str) -> pl.Series:
    """A time from when clocks showed the sun's time, minutes and seconds from UTC."""
    return pl.Series([datetime(1800, 1, 1)]).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)


TEXTS = [
    "", None, "a", "\0x", 'quo"te', "com,ma", "semi;colon", "tab\t", "line\nline", "\r\n", "\r", "🙂 ü", " lead",
    "trail ", "01", "1e3", "true", "NULL", "null", "nan", "2013-01-01", "\ufeff", "\\n", "'", "#", "x" * 1_000_000,
]  # fmt: skip
EXACT = ENDINGS
COLUMNARY = ("parquet", "ipc")
NESTING = ("parquet", "ndjson", "json", "ipc")
CASES: list[tuple[tuple[str, ...], dict[str, pl.Series]]] = [
    (
        EXACT,
        {
            **extremes(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
            "Float64": pl.Series([0.1 + 0.2, -0.0, None, 1.7976931348623157e308, 5e-324, 2.0**60]),
            "Float32": pl.Series([0.1, -0.0, None, 3.4028234663852886e38, 1e-45], dtype=pl.Float32),
            "Float16": pl.Series([0.1, -0.0, None, 65504.0], dtype=pl.Float16),
            "Decimal": pl.Series([Decimal(f"-{'9' * 28}.1234567891"), Decimal("0.1"), None], dtype=pl.Decimal(38, 10)),
            "Decimal(10, 0)": pl.Series([Decimal(12), None], dtype=pl.Decimal(10, 0)),
            "Boolean": pl.Series([True, False, None]),
            "String": pl.Series(TEXTS),
            "Date": pl.Series([date(1, 1, 1), date(9999, 12, 31), None]),
            "Time": pl.Series([0, 86_399_999_999_999, 1, None]).cast(pl.Time),
            **{f"Datetime({unit}, {zone})": moments(unit, zone)
               for unit in ("ms", "us", "ns") for zone in (None, "UTC", "Europe/Berlin")},
            "Categorical": pl.Series(["a", "", None], dtype=pl.Categorical),
            "Enum": pl.Series(["b", "a", None], dtype=pl.Enum(["b", "a"])),
            "Null": pl.Series([None, None]),
        },
    ),
    (
        ("parquet", "csv", "ipc"),
        {
            "UInt128": pl.Series([0, 2**128 - 1, None], dtype=pl.UInt128),
            "NaN": pl.Series([NAN, INF, -INF, None, 1.5]),
            "NaN in Float32": pl.Series([NAN, INF, -INF, None, 1.5], dtype=pl.Float32),
        },
    ),
    (
        NESTING,
        {
            "List": pl.Series([[1, None], [], None], dtype=pl.List(pl.Int8)),
            "List of Decimal": pl.Series([[Decimal("1.50")], None], dtype=pl.List(pl.Decimal(10, 2))),
            "List of List": pl.Series([[["a", ""], []], [None]], dtype=pl.List(pl.List(pl.String))),
            "Array": pl.Series([[1, None], None], dtype=pl.Array(pl.Int16, 2)),
            "Struct": pl.Series([{"x": 1, "y": "a"}, {"x": None, "y": None}, None],
                                dtype=pl.Struct({"x": pl.UInt8, "y": pl.Enum(["a"])})),
            "List of Struct": pl.Series([[{"at": datetime(2013, 1, 1)}], []],
                                        dtype=pl.List(pl.Struct({"at": pl.Datetime("us")}))),
            "List of Null": pl.Series([[None], []], dtype=pl.List(pl.Null)),
        },
    ),
    (
        COLUMNARY,
        {
            "Binary": pl.Series([b"\0\xff", b"", None]),
            **{f"Duration({unit})": pl.Series([timedelta(-1), timedelta(0, 0, 1000), None]).cast(pl.Duration(unit))
               for unit in ("ms", "us", "ns")},
            "Array of Array": pl.Series([[[1, 2], [3, 4]], None], dtype=pl.Array(pl.Int64, (2, 2))),
            "sun's time": in_zone("Europe/Amsterdam"),
            "List of NaN": pl.Series([[NAN], None]),
            "Struct of inf": pl.Series([{"x": INF}, None]),
            "Array of inf": pl.Series([[INF], None], dtype=pl.Array(pl.Float64, 1)),
            "List of Time": pl.Series([[time(1)], None]),
            "List of Binary": pl.Series([[b"a"], None]),
            "Map": pl.Series([{"x": 1}, None], dtype=pl.Map(pl.String, pl.Int64)),
        },
    ),
    (("parquet",), {"Array of nothing": pl.Series([[], []], dtype=pl.Array(pl.Int64, 0))}),
    ((), {"Struct of nothing": pl.Series([{}, {}], dtype=pl.Struct([]))}),
]  # fmt: skip
FLAT = [(name, values, exact) for exact, cases in CASES for name, values in cases.items()]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("name", "values", "exact"), FLAT, ids=[name for name, *_ in FLAT])
def test_each_type_is_exact_or_refused_in_each_format(name: str, values: pl.Series, exact: Any, ending: str) -> None:
    found = taken(ending, values.alias("c").to_frame())
    assert (found == "exact") == (ending in exact), found


NAMES = [
    "a b",
    'q"x',
    "ü🙂",
    "select",
    "A",
    "a",
    "",
    "\n",
    "a,b",
    "a.b",
    "{x}",
    "#c",
    " lead",
    "1",
    "\r",
    "null",
    "[0]",
]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(schema={"a": pl.Int8, "b": pl.String}),
        pl.DataFrame({name: [number] for number, name in enumerate(NAMES)}),
        pl.DataFrame({f"c{number}": [number, None] for number in range(1000)}),
    ],
    ids=["no row", "odd names", "1,000 columns"],
)
def test_each_shape_is_exact_in_each_format(frame: pl.DataFrame, ending: str) -> None:
    assert taken(ending, frame) == "exact"


ANY = dtypes(excluded_dtypes=[pl.Object, pl.Categorical], nesting_level=2)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), ending=st.sampled_from(ENDINGS))
def test_any_rows_are_exact_or_refused(data: st.DataObject, ending: str) -> None:
    """Also what nobody thought of: every type that Polars' own tests make up, in every format."""
    column = data.draw(series(dtype=data.draw(ANY), allow_null=True, max_size=5))
    assert taken(ending, column.alias("c").to_frame()) in {"exact", "lost", "refused"}
