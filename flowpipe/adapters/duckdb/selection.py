"""Which rows a dataset of a DuckDB store is: a table's or a query's, of one slice, in types that come back whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import duckdb

from flowpipe.adapters import Dataset, sql
from flowpipe.adapters.duckdb import types
from flowpipe.errors import unknown
from flowpipe.partition import Slice

SCHEMA = "main"
Finding = tuple[tuple[str, ...], str, str | None]


def source(dataset: Dataset) -> str:
    """A dataset's rows as they stand after FROM."""
    query, table = dataset.config.query, dataset.config.table
    # A line break, since the query may end in a comment.
    return f"({query.rstrip().rstrip(';')}\n)" if query else sql.qualified(str(table), SCHEMA)


def condition(dataset: Dataset, part: Slice, columns: Mapping[str, str]) -> str | None:
    """What holds for a slice's rows; a query may say it itself, by $start and $end."""
    column = dataset.config.partition.column if dataset.config.partition else None
    return None if dataset.config.query and column is None else sql.of_slice(part, column, columns)


def rows(dataset: Dataset, part: Slice, columns: Mapping[str, str], limit: int | None = None) -> str:
    """The statement that gives a slice's rows."""
    wanted = []
    for name, kind in columns.items():
        column, plain = sql.quoted(name), types.plain(kind)
        wanted.append(column if plain == kind else f"CAST({column} AS {plain}) AS {column}")
    return sql.select(source(dataset), wanted, condition(dataset, part, columns), limit)


def parameters(dataset: Dataset, part: Slice) -> dict[str, datetime]:
    """`$start` and `$end` of a query, as wall-clock times of the window; a whole read has no bounds."""
    window, query = part.window, dataset.config.query
    start, end = (window.start, window.end) if window else (datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001
    values = {"start": start.replace(tzinfo=None), "end": end.replace(tzinfo=None)}
    return {name: values[name] for name in _placeholders(query)} if query else {}


def check(dataset: Dataset) -> Iterator[Finding]:
    """What is wrong with a dataset's query."""
    query, partitioned = str(dataset.config.query), dataset.config.partition
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        yield ("query",), str(error).splitlines()[0], None
        return
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        yield ("query",), "a query is one SELECT", "write one statement that only reads"
        return
    names = _placeholders(query)
    for name in sorted(names - {"start", "end"}):
        problem = unknown("placeholder", f"${name}", ["$start", "$end"])
        yield ("query",), problem.message, problem.hint
    if dataset.config.on_invalid == "quarantine":
        yield ("on_invalid",), "a query has no table beside which rejected rows could be kept", "use fail or warn"
    if names & {"start", "end"} and not partitioned:
        yield ("query",), "$start and $end need a window", "write `partition: {every: month}`"
    if partitioned and not (names or partitioned.column):
        hint = "write $start and $end into the query, or name the `column:`"
        yield ("partition",), "neither the query nor a column tells a row's window", hint


def check_written(dataset: Dataset) -> Iterator[Finding]:
    """What is wrong with writing a dataset."""
    config = dataset.config
    if config.query:
        yield ("query",), "a query is only read", "write `table: NAME`"
    if config.mode == "replace" and config.partition is None:
        yield ("mode",), "`mode: replace` needs a partition", "write `partition: {column: date, every: month}`"
    if config.mode in {"merge", "snapshot"} and not config.key:
        yield ("mode",), f"{config.mode} needs a key", "add `key: [NAME]`"
    if config.swap:
        hint = "remove it: readers of a DuckDB file see the old table until the transaction ends"
        yield ("swap",), "swap is for postgres stores only", hint
    if config.partition_by:
        yield ("partition_by",), "partition_by is for delta stores only", "remove it: a DuckDB table has no folders"
    for statement in config.after_publish:
        try:
            found = {each.type for each in duckdb.extract_statements(statement)}
        except duckdb.Error as error:
            yield ("after_publish",), str(error).splitlines()[0], f"mend `{statement.strip()}`"
            continue
        if duckdb.StatementType.TRANSACTION in found:
            hint = "remove BEGIN, COMMIT and ROLLBACK"
            yield ("after_publish",), "after_publish runs in the transaction of the publish", hint


def _placeholders(query: str) -> set[str]:
    return {str(name) for statement in duckdb.extract_statements(query) for name in statement.named_parameters}
