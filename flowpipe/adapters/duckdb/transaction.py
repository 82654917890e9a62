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
from flowpipe.adapters.duckdb import fitting
from flowpipe.adapters.duckdb.selection import SCHEMA
from flowpipe.errors import PublishError


@dataclass(frozen=True)
class Remembered:
    """One row of the table of states; `table_rows` is None when somebody else has changed the table since."""

    state: State
    table_rows: int | None


def publish(cursor: duckdb.DuckDBPyConnection, publication: Publication, source: str) -> None:
    """Publish the rows of `source`, unless this run has done so; on any error the database is as it was.

    Raises:
        DataError: the columns are not the table's, or too many rows would go.
        PublishError: the slice was appended before, or what was to be done afterwards failed.
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
    before = states(cursor, dataset).get(part.key) if fitting.columns(cursor, name) else None
    if before and (before.state.run, before.state.fingerprint) == (state.run, state.fingerprint):
        return
    if before and config.mode == "append":
        message = f"slice {part} of {dataset.name} was appended by run {before.state.run} already"
        raise PublishError(message, hint="appending it again would double its rows; delete them and its state first")
    new = fitting.fit(cursor, dataset, described(cursor, source, {}))
    if new or (part.kind == "whole" and config.mode in {"overwrite", "replace"}):
        cursor.execute(sql.FORGET_STATE, [dataset.name])
    rows = number(cursor, sql.count(table))
    _change(cursor, publication, table, source)
    after = number(cursor, sql.count(table))
    cursor.execute(sql.FOLLOW_STATE, [dataset.name, rows, after])
    parts = json.dumps(dict(state.parts), sort_keys=True)
    values = [state.dataset, state.slice, state.fingerprint, parts, state.rows, state.run, state.published_at, after]
    cursor.execute(sql.UPSERT_STATE, values)


def _change(cursor: duckdb.DuckDBPyConnection, publication: Publication, table: str, source: str) -> None:
    """The rows, and what the dataset wants done after them."""
    dataset = publication.dataset
    columns = fitting.writable(cursor, str(dataset.config.table))
    if bound := changes.taken(publication, table, columns, source):
        versions.refuse_too_many(dataset.config, dataset.name, *(number(cursor, query) for query in bound))
    for statement in changes.statements(publication, table, columns, source):
        cursor.execute(statement)
    for statement in dataset.config.after_publish:
        try:
            cursor.execute(statement)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            message = f"dataset {dataset.name}: after_publish failed, nothing was published: {reason}"
            raise PublishError(message, hint=f"mend `{statement.strip()}`") from error
