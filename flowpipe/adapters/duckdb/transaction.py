"""One publish as one transaction: the table, its rows and their state change together or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from flowpipe.adapters import Dataset, Publication, Staged, State, changes, sql, tables, versions
from flowpipe.adapters.duckdb import contents, fitting
from flowpipe.adapters.duckdb.contents import Contents
from flowpipe.adapters.duckdb.selection import SCHEMA
from flowpipe.errors import DataError, PublishError


@dataclass(frozen=True)
class Remembered:
    """One row of the table of states; `table_rows` is None when somebody else has changed the table since."""

    state: State
    table_rows: int | None
    contents: Contents | None


def publish(cursor: duckdb.DuckDBPyConnection, publication: Publication, source: str) -> None:
    """Publish the rows of `source`, unless this run has done so; on any error the database is as it was.

    Raises:
        DataError: the columns are not the table's, rows break its rules, or too many would go.
        PublishError: the slice was appended before, or what was to be done afterwards failed.
        duckdb.Error: the database refused.
    """
    cursor.execute("BEGIN TRANSACTION")
    try:
        _publish(cursor, publication, source)
        cursor.execute("COMMIT")
    except BaseException as error:
        with contextlib.suppress(duckdb.Error):  # a failed commit has rolled back already
            cursor.execute("ROLLBACK")
        if isinstance(error, duckdb.ConstraintException):
            raise _broken(publication.dataset, str(error)) from error
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
    names = tables.known_names(dataset)
    rows = [row for name in names for row in cursor.execute(sql.READ_STATE, [name]).fetchall()]
    measured = {part: each for name in names for part, each in contents.remembered(cursor, name).items()}
    found: dict[str, Remembered] = {}
    for row in rows:
        state, table_rows = tables.state(row)
        found[state.slice] = Remembered(state, table_rows, measured.get(state.slice))
    return found


def described(cursor: duckdb.DuckDBPyConnection, source: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """SQL types of a source's rows by column."""
    rows = cursor.execute(f"DESCRIBE {sql.select(source)}", parameters).fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


def number(cursor: duckdb.DuckDBPyConnection, statement: str) -> int:
    """The one number that a statement gives."""
    return int(cursor.execute(statement).fetchall()[0][0])


def _broken(dataset: Dataset, text: str) -> DataError:
    rule = text.removeprefix("Constraint Error: ").splitlines()[0].partition(". If this is")[0]
    hint = "mend the rows, or the table"
    if rule.startswith("Violates foreign key"):
        hint = "DuckDB checks when a row goes, not at commit: drop the foreign key, or `mode: append`"
    return DataError(f"dataset {dataset.name}: table {dataset.config.table} refuses the rows: {rule}", hint=hint)


def _publish(cursor: duckdb.DuckDBPyConnection, publication: Publication, source: str) -> None:
    dataset, part = publication.dataset, publication.slice
    name, config = str(dataset.config.table), dataset.config
    table = sql.qualified(name, SCHEMA)
    cursor.execute(sql.CREATE_STATE)
    contents.prepare(cursor)
    if config.was:
        cursor.execute(sql.RENAME_STATE, [dataset.name, config.was])
    there = fitting.columns(cursor, name)
    before = states(cursor, dataset).get(part.key) if there else None
    if tables.is_published(publication, before.state if before else None):
        return
    new = fitting.fit(cursor, dataset, described(cursor, source, {}))
    if new or (part.kind == "whole" and config.mode in {"overwrite", "replace"}):
        cursor.execute(sql.FORGET_STATE, [dataset.name])
    rows = number(cursor, sql.count(table))
    _change(cursor, publication, table, source)
    after = number(cursor, sql.count(table))
    cursor.execute(sql.FOLLOW_STATE, [dataset.name, rows, after])
    cursor.execute(sql.UPSERT_STATE, tables.state_row(publication.state, after))
    columns = fitting.columns(cursor, name)
    if columns != there:
        contents.forget(cursor, dataset.name)
    contents.remember(cursor, dataset.name, part.key, contents.measure(cursor, dataset, part, columns))


def _change(cursor: duckdb.DuckDBPyConnection, publication: Publication, table: str, source: str) -> None:
    """The rows, and what the dataset wants done after them."""
    dataset = publication.dataset
    columns = fitting.writable(cursor, str(dataset.config.table))
    if bound := changes.taken(publication, table, columns, source):
        versions.refuse_too_many(dataset.config, dataset.name, *(number(cursor, query) for query in bound))
    for statement in changes.statements(publication, table, columns, source):
        cursor.execute(statement)
    for which, statement in enumerate(dataset.config.after_publish, 1):
        try:
            cursor.execute(statement)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            doing = f"statement {which} of after_publish failed, nothing was published"
            message = f"dataset {dataset.name}: {doing}: {reason}"
            raise PublishError(message, hint=f"mend `{statement.strip()}`") from error
