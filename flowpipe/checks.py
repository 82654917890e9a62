"""What the numbers of an audit mean: the verdict, table-level expectations, and how a rejected row is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import polars as pl

from flowpipe.datasets import Expect
from flowpipe.errors import unknown
from flowpipe.fields import RowLimit
from flowpipe.rules import CHECKS, DataType, OnInvalid

REJECTED_SCHEMA = {"slice": pl.String(), "run": pl.String(), "checks": pl.String(), "row": pl.String()}
_ROWS = re.compile(r"(>=|<=|==|>|<)?\s*(\d+)")
_BETWEEN = re.compile(r"(\d+)\s*\.\.\s*(\d+)")
_FRESHNESS = re.compile(r"(\S.*?)\s+within\s+(\d+)\s*([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True)
class Counts:
    """How many rows an audit saw, how many failed at least one check, and how many failed each."""

    rows: int
    invalid: int
    failed: Mapping[str, int]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Counts:
        """The counts in the one row of `Audited.counts`, collected."""
        rows, invalid, *failed = frame.row(0)
        return cls(rows, invalid, dict(zip(frame.columns[2:], failed, strict=True)))


@dataclass(frozen=True)
class Verdict:
    """What becomes of an audited output, and the failures that led to it in lines for people."""

    outcome: Literal["pass", "quarantine", "warn", "fail"]
    lines: tuple[str, ...] = ()


def verdict(
    rows: int,
    failed: Mapping[str, int],
    invalid: int,
    *,
    on_invalid: OnInvalid,
    max_invalid: str | float | None = None,
    whole_failures: Sequence[str] = (),
) -> Verdict:
    """Decide on an output from its counts.

    `failed` is the number of failing rows by check, `invalid` the number of rows that failed any, `whole_failures` the
    failures that name no row. Checks that only warn (Pandera's `raise_warning`) are in `failed` but not in `invalid`.

    >>> verdict(336776, {"dep_delay: in_range(-60, 1500)": 3}, 3, on_invalid="quarantine")
    Verdict(outcome='quarantine', lines=('dep_delay: in_range(-60, 1500): 3 of 336,776 rows',))
    """
    lines = [f"{name}: {count:,} of {rows:,} rows" for name, count in failed.items() if count]
    lines += whole_failures
    if not lines:
        return Verdict("pass")
    if max_invalid is not None and on_invalid != "fail":
        limit = RowLimit.parse(max_invalid)
        if not limit.allows(invalid, rows):
            over = f"{invalid:,} of {rows:,} rows are invalid, more than max_invalid: {limit.text}"
            return Verdict("fail", (*lines, over))
    if whole_failures and on_invalid == "quarantine":
        return Verdict("fail", tuple(lines))
    only_warnings = not invalid and not whole_failures
    return Verdict("warn" if only_warnings else on_invalid, tuple(lines))


@dataclass(frozen=True)
class Expectations:
    """A dataset's `expect:`, ready to be measured and judged; `text` of each is what the user wrote."""

    rows: tuple[int, int | None] | None = None
    rows_text: str = ""
    fresh_column: str | None = None
    max_age: timedelta = timedelta()
    fresh_text: str = ""
    unique: tuple[str, ...] = ()

    @classmethod
    def parse(cls, expect: Expect) -> Expectations:
        """Read a dataset's `expect:`.

        Raises:
            ValueError: `rows` or `freshness` is not written as it should be.
        """
        rows = None if expect.rows is None else _row_bounds(str(expect.rows))
        column, age, text = None, timedelta(), expect.freshness or ""
        if expect.freshness is not None:
            match = _FRESHNESS.fullmatch(text.strip())
            if match is None:
                raise ValueError(
                    f'freshness "{text}" is not understood; write it like "loaded_at within 2d" (m, h, d, w)'
                )
            column, age = match[1], int(match[2]) * _UNITS[match[3]]
        return cls(rows, str(expect.rows), column, age, text, tuple(expect.unique or ()))

    def problems(self, schema: Mapping[str, pl.DataType]) -> list[str]:
        """What keeps these expectations from being measured on rows of this schema."""
        wanted = [*self.unique, *([self.fresh_column] if self.fresh_column else [])]
        absent = [unknown("column", name, schema) for name in wanted if name not in schema]
        found = [f"expect: {problem.message}; {problem.hint}" for problem in absent]
        actual = schema.get(self.fresh_column or "")
        if actual is not None and not isinstance(actual, (pl.Date, pl.Datetime)):
            found.append(f"expect: freshness needs a Date or Datetime, {self.fresh_column} is {actual}")
        return found

    def measure(self, lf: pl.LazyFrame) -> pl.LazyFrame:
        """One row with what `failures` needs, to be collected in the same pass as the rows themselves."""
        if not (self.rows or self.fresh_column or self.unique):
            return pl.LazyFrame({"rows": [0], "newest": [None], "distinct": [0]})  # a branch of the pass is not free
        newest = pl.col(self.fresh_column).max() if self.fresh_column else pl.lit(None)
        distinct = pl.struct(self.unique).n_unique() if self.unique else pl.len()
        return lf.select(pl.len().alias("rows"), newest.alias("newest"), distinct.alias("distinct"))

    def failures(self, measured: pl.DataFrame, *, now: datetime) -> tuple[str, ...]:
        """The expectations that the collected row of `measure` does not meet; `now` is an aware datetime."""
        rows, newest, distinct = measured.row(0)
        found = []
        if self.rows and not (self.rows[0] <= rows and (self.rows[1] is None or rows <= self.rows[1])):
            found.append(f"expect rows {self.rows_text}: there are {rows:,}")
        if self.fresh_column and newest is None:
            found.append(f"expect {self.fresh_text}: {self.fresh_column} has no value")
        elif self.fresh_column and now - _moment(newest) > self.max_age:
            found.append(f"expect {self.fresh_text}: the newest is {newest}")
        if distinct < rows:
            found.append(
                f"expect unique({', '.join(self.unique)}): {rows - distinct:,} of {rows:,} rows repeat another"
            )
        return tuple(found)


def _row_bounds(text: str) -> tuple[int, int | None]:
    """The least and the greatest number of rows, both included."""
    if between := _BETWEEN.fullmatch(text.strip()):
        low, high = int(between[1]), int(between[2])
        if low <= high:
            return low, high
    elif match := _ROWS.fullmatch(text.strip()):
        number = int(match[2])
        return {
            ">=": (number, None),
            ">": (number + 1, None),
            "<=": (0, number),
            "<": (0, number - 1),
            "==": (number, number),
        }[match[1] or "=="]
    raise ValueError(f'rows "{text}" is not understood; write it like 1000, ">= 1" or "10..500"')


def _moment(value: date | datetime) -> datetime:
    """A date is its midnight; without a time zone it is UTC."""
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def rejected(bad: pl.LazyFrame, *, part: str, run: str) -> pl.LazyFrame:
    """Rejected rows as they are kept, in `REJECTED_SCHEMA`: `row` is the row as JSON, so any type fits.

    `bad` has the data columns and a list column `CHECKS`. Dates and times are ISO text, decimals text, binary base64,
    numbers that JSON lacks `"NaN"`, `"inf"`, `"-inf"` (within lists and structs NULL).
    """
    fields = [_member(name, dtype) for name, dtype in bad.collect_schema().items() if name != CHECKS]
    return bad.select(
        pl.lit(part).alias("slice"),
        pl.lit(run).alias("run"),
        pl.col(CHECKS).list.join(", ").alias("checks"),
        pl.concat_str(pl.lit("{"), pl.concat_str(fields, separator=","), pl.lit("}")).alias("row"),
    )


def _member(name: str, dtype: DataType) -> pl.Expr:
    """`"name":value` of one column."""
    value = pl.col(name)
    member = pl.struct(_encodable(value, dtype).alias(name)).struct.json_encode().str.slice(1).str.head(-1)
    if not dtype.is_float():
        return member
    special = pl.concat_str(pl.lit(f'{json.dumps(name)}:"'), value.cast(pl.String), pl.lit('"'))
    return pl.when(value.is_finite() | value.is_null()).then(member).otherwise(special)


def _encodable(value: pl.Expr, dtype: DataType) -> pl.Expr:
    """The value with all binary in it, at any depth, as base64: `json_encode` of Polars 2.1 panics on binary."""
    match dtype:
        case pl.Binary():
            return value.bin.encode("base64")
        case pl.List():
            return value.list.eval(_encodable(pl.element(), dtype.inner))
        case pl.Array():
            return _encodable(value.arr.to_list(), pl.List(dtype.inner))
        case pl.Struct():
            members = [
                _encodable(value.struct.field(field.name), field.dtype).alias(field.name) for field in dtype.fields
            ]
            return pl.when(value.is_not_null()).then(pl.struct(members))
    return value
