"""The rows of one slice of a table: as a Polars filter, as delta-rs' SQL, and as a judgement on a file's bounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from flowpipe.errors import DataError
from flowpipe.partition import Slice, Window


@dataclass(frozen=True)
class Bounds:
    """The rows whose `column` lies in `[low, high)`, or equals `low` where `high` is None."""

    column: str
    dtype: pl.DataType
    low: date | str
    high: date | None = None

    @property
    def expression(self) -> pl.Expr:
        """A filter with typed literals, so that readers skip files by it."""
        return self._holds(pl.col(self.column))

    def _holds(self, value: pl.Expr) -> pl.Expr:
        low = pl.lit(self.low, self.dtype)
        return value == low if self.high is None else (value >= low) & (value < pl.lit(self.high, self.dtype))

    @property
    def sql(self) -> str:
        """The same in the SQL of delta-rs."""
        return self._sql(identifier(self.column))

    def qualified(self, table: str) -> str:
        """The same where a column needs the name of its table."""
        return self._sql(f"{table}.{identifier(self.column)}")

    def _sql(self, column: str) -> str:
        low = self._literal(self.low)
        if self.high is None:
            return f"{column} = {low}"
        return f"{column} >= {low} AND {column} < {self._literal(self.high)}"

    def _literal(self, value: date | str) -> str:
        text = (value if isinstance(value, str) else value.isoformat()).replace("'", "''")
        if isinstance(self.dtype, pl.Datetime):
            # A TIMESTAMP literal has nanoseconds, which delta-rs does not compare with microseconds.
            zone = 'Some("UTC")' if self.dtype.time_zone else "None"
            return f"arrow_cast('{text}', 'Timestamp(Microsecond, {zone})')"
        return f"DATE '{text}'" if isinstance(self.dtype, pl.Date) else f"'{text}'"

    def judge(self, files: pl.DataFrame) -> pl.DataFrame:
        """For each add action of a table, whether all its rows are proven `inside` the slice, or all `outside`."""
        hive = _field(files, "partition", self.column)
        if hive is not None:
            inside = self._holds(hive).fill_null(False)
            return files.select(inside=inside, outside=~inside)
        low, high = _field(files, "min", self.column), _field(files, "max", self.column)
        nulls = _field(files, "null_count", self.column)
        never = pl.lit(value=False)
        if low is None or high is None or nulls is None or self.high is None:
            # Bounds of text may be cut by other writers: they prove nothing about equality.
            return files.select(pl.col("path"), inside=never, outside=never).drop("path")
        first, end = pl.lit(self.low, self.dtype), pl.lit(self.high, self.dtype)
        inside = (low >= first) & (high < end) & (nulls == 0)
        outside = (high < first) | (low >= end) | (nulls == pl.col("num_records"))
        return files.select(inside=inside.fill_null(value=False), outside=outside.fill_null(value=False))


def _field(files: pl.DataFrame, group: str, column: str) -> pl.Expr | None:
    kind = files.schema.get(group)
    if isinstance(kind, pl.Struct) and any(field.name == column for field in kind.fields):
        return pl.col(group).struct.field(column)
    return None


def of_slice(part: Slice, column: str | None, dtype: pl.DataType | None) -> Bounds | None:
    """The bounds of a slice on a partition column of this type; None: all rows.

    Raises:
        DataError: the column is not there, or cannot tell a row's slice.
    """
    if part.kind == "whole" or column is None:
        return None
    if dtype is None:
        raise DataError(f'there is no partition column "{column}"', hint="see `partition:` of the dataset")
    if part.window is None and isinstance(dtype, pl.String):
        return Bounds(column, dtype, part.key)
    if part.window is not None and isinstance(dtype, pl.Date):
        return Bounds(column, dtype, part.window.start.date(), part.window.end.date())
    if part.window is not None and isinstance(dtype, pl.Datetime):
        return Bounds(column, dtype, *_moments(part.window, dtype.time_zone))
    wanted = "a String" if part.window is None else "a Date or Datetime"
    raise DataError(f'the partition column "{column}" is {dtype}, not {wanted}')


def _moments(window: Window, time_zone: str | None) -> tuple[datetime, datetime]:
    """Instants, or the wall clock of the window's time zone."""
    if time_zone:
        return window.start.astimezone(UTC), window.end.astimezone(UTC)
    return window.start.replace(tzinfo=None), window.end.replace(tzinfo=None)


def identifier(name: str) -> str:
    """A column's name, quoted for SQL.

    >>> identifier('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'
