"""Which types each format holds, and as what the text formats carry those that their readers do not know.

Text has no types: they come back where the file is as flowpipe published it, or the reader's options tell them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from polars import selectors as cs

_NESTED = (pl.List, pl.Array, pl.Struct, pl.Map)
# UInt128 comes back from JSON as NULL; spans of time have no text that Polars reads.
_UNTOLD: dict[str, tuple[type[pl.DataType], ...]] = {
    "csv": (pl.Binary, pl.Duration, *_NESTED),
    "ndjson": (pl.Binary, pl.Duration, pl.UInt128),
    "json": (pl.Binary, pl.Duration, pl.UInt128),
}
_JSON = ("json", "ndjson")
# The reader of NDJSON panics on these.
_SMALL = (pl.Int8, pl.Int16, pl.UInt8, pl.UInt16)


def takes(form: str, dtype: pl.DataType, *, nested: bool = False) -> bool:
    """Whether a column of this type, and what is nested in it, can be written and read again.

    >>> takes("csv", pl.List(pl.Int64)), takes("json", pl.List(pl.Int64)), takes("json", pl.List(pl.Time))
    (False, True, False)
    """
    if isinstance(dtype, (pl.Object, *_UNTOLD.get(form, ()))):
        return False
    # Every format is staged as Parquet, which has no struct without fields.
    if isinstance(dtype, pl.Struct) and not dtype.fields:
        return False
    if isinstance(dtype, pl.Array) and form != "parquet" and 0 in dtype.shape:
        return False
    if isinstance(dtype, pl.Time) and nested and form in _JSON:
        return False
    return all(takes(form, inner, nested=True) for inner in _inner(dtype))


def carried(form: str, dtype: pl.DataType) -> pl.DataType:
    """The type that a text format's reader is told; `restored` makes of it what was meant.

    >>> carried("ndjson", pl.List(pl.Int8())), carried("csv", pl.Null())
    (List(Int64), String)
    """
    told = dtype
    if form == "csv":
        told = pl.String() if isinstance(dtype, pl.Null) else dtype
    elif form not in _JSON:
        pass
    elif isinstance(dtype, _SMALL):
        told = pl.Int64()
    elif isinstance(dtype, (pl.Decimal, pl.Time, pl.Categorical, pl.Enum)):
        told = pl.String()
    elif isinstance(dtype, (pl.List, pl.Array)):
        told = pl.List(carried(form, _made(dtype.inner)))
    elif isinstance(dtype, pl.Struct):
        told = pl.Struct([pl.Field(field.name, carried(form, _made(field.dtype))) for field in dtype.fields])
    return told


def restored(frame: pl.LazyFrame, form: str, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Rows that were read as `carried` in the types of `schema`; columns that are not there are left out."""
    changed = {name: dtype for name, dtype in schema.items() if carried(form, dtype) != dtype}
    if not changed:
        return frame
    columns = ((cs.by_name(name, require_all=False), dtype) for name, dtype in changed.items())
    return frame.with_columns(
        column.str.to_time("%H:%M:%S%.f") if isinstance(dtype, pl.Time) else column.cast(dtype)
        for column, dtype in columns
    )


def lost(form: str, schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """For each column that may hold what a format has no text for, whether it does; named as the columns.

    JSON has no NaN and no infinite numbers: they would become NULL without a word.
    """
    if form not in _JSON:
        return []
    floats = {name: list(_floats(pl.col(name), dtype)) for name, dtype in schema.items()}
    return [pl.any_horizontal(found).alias(name) for name, found in floats.items() if found]


def _floats(column: pl.Expr, dtype: pl.DataType) -> Iterator[pl.Expr]:
    if dtype.is_float():
        yield (column.is_nan() | column.is_infinite()).any()
    elif isinstance(dtype, (pl.List, pl.Array)):
        yield from _floats(column.explode(), _made(dtype.inner))
    elif isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _floats(column.struct.field(field.name), _made(field.dtype))


def _inner(dtype: pl.DataType) -> list[pl.DataType]:
    if isinstance(dtype, (pl.List, pl.Array)):
        return [_made(dtype.inner)]
    return [_made(field.dtype) for field in dtype.fields] if isinstance(dtype, pl.Struct) else []


def _made(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made
