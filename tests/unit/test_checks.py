"""What follows from an audit's numbers, table-level expectations, and rejected rows of every type as JSON."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal

import polars as pl
import pytest

from flowpipe.checks import REJECTED_SCHEMA, Counts, Expectations, RowLimit, Verdict, rejected, verdict
from flowpipe.datasets import Expect
from flowpipe.rules import CHECKS

NOW = datetime(2013, 2, 3, tzinfo=UTC)
LINE = "x: ge(0): 6 of 1,000 rows"


class TestVerdict:
    def test_nothing_failed(self) -> None:
        assert verdict(5, {"x: ge(0)": 0}, 0, on_invalid="fail") == Verdict("pass")

    @pytest.mark.parametrize("on_invalid", ["fail", "quarantine", "warn"])
    def test_invalid_rows_take_the_way_that_is_set(self, on_invalid: Literal["fail", "quarantine", "warn"]) -> None:
        seen = verdict(1000, {"x: ge(0)": 6, "x: le(9)": 0}, 6, on_invalid=on_invalid)
        assert seen == Verdict(on_invalid, (LINE,))

    @pytest.mark.parametrize("on_invalid", ["quarantine", "warn"])
    @pytest.mark.parametrize("limit", [5, "5", "0.5%", 0.005])
    def test_more_than_the_limit_fails(self, on_invalid: Literal["quarantine", "warn"], limit: str | float) -> None:
        seen = verdict(1000, {"x: ge(0)": 6}, 6, on_invalid=on_invalid, max_invalid=limit)
        over = f"6 of 1,000 rows are invalid, more than max_invalid: {limit}"
        assert seen == Verdict("fail", (LINE, over))

    @pytest.mark.parametrize("limit", [6, "6", "0.6%", 0.006])
    def test_the_limit_itself_is_allowed(self, limit: str | float) -> None:
        seen = verdict(1000, {"x: ge(0)": 6}, 6, on_invalid="quarantine", max_invalid=limit)
        assert seen == Verdict("quarantine", (LINE,))

    def test_what_names_no_row_cannot_be_quarantined(self) -> None:
        whole = ["mean: failed for the rows as a whole"]
        assert verdict(9, {}, 0, on_invalid="quarantine", whole_failures=whole) == Verdict("fail", tuple(whole))
        assert verdict(9, {}, 0, on_invalid="fail", whole_failures=whole) == Verdict("fail", tuple(whole))
        assert verdict(9, {}, 0, on_invalid="warn", whole_failures=whole) == Verdict("warn", tuple(whole))

    def test_checks_that_only_warn_never_fail(self) -> None:
        seen = verdict(1000, {"x: ge(0)": 6}, 0, on_invalid="fail", max_invalid=0)
        assert seen == Verdict("warn", (LINE,))


@pytest.mark.parametrize("percent", range(101))
def test_a_share_in_percent_is_exact(percent: int) -> None:
    limit = RowLimit.parse(f"{percent}%")
    assert limit.allows(percent, 100)
    assert not limit.allows(percent + 1, 100)


@pytest.mark.parametrize("text", ["many", "-1", "101%", "1.5", "5 %%", ""])
def test_a_limit_that_is_neither_rows_nor_a_share(text: str) -> None:
    with pytest.raises(ValueError, match="neither") as caught:
        RowLimit.parse(text)
    assert str(caught.value) == f'"{text}" is neither a number of rows such as 100 nor a share such as "5%"'


def test_counts_are_read_from_one_row() -> None:
    frame = pl.DataFrame({"rows": [3], "invalid": [1], "rows: ge(0)": [1]})
    assert Counts.of(frame) == Counts(3, 1, {"rows: ge(0)": 1})


def unmet(expect: Expect, frame: pl.DataFrame) -> tuple[str, ...]:
    expectations = Expectations.parse(expect)
    assert expectations.problems(frame.schema) == []
    return expectations.failures(expectations.measure(frame.lazy()).collect(), now=NOW)


class TestExpectations:
    @pytest.mark.parametrize(
        ("rows", "fewest", "most"),
        [
            *((3, 3, 3), ("3", 3, 3), ("== 3", 3, 3), (">= 2", 2, 9), ("> 2", 3, 9), ("<=3", 0, 3), ("< 3", 0, 2)),
            *(("2..4", 2, 4), ("2 .. 2", 2, 2)),
        ],
    )
    def test_rows(self, rows: str | int, fewest: int, most: int) -> None:
        for height in range(10):
            frame = pl.DataFrame({"x": range(height)})
            met = fewest <= height <= most
            assert unmet(Expect(rows=rows), frame) == (() if met else (f"expect rows {rows}: there are {height}",))

    @pytest.mark.parametrize("rows", ["many", "=> 1", "4..2", "1_000", "-1"])
    def test_rows_that_are_not_understood(self, rows: str) -> None:
        with pytest.raises(ValueError, match="rows") as caught:
            Expectations.parse(Expect.model_construct(rows=rows))
        assert str(caught.value) == f'rows "{rows}" is not understood; write it like 1000, ">= 1" or "10..500"'

    @pytest.mark.parametrize(
        ("newest", "text"),
        [
            (date(2013, 2, 1), None),
            (date(2013, 1, 31), "the newest is 2013-01-31"),
            (datetime(2013, 2, 1), None),
            (datetime(2013, 1, 31, 23, 59), "the newest is 2013-01-31 23:59:00"),
            (datetime(2013, 2, 1, 1, tzinfo=timezone(timedelta(hours=1))), None),
            (None, "at has no value"),
        ],
    )
    def test_freshness(self, newest: date | None, text: str | None) -> None:
        dtype = pl.Date() if newest is None or type(newest) is date else None
        frame = pl.DataFrame({"at": pl.Series([None, newest], dtype=dtype)})
        expected = () if text is None else (f"expect at within 2d: {text}",)
        assert unmet(Expect(freshness="at within 2d"), frame) == expected

    @pytest.mark.parametrize(("unit", "span"), [("m", 1 / 24 / 60), ("h", 1 / 24), ("d", 1), ("w", 7)])
    def test_units_of_freshness(self, unit: str, span: float) -> None:
        assert Expectations.parse(Expect(freshness=f"loaded at within 3{unit}")).max_age == timedelta(days=3 * span)

    def test_freshness_that_is_not_understood(self) -> None:
        with pytest.raises(ValueError, match="freshness") as caught:
            Expectations.parse(Expect.model_construct(freshness="within 2d"))
        assert str(caught.value) == (
            'freshness "within 2d" is not understood; write it like "loaded_at within 2d" (m, h, d, w)'
        )

    def test_unique(self) -> None:
        frame = pl.DataFrame({"carrier": ["AA", "AA", None, None, "AA"], "day": [1, 2, 1, 1, 1]})
        found = unmet(Expect(unique=["carrier", "day"]), frame)
        assert found == ("expect unique(carrier, day): 2 of 5 rows repeat another",)
        assert unmet(Expect(unique=["carrier", "day"]), frame.unique()) == ()

    def test_nothing_expected_is_met(self) -> None:
        assert unmet(Expect(), pl.DataFrame({"x": [1, 1]})) == ()

    def test_columns_that_cannot_be_measured_are_named(self) -> None:
        expectations = Expectations.parse(Expect(freshness="loaded within 2d", unique=["carier"]))
        assert expectations.problems({"carrier": pl.String(), "loaded": pl.Int64()}) == [
            'expect: unknown column "carier"; did you mean "carrier"? known: carrier, loaded',
            "expect: freshness needs a Date or Datetime, loaded is Int64",
        ]


def as_json(series: pl.Series) -> list[Any]:
    """What `rejected` keeps of each value."""
    frame = pl.LazyFrame({"x": series}).with_columns(pl.lit(["x: bad"]).alias(CHECKS))
    return [json.loads(row)["x"] for row in rejected(frame, part="all", run="r").collect()["row"]]


BERLIN = pl.Datetime("us", "Europe/Berlin")
MOMENT = datetime(2013, 1, 2, 3, 4, 5, 600000)
RAW = base64.b64encode(b"\xff\x00").decode()


@pytest.mark.parametrize(
    ("values", "dtype", "kept"),
    [
        ([True, None], pl.Boolean, [True, None]),
        ([-(2**63), None], pl.Int64, [-(2**63), None]),
        ([2**64 - 1], pl.UInt64, [2**64 - 1]),
        ([2**100], pl.Int128, [2**100]),
        ([0.1, math.nan, math.inf, -math.inf, None], pl.Float64, [0.1, "NaN", "inf", "-inf", None]),
        ([0.5, math.nan], pl.Float32, [0.5, "NaN"]),
        ([Decimal("1.20"), None], pl.Decimal(9, 2), ["1.20", None]),
        (['a"\n\\é', "", None], pl.String, ['a"\n\\é', "", None]),
        ([b"\xff\x00", b"", None], pl.Binary, [RAW, "", None]),
        (["a", None], pl.Categorical, ["a", None]),
        (["a", None], pl.Enum(["a"]), ["a", None]),
        ([None, None], pl.Null, [None, None]),
        ([MOMENT.date(), None], pl.Date, ["2013-01-02", None]),
        ([MOMENT], pl.Datetime("us"), ["2013-01-02 03:04:05.600"]),
        ([MOMENT.replace(tzinfo=UTC)], BERLIN, ["2013-01-02T04:04:05.600+01:00"]),
        ([time(3, 4, 5)], pl.Time, ["03:04:05"]),
        ([timedelta(seconds=90)], pl.Duration("us"), ["PT90S"]),
        ([[1, None], [], None], pl.List(pl.Int64), [[1, None], [], None]),
        ([[b"\xff\x00", None], None], pl.List(pl.Binary), [[RAW, None], None]),
        ([[b"\xff\x00", None], None], pl.Array(pl.Binary, 2), [[RAW, None], None]),
        ([{"a": 1, "b": "x"}, None], pl.Struct({"a": pl.Int64, "b": pl.String}), [{"a": 1, "b": "x"}, None]),
        (
            [[{"a": {"b": b"\xff\x00"}}, None], None],
            pl.List(pl.Struct({"a": pl.Struct({"b": pl.Binary})})),
            [[{"a": {"b": RAW}}, None], None],
        ),
        ([[math.nan]], pl.List(pl.Float64), [[None]]),
    ],
)
def test_a_rejected_value_of_any_type_is_json(values: list[Any], dtype: Any, kept: list[Any]) -> None:
    assert as_json(pl.Series(values, dtype=dtype, strict=False)) == kept


def test_a_rejected_row_says_where_it_was_and_what_it_failed() -> None:
    bad = pl.LazyFrame(
        {"checks": ["mine"], 'a "{}" name': [math.nan], CHECKS: [["x: ge(0)", "unique(x, y)"]]},
    )
    found = rejected(bad, part="2013-02", run="r1").collect()
    assert found.schema == REJECTED_SCHEMA
    assert found.to_dicts() == [
        {
            "slice": "2013-02",
            "run": "r1",
            "checks": "x: ge(0), unique(x, y)",
            "row": '{"checks":"mine","a \\"{}\\" name":"NaN"}',
        }
    ]


def test_no_rejected_row_still_has_the_schema() -> None:
    empty = pl.LazyFrame(schema={"x": pl.Int64, "b": pl.Binary, CHECKS: pl.List(pl.String)})
    found = rejected(empty, part="all", run="r1").collect()
    assert (found.schema, found.height) == (REJECTED_SCHEMA, 0)
