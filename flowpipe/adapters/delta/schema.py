"""What a Delta table can hold: the type every column is written as, and which tables are written at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from deltalake import DeltaTable, Field, Schema
from polars.datatypes import DataTypeClass

from flowpipe.errors import DataError, PublishError

_WIDER: dict[type[pl.DataType], pl.DataType] = {
    # Delta has no unsigned integers, and delta-rs would reinterpret the bits.
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Int64(),
    pl.Int128: pl.Decimal(38, 0),
    pl.Float16: pl.Float32(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
    pl.Time: pl.String(),
}
_SAME = frozenset({
    pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64, pl.Boolean, pl.String, pl.Binary, pl.Date,
})  # fmt: skip
_HINTS: dict[type[pl.DataType], str] = {
    pl.Null: "cast it to the type it has when it is not empty, such as pl.String",
    pl.Duration: "store a number, such as dt.total_seconds()",
}
HIVE_TYPES = frozenset({pl.String, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Date, pl.Boolean})
# Features that change nothing for a writer of whole files as long as no column or property uses them (`_in_use` looks).
_HARMLESS = frozenset({
    "appendOnly", "invariants", "checkConstraints", "changeDataFeed", "generatedColumns", "identityColumns",
    "columnMapping", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck",
})  # fmt: skip
_READABLE = frozenset({"timestampNtz", "deletionVectors", "v2Checkpoint", "vacuumProtocolCheck"})


def storable(schema: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """The type that each column is written as.

    Raises:
        DataError: a column that a Delta table cannot hold.

    >>> storable({"n": pl.UInt32(), "at": pl.Datetime("ns")})
    {'n': Int64, 'at': Datetime(time_unit='us', time_zone=None)}
    """
    seen: dict[str, str] = {}
    for name in schema:
        if other := seen.get(name.lower()):
            raise DataError(
                f'columns "{other}" and "{name}" differ only in case, which Delta does not tell apart',
                hint="rename one of them",
            )
        seen[name.lower()] = name
    return {name: _stored(name, dtype) for name, dtype in schema.items()}


def _stored(column: str, declared: pl.DataType | DataTypeClass) -> pl.DataType:
    # Inside nested types Polars also takes a class, such as pl.Int64.
    dtype = declared if isinstance(declared, pl.DataType) else declared()
    kind = type(dtype)
    if kind in _SAME:
        return dtype
    if kind in _WIDER:
        return _WIDER[kind]
    match dtype:
        case pl.Datetime():
            return pl.Datetime("us", "UTC" if dtype.time_zone else None)
        case pl.Decimal():
            return pl.Decimal(dtype.precision or 38, dtype.scale)
        case pl.List() | pl.Array():
            return pl.List(_stored(column, dtype.inner))
        case pl.Struct() if dtype.fields:
            return pl.Struct({field.name: _stored(column, field.dtype) for field in dtype.fields})
    raise DataError(
        f'column "{column}" is {dtype}, which Delta cannot store', hint=_HINTS.get(kind, "cast it, or leave it out")
    )


def to_delta(schema: Mapping[str, pl.DataType]) -> Schema:
    """The Delta schema of these columns, all nullable."""
    return Schema.from_arrow(pl.DataFrame(schema=dict(schema)).to_arrow().schema)


def of_table(table: DeltaTable) -> dict[str, pl.DataType]:
    """The columns of a table as Polars reads them."""
    return dict(pl.Schema(table.schema()))


def merged(
    current: Mapping[str, pl.DataType], staged: Mapping[str, pl.DataType], *, may_add: bool
) -> dict[str, pl.DataType]:
    """The table's columns, then those that the staged rows add.

    Raises:
        DataError: a column changed its type, or columns came or went without `schema_change: add`.
    """
    for name in current.keys() & staged.keys():
        if current[name] != staged[name]:
            raise DataError(
                f'column "{name}" is {staged[name]}, but the table holds {current[name]}',
                hint=f"cast it to {current[name]}, or drop the table",
            )
    came = [name for name in staged if name not in current]
    went = [name for name in current if name not in staged]
    if (came or went) and not may_add:
        parts = [f"{verb} {', '.join(names)}" for verb, names in (("new:", came), ("missing:", went)) if names]
        raise DataError(
            f"the columns differ from the table's ({'; '.join(parts)})",
            hint="write `schema_change: add` to add columns and leave missing ones NULL",
        )
    return {**current, **staged}


def new_fields(names: Sequence[str], schema: Mapping[str, pl.DataType]) -> list[Field]:
    """The named columns as Delta fields."""
    return list(to_delta({name: schema[name] for name in names}).fields)


def refuse_unwritable(table: DeltaTable, location: str) -> None:
    """Say no to a table whose rules flowpipe's commits would not keep.

    Raises:
        PublishError: with the rule.
    """
    protocol = table.protocol()
    strange = sorted(set(protocol.writer_features or ()) - _HARMLESS)
    if found := (strange or _in_use(table)):
        raise PublishError(
            f"cannot write {location}: the table uses {', '.join(found)}",
            hint="flowpipe does not implement this; write to a table without it",
        )


def _in_use(table: DeltaTable) -> list[str]:
    settings = table.metadata().configuration
    found = [
        f"the CHECK constraint {key.removeprefix('delta.constraints.')}"
        for key in settings
        if key.startswith("delta.constraints.")
    ]
    if settings.get("delta.columnMapping.mode", "none") != "none":
        found.append("column mapping")
    if settings.get("delta.enableDeletionVectors") == "true":
        found.append("deletion vectors")
    for field in table.schema().fields:
        marks = ("delta.invariants", "delta.generationExpression", "delta.identity.start")
        found += [f'{mark} on column "{field.name}"' for mark in marks if mark in field.metadata]
        inner = field.type.to_json()
        if '"nullable":false' in inner or '"containsNull":false' in inner or '"valueContainsNull":false' in inner:
            found.append(f'NOT NULL inside column "{field.name}"')
    return found


def rules(table: DeltaTable) -> list[str]:
    """What a table asks of every row, so that delta-rs must write it."""
    return []


def refuse_unreadable(table: DeltaTable, location: str) -> None:
    """Say no to a table that Polars cannot read.

    Raises:
        DataError: with the feature.
    """
    protocol = table.protocol()
    strange = sorted(set(protocol.reader_features or ()) - _READABLE)
    if protocol.min_reader_version == 2 and not strange:
        strange = ["columnMapping"]
    if strange:
        raise DataError(
            f"cannot read {location}: the table uses {', '.join(strange)}", hint="rewrite the table without it"
        )
