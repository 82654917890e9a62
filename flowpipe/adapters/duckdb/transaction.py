"""One publish as one transaction: the table, its rows and their state change together or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from flowpipe.adapters import Dataset, Publication, Staged, State, changes, sql, versions
from flowpipe.adapters.duckdb.selection import SCHEMA
from flowpipe.adapters.duckdb.types import plain
from flowpipe.errors import DataError, PublishError


@dataclass(frozen=True)
class Remembered:
    """One row of the table of states; `table_rows` is None when somebody else has changed the table since."""

    state: State
    table_rows: int | None


def publish(cursor: duckdb.DuckDBPyConnection, publication: Publication, source: str) -> None:
    """Publish the rows of `source`, unless this run has done so; on any error the database is as it was.

    Raises:
        DataError: the columns are not the table's.
        PublishError: the slice was appended before.
        duckdb.Error: the database refused.
    """
    cursor.execute("BEGIN TRANSACTION")
    try:
        _publish(cursor, publication, source)
        cursor.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a failed commit has rolled back already
            cursor.execute("ROLLBACK")
        raise


def source_of(staged: Staged, folder: Path) -> str:
    """The staged rows as they stand after FROM; `folder` takes an empty file when nothing was staged."""
    paths = [file.path for file in staged.files]
    if not paths:
        paths = [str(folder / "empty.parquet")]
        pl.DataFrame(schema=staged.schema).write_parquet(paths[0])
    return f"read_parquet([{', '.join(sql.literal(path) for path in paths)}], hive_partitioning = false)"


def states(cursor: duckdb.DuckDBPyConnection, dataset: Dataset) -> dict[str, Remembered]:
    """What is remembered of a dataset, under its name or the one it had before, by slice."""
    if not cursor.execute(sql.COLUMNS, [SCHEMA, sql.STATE_TABLE]).fetchall():
        return {}
    names = [name for name in (dataset.config.was, dataset.name) if name]
    rows = [row for name in names for row in cursor.execute(sql.READ_STATE, [name]).fetchall()]
    found: dict[str, Remembered] = {}
    for row in rows:
        values = dict(zip(sql.STATE_COLUMNS, row, strict=True))
        table_rows = values.pop("table_rows")
        found[values["slice"]] = Remembered(State(**values | {"parts": json.loads(values["parts"])}), table_rows)
    return found


def columns(cursor: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """SQL types of a table by column; none when there is no such table."""
    return {name: str(kind) for name, kind in cursor.execute(sql.COLUMNS, sql.split(table, SCHEMA)).fetchall()}


def described(cursor: duckdb.DuckDBPyConnection, source: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """SQL types of a source's rows by column."""
    rows = cursor.execute(f"DESCRIBE {sql.select(source)}", parameters).fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


def number(cursor: duckdb.DuckDBPyConnection, statement: str) -> int:
    """The one number that a statement gives."""
    return int(cursor.execute(statement).fetchall()[0][0])


def _publish(cursor: duckdb.DuckDBPyConnection, publication: Publication, source: str) -> None:
    dataset, state, part = publication.dataset, publication.state, publication.slice
    name, config = str(dataset.config.table), dataset.config
    table = sql.qualified(name, SCHEMA)
    cursor.execute(sql.CREATE_STATE)
    if config.was:
        cursor.execute(sql.RENAME_STATE, [dataset.name, config.was])
    there, staged = columns(cursor, name), described(cursor, source, {})
    before = states(cursor, dataset).get(part.key) if there else None
    if before and (before.state.run, before.state.fingerprint) == (state.run, state.fingerprint):
        return
    if before and config.mode == "append":
        message = f"slice {part} of {dataset.name} was appended by run {before.state.run} already"
        raise PublishError(message, hint="appending it again would double its rows; delete them and its state first")
    if there:
        _fit(cursor, dataset, there, staged)
    else:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {sql.quoted(sql.split(name, SCHEMA)[0])}")
        cursor.execute(sql.create_table(table, staged))
    if not there or (part.kind == "whole" and config.mode in {"overwrite", "replace"}):
        cursor.execute(sql.FORGET_STATE, [dataset.name])
    rows = number(cursor, sql.count(table))
    kinds = columns(cursor, name)
    if bound := changes.taken(publication, table, kinds, source):
        versions.refuse_too_many(config, dataset.name, *(number(cursor, query) for query in bound))
    for statement in changes.statements(publication, table, kinds, source):
        cursor.execute(statement)
    after = number(cursor, sql.count(table))
    cursor.execute(sql.FOLLOW_STATE, [dataset.name, rows, after])
    parts = json.dumps(dict(state.parts), sort_keys=True)
    values = [state.dataset, state.slice, state.fingerprint, parts, state.rows, state.run, state.published_at, after]
    cursor.execute(sql.UPSERT_STATE, values)


def _fit(
    cursor: duckdb.DuckDBPyConnection, dataset: Dataset, there: Mapping[str, str], staged: Mapping[str, str]
) -> None:
    """Add new columns where that is allowed.

    Raises:
        DataError: the staged columns are not the table's.
    """
    table, may_add = str(dataset.config.table), dataset.config.schema_change == "add"
    for name, kind in staged.items():
        if name not in there and not may_add:
            raise DataError(f'column "{name}" is not in table {table}', hint="set `schema_change: add`")
        if name not in there:
            cursor.execute(sql.add_column(sql.qualified(table, SCHEMA), name, kind))
        elif plain(there[name]) != plain(kind):
            raise DataError(f'column "{name}" is {kind}, in table {table} it is {there[name]}', hint="cast the column")
    lost = next((name for name in there if name not in staged), None)
    if lost and not may_add:
        raise DataError(f'column "{lost}" of table {table} is not in the new rows', hint="set `schema_change: add`")
