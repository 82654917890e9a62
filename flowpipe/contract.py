"""How the columns of a frame differ from a Pandera schema, found before a row is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from flowpipe.errors import nearest
from flowpipe.rules import DataType, fields, is_coerced, missing, unique_sets

Schema = Mapping[str, pl.DataType]
# What Polars raises for an expression that cannot be computed on such types.
REFUSED = (pl.exceptions.PolarsError, TypeError, ValueError)


def differences(declared: Any, schema: Schema) -> list[str]:
    """Columns that are missing, of another type, not declared or out of order; nothing when rows can be checked."""
    return [*_absent(declared, schema), *_mistyped(declared, schema), *_misplaced(declared, schema)]


def text_casts(declared: Any, schema: Schema) -> Iterator[str]:
    """How to make dates and numbers of columns that are text, as a node would write it."""
    for name, column in fields(declared, schema):
        if column.dtype is None or schema[name] != pl.String:
            continue
        wanted: Any = column.dtype.type
        if is_coerced(declared, column) and _is_castable(schema[name], wanted):
            continue
        if wanted == pl.Date:
            yield f'pl.col("{name}").str.to_date()'
        elif wanted == pl.Datetime:
            zone = f'time_zone="{wanted.time_zone}"' if wanted.time_zone else ""
            yield f'pl.col("{name}").str.to_datetime({zone})'
        elif wanted.is_numeric():
            yield f'pl.col("{name}").cast(pl.{wanted})'


def sample(schema: Schema) -> pl.LazyFrame:
    """One made-up row of a schema, to see whether expressions can be computed on its types."""
    return pl.LazyFrame([pl.Series(name, [_value(dtype)], dtype) for name, dtype in schema.items()])


def _absent(declared: Any, schema: Schema) -> Iterator[str]:
    for name, column in missing(declared, schema):
        if not declared.add_missing_columns:
            yield f"{name}: expected {column.dtype or 'a column'}, it is missing{_did_you_mean(name, schema)}"
        elif column.default is None and not column.nullable:
            yield f"{name}: missing, and neither nullable nor with a default to add it with"
    matched = {id(column) for _, column in fields(declared, schema)}
    for pattern, column in declared.columns.items():
        if column.regex and column.required and id(column) not in matched:
            yield f"{pattern}: expected columns of this pattern, there is none"
    known = {*schema, *(name for name, _ in missing(declared, schema))}
    for name in sorted({name for names in unique_sets(declared) for name in names} - known):
        yield f"{name}: expected by unique, it is missing{_did_you_mean(name, known)}"


def _mistyped(declared: Any, schema: Schema) -> Iterator[str]:
    for name, column in fields(declared, schema):
        if column.dtype is None:
            continue
        if not is_coerced(declared, column):
            if not column.dtype.check(schema[name]):
                yield f"{name}: expected {column.dtype}, actual {schema[name]}"
        elif not _is_castable(schema[name], column.dtype.type):
            yield f"{name}: expected {column.dtype}, actual {schema[name]}, which cannot be coerced value by value"


def _misplaced(declared: Any, schema: Schema) -> Iterator[str]:
    present = list(dict.fromkeys(name for name, _ in fields(declared, schema)))
    if declared.strict is True:
        for name in schema:
            if name not in present:
                yield f"{name}: not in the schema, which is strict{_did_you_mean(name, declared.columns)}"
    actual = [name for name in schema if name in present]
    if declared.ordered and actual != present:
        yield f"columns are out of order: expected {', '.join(present)}, actual {', '.join(actual)}"


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = nearest(name, known)
    return f'; did you mean "{close}"?' if close else ""


def _is_castable(source: DataType, target: DataType) -> bool:
    """Whether values that do not fit become NULL; some casts fail as a whole, and one quietly does nothing."""
    try:
        return pl.Series([_value(source)], dtype=source).cast(target, strict=False).dtype == target
    except REFUSED:
        return False


def _value(dtype: DataType) -> Any:
    """A value of the type: on an empty column every cast seems possible."""
    match dtype:
        case pl.List():
            value: Any = [_value(dtype.inner)]
        case pl.Array():
            value = [_value(dtype.inner)] * dtype.size
        case pl.Struct():
            value = {field.name: _value(field.dtype) for field in dtype.fields}
        case pl.String() | pl.Categorical():
            value = "1"
        case pl.Enum():
            value = next(iter(dtype.categories), None)
        case pl.Binary():
            value = b"\xff"
        case pl.Null() | pl.Object():
            value = None
        case _:
            value = pl.Series([1]).cast(dtype).item()
    return value
