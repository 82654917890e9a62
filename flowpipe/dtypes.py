"""Which Polars type holds every value of another, and how the columns of rows differ from those of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

_BITS: dict[type[pl.DataType], tuple[int, int]] = {
    # Bits below zero, bits above.
    pl.Int8: (7, 7), pl.Int16: (15, 15), pl.Int32: (31, 31), pl.Int64: (63, 63), pl.Int128: (127, 127),
    pl.UInt8: (0, 8), pl.UInt16: (0, 16), pl.UInt32: (0, 32), pl.UInt64: (0, 64),
}  # fmt: skip


def is_wider(wide: pl.DataType, narrow: pl.DataType) -> bool:
    """Whether one type holds every value of another, narrower one.

    >>> is_wider(pl.Int64(), pl.UInt32()), is_wider(pl.Int64(), pl.UInt64()), is_wider(pl.Float64(), pl.Int64())
    (True, False, False)
    >>> is_wider(pl.Decimal(12, 4), pl.Decimal(10, 2)), is_wider(pl.Decimal(12, 4), pl.Decimal(11, 2))
    (True, False)
    """
    if wide == narrow:
        return False
    if type(wide) in _BITS and type(narrow) in _BITS:
        return all(more >= less for more, less in zip(_BITS[type(wide)], _BITS[type(narrow)], strict=True))
    if isinstance(wide, pl.Decimal) and isinstance(narrow, pl.Decimal):
        before = (wide.precision or 38) - wide.scale, (narrow.precision or 38) - narrow.scale
        return wide.scale >= narrow.scale and before[0] >= before[1]
    return isinstance(wide, pl.Float64) and isinstance(narrow, (pl.Float32, pl.Int8, pl.Int16, pl.Int32))


def widest(new: pl.DataType, now: pl.DataType) -> pl.DataType:
    """The type of the two that holds the values of both; `new` where neither does.

    >>> widest(pl.Int32(), pl.Int64()), widest(pl.String(), pl.Int64())
    (Int64, String)
    """
    return now if is_wider(now, new) else new


def changes(
    now: Mapping[str, pl.DataType],
    new: Mapping[str, pl.DataType],
    *,
    widens: Callable[[pl.DataType, pl.DataType], bool] | None = None,
) -> list[str]:
    """How new rows differ from a table's columns; with `widens`, columns may come, stay away and grow.

    >>> changes({"a": pl.Int64()}, {"a": pl.String(), "b": pl.Int64()})
    ['column a is Int64 in the table and String in the new rows', 'column b is not in the table']
    """
    found = [
        f"column {name} is {now[name]} in the table and {new[name]} in the new rows"
        for name in new
        if name in now and now[name] != new[name] and not (widens and widens(now[name], new[name]))
    ]
    if widens is None:
        found += [f"column {name} is not in the table" for name in new if name not in now]
        found += [f"column {name} of the table is not in the new rows" for name in now if name not in new]
    return found


def clash(names: Mapping[str, Any]) -> tuple[str, str] | None:
    """Two columns, or two fields of one struct at any depth, whose names differ only in case.

    >>> clash({"a": pl.Int64(), "b": pl.List(pl.Struct({"x": pl.Int64(), "X": pl.Int64()}))})
    ('x', 'X')
    """
    seen: dict[str, str] = {}
    for name, dtype in names.items():
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            return other, name
        inner: Any = dtype  # inside nested types Polars also takes a class, such as pl.Int64
        while isinstance(inner, (pl.List, pl.Array)):
            inner = inner.inner
        if isinstance(inner, pl.Struct) and (found := clash({field.name: field.dtype for field in inner.fields})):
            return found
    return None
