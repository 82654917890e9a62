"""The SQL that DuckDB and PostgreSQL understand alike: names, tables, rows of a slice, and the table of states.

Pure text in, text out. Values of people's data never become text: they stay in tables, or are parameters (`$1`).
"""
# ruff: noqa: S608  building SQL is this file's one job, and people's values do not pass through it

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowpipe.errors import DataError
from flowpipe.partition import NewRows, Slice

STATE_TABLE = "_flowpipe_state"
CREATE_STATE = f"""CREATE TABLE IF NOT EXISTS {STATE_TABLE} (
    dataset VARCHAR NOT NULL, slice VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL, parts VARCHAR NOT NULL,
    rows BIGINT NOT NULL, run VARCHAR NOT NULL, published_at VARCHAR NOT NULL, table_rows BIGINT,
    PRIMARY KEY (dataset, slice))"""
STATE_COLUMNS = ("dataset", "slice", "fingerprint", "parts", "rows", "run", "published_at", "table_rows")
RENAME_STATE = f"UPDATE {STATE_TABLE} SET dataset = $1 WHERE dataset = $2"
FORGET_STATE = f"DELETE FROM {STATE_TABLE} WHERE dataset = $1"
# `table_rows` is what the whole table held when a slice was last known to be as published. Where that is not what the
# table held just before a publish, somebody else has changed the table, and it becomes NULL.
FOLLOW_STATE = f"UPDATE {STATE_TABLE} SET table_rows = CASE WHEN table_rows = $2 THEN $3 END WHERE dataset = $1"
_UPSERTED = ", ".join(f"{name} = excluded.{name}" for name in STATE_COLUMNS[2:])
UPSERT_STATE = (
    f"INSERT INTO {STATE_TABLE} ({', '.join(STATE_COLUMNS)})"
    f" VALUES ({', '.join(f'${number}' for number, _ in enumerate(STATE_COLUMNS, 1))})"
    f" ON CONFLICT (dataset, slice) DO UPDATE SET {_UPSERTED}"
)
READ_STATE = f"SELECT {', '.join(STATE_COLUMNS)} FROM {STATE_TABLE} WHERE dataset = $1 ORDER BY slice"
COLUMNS = (
    "SELECT column_name, data_type FROM information_schema.columns"
    " WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position"
)
TABLES = f"SELECT table_schema, table_name FROM information_schema.tables WHERE table_name <> '{STATE_TABLE}'"


def quoted(name: str) -> str:
    """A name as an SQL identifier.

    >>> quoted('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL string.

    >>> literal("O'Hare")
    "'O''Hare'"
    """
    return "'" + text.replace("'", "''") + "'"


def split(table: str, default_schema: str) -> tuple[str, str]:
    """Schema and name of a table written as `name` or `schema.name`.

    >>> split("sales.daily", "main"), split("daily", "main")
    (('sales', 'daily'), ('main', 'daily'))
    """
    schema, dot, name = table.partition(".")
    return (schema, name) if dot else (default_schema, table)


def qualified(table: str, default_schema: str) -> str:
    """A table as it stands in a statement.

    >>> qualified("daily", "main")
    '"main"."daily"'
    """
    return ".".join(quoted(part) for part in split(table, default_schema))


def create_table(table: str, columns: Mapping[str, str]) -> str:
    """A new table; `table` is qualified, `columns` are SQL types by name.

    >>> create_table('"main"."t"', {"a": "BIGINT"})
    'CREATE TABLE "main"."t" ("a" BIGINT)'
    """
    return f"CREATE TABLE {table} ({', '.join(f'{quoted(name)} {kind}' for name, kind in columns.items())})"


def add_column(table: str, name: str, kind: str) -> str:
    """One more column, NULL in the rows that are there."""
    return f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {kind}"


def insert(table: str, columns: Iterable[str], source: str) -> str:
    """All rows of a source, by column name; `source` is whatever may follow FROM.

    >>> insert('"main"."t"', ["a", "b"], '"s"')
    'INSERT INTO "main"."t" ("a", "b") SELECT "a", "b" FROM "s" AS source'
    """
    names = ", ".join(quoted(name) for name in columns)
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {source} AS source"


def delete(table: str, condition: str | None) -> str:
    """The rows that a condition holds for, or all."""
    return f"DELETE FROM {table}" + (f" WHERE {condition}" if condition else "")


def of_slice(part: Slice, column: str | None, columns: Mapping[str, str]) -> str | None:
    """The condition for a slice's rows; `columns` are the SQL types of the table. None: all rows.

    Raises:
        DataError: no column tells a row's slice.
    """
    if part.kind == "whole":
        return None
    if column is None or column not in columns:
        missing = f'there is no partition column "{column}"' if column else f"no column tells the rows of slice {part}"
        raise DataError(missing, hint="see `partition:` of the dataset")
    name = quoted(column)
    if part.window is None:
        return f"{name} = {literal(part.key)}"
    start, end = part.window.start, part.window.end
    kind = columns[column]
    form = kind.upper()
    if form == "DATE":
        return f"{name} >= DATE '{start.date()}' AND {name} < DATE '{end.date()}'"
    if form.startswith("TIMESTAMP") and ("TIME ZONE" in form or "TZ" in form) and "WITHOUT" not in form:
        return f"{name} >= TIMESTAMPTZ '{start.isoformat()}' AND {name} < TIMESTAMPTZ '{end.isoformat()}'"
    if form.startswith("TIMESTAMP"):
        first, last = (moment.replace(tzinfo=None).isoformat(" ") for moment in (start, end))
        return f"{name} >= TIMESTAMP '{first}' AND {name} < TIMESTAMP '{last}'"
    raise DataError(f'the partition column "{column}" is {kind}, not a date or a timestamp')


_PLACEHOLDERS = {"low": "$low", "high": "$high"}


def above(new: NewRows, bounds: Mapping[str, str] = _PLACEHOLDERS) -> str:
    """The condition for new rows; `bounds` is how their `low` (after the first load) and `high` stand in a statement.

    >>> above(NewRows("at", 1, 2))
    '"at" <= $high AND "at" > $low'
    """
    name = quoted(new.column)
    return f"{name} <= {bounds['high']}" + (f" AND {name} > {bounds['low']}" if new.low is not None else "")


def bounds(new: NewRows | None) -> dict[str, Any]:
    """The parameters of `above`.

    >>> bounds(NewRows("at", None, 2)), bounds(None)
    ({'high': 2}, {})
    """
    if new is None:
        return {}
    return {"high": new.high} | ({} if new.low is None else {"low": new.low})


def select(source: str, columns: Iterable[str] = (), condition: str | None = None, limit: int | None = None) -> str:
    """Rows of a source; no `columns` means all.

    >>> select('"main"."t"', ['"a"'], '"a" > 1', 1)
    'SELECT "a" FROM "main"."t" AS source WHERE "a" > 1 LIMIT 1'
    """
    where = f" WHERE {condition}" if condition else ""
    end = "" if limit is None else f" LIMIT {limit}"
    return f"SELECT {', '.join(columns) or '*'} FROM {source} AS source{where}{end}"


def count(source: str, condition: str | None = None) -> str:
    """How many rows a source has."""
    return select(source, ["count(*)"], condition)
