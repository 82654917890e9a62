"""What a Delta table can hold: the type every column is written as, and which tables are written at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import polars as pl
from deltalake import DeltaTable, Field, Schema
from polars.datatypes import DataTypeClass

from flowpipe.dtypes import changes, clash
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
_CHECK = "delta.constraints."
_INVARIANT = "delta.invariants"
_GENERATED = "delta.generationExpression"
_IDENTITY = {"delta.identity.start", "delta.identity.step", "delta.identity.allowExplicitInsert"}
# Features that ask nothing of a writer of whole files as long as no column or property uses them: `rules` looks.
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
    if found := clash(schema):
        message = f'columns "{found[0]}" and "{found[1]}" differ only in case, which Delta does not tell apart'
        raise DataError(message, hint="rename one of them")
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
    if problems := changes(current, staged, widens=(lambda _now, _new: False) if may_add else None):
        columns_only = all(current[name] == staged[name] for name in current.keys() & staged.keys())
        hint = "write `schema_change: add` to add columns and leave missing ones NULL"
        raise DataError("; ".join(problems), hint=hint if columns_only else "cast the columns, or drop the table")
    return {**current, **staged}


def new_fields(names: Sequence[str], schema: Mapping[str, pl.DataType]) -> list[Field]:
    """The named columns as Delta fields."""
    return list(to_delta({name: schema[name] for name in names}).fields)


def refuse_unwritable(table: DeltaTable, location: str, mode: str) -> None:
    """Say no to a table whose rules nobody here would keep.

    Raises:
        PublishError: with the rule.
    """
    settings, fields = table.metadata().configuration, table.schema().fields
    strange = sorted(set(table.protocol().writer_features or ()) - _HARMLESS)
    if settings.get("delta.columnMapping.mode", "none") != "none":
        strange.append("column mapping")
    if settings.get("delta.enableDeletionVectors") == "true":
        strange.append("deletion vectors")
    strange += [f'the identity column "{field.name}"' for field in fields if _IDENTITY & field.metadata.keys()]
    if strange:
        raise PublishError(
            f"cannot write {location}: the table uses {', '.join(strange)}",
            hint="neither flowpipe nor delta-rs implements this; write to a table without it",
        )
    if inner := [f'"{field.name}"' for field in fields if _is_strict(field) and mode in ("merge", "snapshot")]:
        raise PublishError(
            f"cannot write {location}: delta-rs does not {mode} where there is NOT NULL inside {', '.join(inner)}",
            hint="allow NULL there, or use another mode",
        )


def rules(table: DeltaTable) -> list[str]:
    """What a table demands of every row, in words; delta-rs' own writer keeps these."""
    found = [
        f"CHECK {key.removeprefix(_CHECK)} ({text})"
        for key, text in table.metadata().configuration.items()
        if key.startswith(_CHECK)
    ]
    for field in table.schema().fields:
        if _INVARIANT in field.metadata:
            expression = json.loads(str(field.metadata[_INVARIANT]))["expression"]["expression"]
            found.append(f'the invariant of "{field.name}" ({expression})')
        if _GENERATED in field.metadata:
            found.append(f'"{field.name}" is generated ({field.metadata[_GENERATED]})')
        if _is_strict(field):
            found.append(f'NOT NULL inside "{field.name}"')
    return found


def generated(table: DeltaTable) -> list[str]:
    """The columns that delta-rs computes where rows come without them."""
    return [field.name for field in table.schema().fields if _GENERATED in field.metadata]


def _is_strict(field: Field) -> bool:
    inner = field.type.to_json()
    return any(f'"{mark}":false' in inner for mark in ("nullable", "containsNull", "valueContainsNull"))


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
