"""How a table comes to have the columns of the rows that are published into it, in the transaction of the publish."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from flowpipe.adapters import Dataset, sql
from flowpipe.adapters.duckdb import types
from flowpipe.adapters.duckdb.selection import SCHEMA
from flowpipe.errors import DataError

_GENERATED = (
    "SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = $1 AND table_name = $2 AND is_generated = 'ALWAYS'"
)


def columns(cursor: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """SQL types of a table by column; none when there is no such table."""
    return {name: str(kind) for name, kind in cursor.execute(sql.COLUMNS, sql.split(table, SCHEMA)).fetchall()}


def writable(cursor: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """The columns of a table that DuckDB does not compute."""
    generated = {row[0] for row in cursor.execute(_GENERATED, sql.split(table, SCHEMA)).fetchall()}
    return {name: kind for name, kind in columns(cursor, table).items() if name not in generated}


def fit(cursor: duckdb.DuckDBPyConnection, dataset: Dataset, staged: Mapping[str, str]) -> bool:
    """Make the table, or let its columns come and grow where that is allowed; whether it was made anew.

    Raises:
        DataError: the staged columns are not the table's.
    """
    name, change = str(dataset.config.table), dataset.config.schema_change
    table, there = sql.qualified(name, SCHEMA), columns(cursor, name)
    if there and change == "replace" and not _alike(there, staged):
        cursor.execute(f"DROP TABLE {table}")
        there = {}
    if not there:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {sql.quoted(sql.split(name, SCHEMA)[0])}")
        cursor.execute(sql.create_table(table, staged))
        return True
    own = writable(cursor, name)
    for column, kind in staged.items():
        _fit(cursor, dataset, (column, kind), there, own)
    lost = next((column for column in own if column not in staged), None)
    if lost and change != "add":
        raise DataError(f'column "{lost}" of table {name} is not in the new rows', hint="set `schema_change: add`")
    return False


def _alike(there: Mapping[str, str], staged: Mapping[str, str]) -> bool:
    return list(there) == list(staged) and all(types.plain(there[name]) == types.plain(staged[name]) for name in staged)


def _fit(
    cursor: duckdb.DuckDBPyConnection, dataset: Dataset, column: tuple[str, str], there: Mapping[str, str],
    own: Mapping[str, str],
) -> None:  # fmt: skip
    (name, kind), table, may_add = column, str(dataset.config.table), dataset.config.schema_change == "add"
    if name not in there:
        same = next((other for other in there if other.casefold() == name.casefold()), None)
        if same:
            message = f'column "{name}" is "{same}" in table {table}, which DuckDB does not tell apart'
            raise DataError(message, hint="rename it")
        if not may_add:
            raise DataError(f'column "{name}" is not in table {table}', hint="set `schema_change: add`")
        _alter(cursor, sql.add_column(sql.qualified(table, SCHEMA), name, kind), f'cannot add column "{name}"')
    elif name not in own:
        message = f'column "{name}" of table {table} is generated: rows cannot say what it is'
        raise DataError(message, hint="leave it out of the rows, and set `schema_change: add`")
    elif types.plain(there[name]) == types.plain(kind) or (may_add and types.grows(kind, there[name])):
        return
    elif may_add and types.grows(there[name], kind):
        alter = f"ALTER TABLE {sql.qualified(table, SCHEMA)} ALTER COLUMN {sql.quoted(name)} TYPE {kind}"
        _alter(cursor, alter, f'column "{name}" of table {table} cannot become {kind}')
    else:
        message = f'column "{name}" is {kind}, in table {table} it is {there[name]}'
        raise DataError(message, hint="cast the column")


def _alter(cursor: duckdb.DuckDBPyConnection, statement: str, failure: str) -> None:
    """A column that an index, a key or another column needs cannot always be changed."""
    try:
        cursor.execute(statement)
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.DependencyException) as error:
        reason = str(error).splitlines()[0].partition("Error: ")[2]
        raise DataError(f"{failure}: {reason}", hint="alter the table by hand, or cast the column") from error
