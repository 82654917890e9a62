"""Which types each format holds, and as what the text formats carry those that their readers do not know.

Text has no types: they come back where the file is as flowpipe published it, or the reader's options tell them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
from polars import selectors as cs

from flowpipe.adapters import Publication
from flowpipe.errors import DataError, Problem

_NESTED = (pl.List, pl.Array, pl.Struct, pl.Map)
# UInt128 comes back from JSON as NULL, a map as a struct; spans of time have no text that Polars reads.
_UNTOLD: dict[str, tuple[type[pl.DataType], ...]] = {
    "csv": (pl.BaseExtension, pl.Binary, pl.Duration, *_NESTED),
    "ndjson": (pl.BaseExtension, pl.Binary, pl.Duration, pl.UInt128, pl.Map),
    "json": (pl.BaseExtension, pl.Binary, pl.Duration, pl.UInt128, pl.Map),
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
    # To make a time of a nested text, or an array of arrays of nested lists with NULL, is more than Polars does.
    deep = isinstance(dtype, pl.Time) or (isinstance(dtype, pl.Array) and len(dtype.shape) > 1)
    if deep and (nested or isinstance(dtype, pl.Array)) and form in _JSON:
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


@dataclass(frozen=True)
class Loss:
    """What would be lost of a column, were it written as text; `found` is whether it holds such values."""

    column: str
    what: str
    found: pl.Expr


def losses(form: str, schema: Mapping[str, pl.DataType]) -> Iterator[Loss]:
    """What only the values tell: JSON makes NULL of NaN without a word, and text drops the seconds of an offset."""
    for name, dtype in schema.items():
        for leaf, kind in _leaves(pl.col(name), dtype) if form in _UNTOLD else ():
            if form in _JSON and kind.is_float():
                yield Loss(name, "NaN or infinite numbers", (leaf.is_nan() | leaf.is_infinite()).any())
            elif isinstance(kind, pl.Datetime) and kind.time_zone not in {None, "UTC"}:
                offset = leaf.dt.base_utc_offset() + leaf.dt.dst_offset()
                odd = offset.dt.total_seconds() % 60 != 0
                yield Loss(name, f"times when {kind.time_zone} was not whole minutes from UTC", odd.any())


def _leaves(column: pl.Expr, dtype: pl.DataType) -> Iterator[tuple[pl.Expr, pl.DataType]]:
    if isinstance(dtype, (pl.List, pl.Array)):
        yield from _leaves(column.explode(), _made(dtype.inner))
    elif isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _leaves(column.struct.field(field.name), _made(field.dtype))
    else:
        yield column, dtype


def _inner(dtype: pl.DataType) -> list[pl.DataType]:
    if isinstance(dtype, (pl.List, pl.Array)):
        return [_made(dtype.inner)]
    if isinstance(dtype, pl.Map):
        return [_made(dtype.key), _made(dtype.value)]
    return [_made(field.dtype) for field in dtype.fields] if isinstance(dtype, pl.Struct) else []


def _made(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def refuse_losses(publication: Publication, form: str) -> None:
    """Refuse values that would come back as others without a word.

    Raises:
        DataError: there are some.
    """
    feared = list(losses(form, publication.staged.schema))
    checks = [loss.found.alias(str(number)) for number, loss in enumerate(feared)]
    found = publication.staged.scan().select(checks).collect().row(0) if checks else ()
    told = [f'column "{loss.column}" holds {loss.what}' for loss, some in zip(feared, found, strict=True) if some]
    if told:
        head, tail = f"dataset {publication.dataset.name}: ", f", which {form} has no text for"
        hint = "make them NULL or convert them in the node, or write Parquet"
        raise DataError.of(Problem(text, None, hint) for text in dict.fromkeys(f"{head}{each}{tail}" for each in told))
