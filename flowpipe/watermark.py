"""How far a read was loaded: the newest value of a column, kept as the read's version, and the rows above it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl

from flowpipe.adapters import Adapter, Dataset, Pin
from flowpipe.adapters.abilities import Incremental
from flowpipe.bound import Read
from flowpipe.errors import DataError, unknown
from flowpipe.frames import collected
from flowpipe.partition import WHOLE, NewRows, Slice


def pin(adapter: Adapter, read: Read, part: Slice) -> Pin:
    """What a read is held to; with a watermark, its version is how far there are rows.

    Raises:
        Missing: there is nothing to read.
        DataError: the column cannot be a watermark.
    """
    found = adapter.pin(read.dataset, part)
    if read.watermark is None:
        return found
    # What comes later is above it and not read, so that nothing that is read moves.
    return Pin(_text(_newest(adapter, read.dataset, read.watermark, found)), found.token, snapshot=True)


def new_rows(read: Read, low: str | None, high: str | None) -> NewRows:
    """The rows between two versions of a read; no `low`: from the beginning."""
    assert read.watermark is not None
    return NewRows(read.watermark, _value(low), _value(high))


def cut(frame: pl.LazyFrame, new: NewRows) -> pl.LazyFrame:
    """The rows in `(low, high]`; a row whose watermark is NULL is never new."""
    dtype = frame.collect_schema()[new.column]
    column, low, high = pl.col(new.column), pl.lit(new.low, dtype), pl.lit(new.high, dtype)
    return frame.filter(column <= high if new.low is None else (column > low) & (column <= high))


def _newest(adapter: Adapter, dataset: Dataset, column: str, pinned: Pin) -> Any:
    columns = adapter.schema(dataset) or {}
    dtype = columns.get(column)
    if columns and dtype is None:
        problem = unknown(f"watermark of {dataset.name}: column", column, columns)
        raise DataError(problem.message, hint=problem.hint)
    fits = dtype is None or dtype.is_integer() or isinstance(dtype, (pl.Date, pl.String))
    if not fits and not (isinstance(dtype, pl.Datetime) and dtype.time_unit != "ns"):
        text = f"watermark of {dataset.name}: column {column} is {dtype}"
        raise DataError(text, hint="take a whole number, a text, a Date, or a Datetime in microseconds")
    if isinstance(adapter, Incremental):
        return adapter.newest(dataset, column)
    from pathlib import Path

    return collected(adapter.read(dataset, WHOLE, pinned, Path()).select(pl.col(column).max())).item()


def _text(value: Any) -> str:
    """A value that comes back from `_value`: its kind and its text; nothing for None.

    >>> _text(7), _text(date(2024, 1, 2)), _value(_text("b")), _value(_text(datetime(2024, 1, 2, 3)))
    ('int 7', 'date 2024-01-02', 'b', datetime.datetime(2024, 1, 2, 3, 0))
    """
    if value is None:
        return ""
    return f"{type(value).__name__} {value.isoformat() if isinstance(value, date) else value}"


def _value(text: str | None) -> Any:
    if not text:
        return None
    kind, _, rest = text.partition(" ")
    kinds: dict[str, Any] = {"int": int, "str": str, "date": date.fromisoformat, "datetime": datetime.fromisoformat}
    return kinds[kind](rest)
