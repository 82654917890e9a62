"""Which Polars types PostgreSQL stores, and how each SQL type is read so that it comes back whole or is refused."""
# ruff: noqa: S608  names are quoted, and there are no values

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from flowpipe.adapters import sql
from flowpipe.errors import DataError

MARK = "flowpipe: "
_MOMENT = pl.Datetime("us")
_INSTANT = pl.Datetime("us", "UTC")
_WHOLE: dict[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "smallint": pl.Int16(),
    "integer": pl.Int32(),
    "bigint": pl.Int64(),
    "real": pl.Float32(),
    "double precision": pl.Float64(),
    "text": pl.String(),
    "bytea": pl.Binary(),
    "date": pl.Date(),
    "time without time zone": pl.Time(),
    "timestamp without time zone": _MOMENT,
    "timestamp with time zone": _INSTANT,
}
_NAMES = {dtype: kind for kind, dtype in _WHOLE.items()}
_TEXT = {"character varying", "character"}
_CHANGED: dict[type[pl.DataType], pl.DataType] = {
    pl.Int8: pl.Int16(),
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Decimal(20, 0),
    pl.Int128: pl.Decimal(38, 0),
    pl.UInt128: pl.Decimal(38, 0),
    pl.Float16: pl.Float32(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
}
# Values that PostgreSQL has and Polars has not; the driver would hand on something else. Its years end in 294276, those
# of 64-bit microseconds since 1970 in 294247.
_BEYOND = {
    "date": "{0} = 'infinity' OR {0} = '-infinity'",
    "timestamp without time zone": "{0} = '-infinity' OR {0} >= '294247-01-01'",
    "timestamp with time zone": "{0} = '-infinity' OR {0} >= '294247-01-01 00:00+00'",
    "time without time zone": "{0} = '24:00'",
    "numeric": "{0} = 'NaN' OR {0} = 'Infinity' OR {0} = '-Infinity'",
}
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
LONGEST = 63
_ITS_OWN = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


def storable(schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:
    """The type that each column is written as, and read back as.

    Raises:
        DataError: a column that PostgreSQL cannot hold, or cannot name.

    >>> storable({"carrier": pl.Categorical(), "at": pl.Datetime("ms", "Europe/Berlin"), "n": pl.UInt64()})
    {'carrier': String, 'at': Datetime(time_unit='us', time_zone='UTC'), 'n': Decimal(precision=20, scale=0)}
    """
    for name in schema:
        if not name or "\0" in name or len(name.encode()) > LONGEST:
            hint = f"rename it: PostgreSQL takes names of 1 to {LONGEST} bytes, without NUL"
            raise DataError(f'"{name}" cannot be a column in PostgreSQL', hint=hint)
        if name in _ITS_OWN:
            raise DataError(f'every table of PostgreSQL has a column "{name}" of its own', hint="rename it")
    return {name: _stored(name, dtype) for name, dtype in schema.items()}


def column(dtype: Any) -> str:
    """The SQL type of a column that holds values of a storable type.

    >>> column(pl.Decimal(10, 2)), column(pl.List(pl.Int64()))
    ('numeric(10,2)', 'bigint[]')
    """
    if isinstance(dtype, pl.List):
        return f"{column(dtype.inner)}[]"
    if isinstance(dtype, pl.Decimal):
        return f"numeric({dtype.precision},{dtype.scale})"
    return _NAMES[dtype]


def polars(kind: str) -> pl.DataType:
    """What a column of an SQL type is read as; what Polars has no type for is text, as PostgreSQL writes it.

    >>> polars("numeric(10,2)"), polars("numeric"), polars("uuid[]"), polars("timestamp(3) with time zone")
    (Decimal(precision=10, scale=2), String, List(String), Datetime(time_unit='us', time_zone='UTC'))
    """
    if kind.endswith("[]"):
        return pl.List(polars(kind[:-2]))
    number = _NUMERIC.fullmatch(kind)
    if number and int(number[2]) <= int(number[1]) <= 38:
        return pl.Decimal(int(number[1]), int(number[2]))
    return _WHOLE.get(_plain(kind), pl.String())


def read(name: str, kind: str) -> str:
    """A column as it is selected, under its name; a value that Polars cannot hold fails there, marked with `MARK`."""
    quoted, inner = sql.quoted(name), kind.removesuffix("[]")
    is_list = inner != kind
    dtype = polars(inner)
    decimal = isinstance(dtype, pl.Decimal)
    as_text = decimal or (dtype == pl.String() and inner != "text" and _plain(inner) not in _TEXT)
    value = f"{quoted}::text{'[]' * is_list}" if as_text else quoted
    beyond = _BEYOND.get("numeric" if decimal else _plain(inner))
    refused = [f"array_ndims({quoted}) > 1"] if is_list else []
    if beyond and is_list:
        refused.append(f"EXISTS (SELECT 1 FROM unnest({quoted}) AS each(x) WHERE {beyond.format('x')})")
    elif beyond:
        refused.append(beyond.format(quoted))
    if refused:
        # Text that is no value of the type fails its cast. It depends on the row, else it would be cast while planning.
        said = f"{sql.literal(f'{MARK}column {quoted} holds ')} || left({quoted}::text, 60)"
        fails = f"({said})::{_untyped(kind)}{value.removeprefix(quoted)}"
        value = f"CASE WHEN {' OR '.join(refused)} THEN {fails} ELSE {value} END"
    return quoted if value == quoted else f"{value} AS {quoted}"


def written(name: str, kind: str, staged: str) -> str:
    """A staged column as it goes into a column of another SQL type.

    Without the type's length: a value that is too long is then refused, where a cast would cut it.
    """
    quoted = sql.quoted(name)
    return quoted if kind == staged else f"{quoted}::{_untyped(kind)}"


def _plain(kind: str) -> str:
    """An SQL type without length and precision; a quoted name has none."""
    return kind if '"' in kind else re.sub(r"\([^)]*\)", "", kind)


def _untyped(kind: str) -> str:
    """The same where a type without its length means one of length 1."""
    inner, brackets = kind.removesuffix("[]"), "[]" * kind.endswith("[]")
    return {"character": "bpchar", "bit": '"bit"'}.get(_plain(inner), _plain(inner)) + brackets


def _stored(name: str, dtype: Any) -> pl.DataType:
    dtype = dtype() if isinstance(dtype, type) else dtype
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = _scalar(dtype.inner)
        if inner is not None:
            return pl.List(inner)
    elif (single := _scalar(dtype)) is not None:
        return single
    hint = "cast the column, a duration for example with .dt.total_seconds()"
    if isinstance(dtype, (pl.Struct, pl.List, pl.Array)):
        hint = "write it as JSON text: .struct.json_encode(), or unnest it"
    raise DataError(f'column "{name}" is {dtype}, which PostgreSQL cannot hold', hint=hint)


def _scalar(dtype: Any) -> pl.DataType | None:
    dtype = dtype() if isinstance(dtype, type) else dtype
    if isinstance(dtype, pl.Datetime):
        return _INSTANT if dtype.time_zone else _MOMENT
    if isinstance(dtype, pl.Decimal):
        return pl.Decimal(dtype.precision or 38, dtype.scale)
    return _CHANGED.get(type(dtype), dtype if dtype in _NAMES else None)
