"""Which Polars types DuckDB stores, and which SQL types come back whole; all pass through Parquet both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from flowpipe.dtypes import clash, is_wider
from flowpipe.errors import DataError

_SAME = (
    pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32,
    pl.Float64, pl.String, pl.Binary, pl.Date, pl.Time,
)  # fmt: skip
# In Parquet they have no type that DuckDB knows: 128-bit integers would come back as bytes, categories as text.
_CHANGED: dict[type[pl.DataType], pl.DataType] = {
    pl.Int128: pl.Decimal(38, 0),
    pl.UInt128: pl.Decimal(38, 0),
    pl.Float16: pl.Float32(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
}
_NUMBERS = {
    "TINYINT": pl.Int8(), "SMALLINT": pl.Int16(), "INTEGER": pl.Int32(), "BIGINT": pl.Int64(), "UTINYINT": pl.UInt8(),
    "USMALLINT": pl.UInt16(), "UINTEGER": pl.UInt32(), "UBIGINT": pl.UInt64(), "FLOAT": pl.Float32(),
    "DOUBLE": pl.Float64(),
}  # fmt: skip
# What DuckDB writes to Parquet as something else, or as what Polars cannot read: HUGEINT becomes a float, UUID and JSON
# bytes, INTERVAL a panic. Quoted names and time stamps match first and stay.
_TOKEN = re.compile(
    r'(?P<kept>"(?:[^"]|"")*"|TIMESTAMP WITH TIME ZONE|TIMESTAMPTZ_NS|TIMESTAMP_NS)'
    r"|(?P<text>ENUM\((?:'(?:[^']|'')*'(?:, )?)*\)|TIME WITH TIME ZONE|\b(?:UUID|JSON|INTERVAL|BIT|BIGNUM)\b)"
    r"|(?P<decimal>\bU?HUGEINT\b)|(?P<timestamp>TIMESTAMP_M?S)|(?P<list>\[\d+\])"
)
_PLAIN = {"text": "VARCHAR", "decimal": "DECIMAL(38,0)", "timestamp": "TIMESTAMP", "list": "[]"}


def storable(schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:
    """The type that each column is written as, and read back as.

    Raises:
        DataError: a column that DuckDB cannot hold, or two that it does not tell apart.

    >>> storable({"carrier": pl.Categorical(), "at": pl.Datetime("ms", "Europe/Berlin")})
    {'carrier': String, 'at': Datetime(time_unit='us', time_zone='UTC')}
    """
    if found := clash(schema):
        message = f'columns "{found[0]}" and "{found[1]}" differ only in case, which DuckDB does not tell apart'
        raise DataError(message, hint="rename one of them")
    if "" in schema:
        raise DataError('"" cannot be a column in DuckDB', hint="give it a name")
    return {name: _stored(name, dtype, dtype) for name, dtype in schema.items()}


def plain(kind: str) -> str:
    """The SQL type that a column is cast to on its way out; the same where that is not needed.

    >>> plain("STRUCT(id UUID, at TIMESTAMP WITH TIME ZONE)[]"), plain("HUGEINT"), plain("BIGINT")
    ('STRUCT(id VARCHAR, at TIMESTAMP WITH TIME ZONE)[]', 'DECIMAL(38,0)', 'BIGINT')
    """
    if kind.startswith("UNION("):
        return "VARCHAR"
    return _TOKEN.sub(lambda match: match[0] if match["kept"] else _PLAIN[str(match.lastgroup)], kind)


def grows(now: str, new: str) -> bool:
    """Whether every value of an SQL type is one of another, wider one.

    >>> grows("INTEGER", "BIGINT"), grows("DECIMAL(10,2)", "DECIMAL(12,2)"), grows("BIGINT", "VARCHAR")
    (True, True, False)
    """
    narrow, wide = _number(now), _number(new)
    return narrow is not None and wide is not None and is_wider(wide, narrow)


def _number(kind: str) -> pl.DataType | None:
    if decimal := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind):
        return pl.Decimal(int(decimal[1]), int(decimal[2]))
    return _NUMBERS.get(kind)


def _stored(column: str, dtype: Any, whole: pl.DataType) -> pl.DataType:
    dtype = dtype() if isinstance(dtype, type) else dtype
    match dtype:
        case pl.Datetime():
            return pl.Datetime("ns" if dtype.time_unit == "ns" else "us", "UTC" if dtype.time_zone else None)
        case pl.Decimal():
            return pl.Decimal(dtype.precision or 38, dtype.scale)
        case pl.List() | pl.Array():
            return pl.List(_stored(column, dtype.inner, whole))
        case pl.Struct() if dtype.fields:
            return pl.Struct({field.name: _stored(column, field.dtype, whole) for field in dtype.fields})
    if isinstance(dtype, _SAME):
        return dtype
    if type(dtype) in _CHANGED:
        return _CHANGED[type(dtype)]
    hint = "cast the column, a duration for example with .dt.total_seconds()"
    raise DataError(f'column "{column}" is {whole}, which DuckDB cannot hold', hint=hint)
