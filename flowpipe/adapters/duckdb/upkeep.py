"""How a DuckDB file becomes smaller: its log written into it, rows moved forward into free blocks, its end cut off."""

from __future__ import annotations

import contextlib

import duckdb

from flowpipe.adapters import sql
from flowpipe.adapters.duckdb.opening import File

_ROWS = "_flowpipe_rows"
_TABLES = "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal AND NOT temporary"
_STORED = (
    "SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = $1 AND table_name = $2 AND is_generated = 'NEVER'"
)
_SIZE = "SELECT block_size, total_blocks, free_blocks FROM pragma_database_size()"


def tidy(file: File, *, dry_run: bool) -> list[str]:
    """What became smaller, or would, a line each; rows and constraints stay as they are."""
    if not file.exists():
        return []
    before = _sizes(file)
    with file.cursor() as cursor:
        ((block, total, free),) = cursor.execute(_SIZE).fetchall()
        if dry_run:
            return [f"{file.shown}: {_megabytes(block * free)} of {_megabytes(before)} are free"] if free else []
        # A file is cut only behind its last used block, and small tables share one.
        if 2 * free > total:
            for schema, name in cursor.execute(_TABLES).fetchall():
                _move(cursor, schema, name)
        cursor.execute("CHECKPOINT")
    after = _sizes(file)
    return [f"{file.shown}: {_megabytes(before)} became {_megabytes(after)}"] if after < before else []


def _move(cursor: duckdb.DuckDBPyConnection, schema: str, name: str) -> None:
    """Write a table's rows anew, which puts them into the first free blocks."""
    table = f"{sql.quoted(schema)}.{sql.quoted(name)}"
    stored = [sql.quoted(row[0]) for row in cursor.execute(_STORED, [schema, name]).fetchall()]
    cursor.execute("BEGIN TRANSACTION")
    try:
        cursor.execute(f"CREATE TEMPORARY TABLE {_ROWS} AS {sql.select(table, stored)}")
        cursor.execute(sql.delete(table, None))
        cursor.execute(f"INSERT INTO {table} ({', '.join(stored)}) FROM {_ROWS}")
        cursor.execute(f"DROP TABLE {_ROWS}")
        cursor.execute("COMMIT")
    except duckdb.Error as error:
        with contextlib.suppress(duckdb.Error):
            cursor.execute("ROLLBACK")
        # Rows that a foreign key refers to cannot go, not even for a moment.
        if not isinstance(error, duckdb.ConstraintException):
            raise


def _sizes(file: File) -> int:
    log = file.path.with_name(f"{file.path.name}.wal")
    return sum(each.stat().st_size for each in (file.path, log) if each.exists())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
