"""Which rows a dataset of a DuckDB store is: a table's or a query's, of one slice, in types that come back whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import duckdb

from flowpipe.adapters import Dataset, sql, tables
from flowpipe.adapters.duckdb import types
from flowpipe.adapters.tables import Flaw
from flowpipe.partition import Slice

SCHEMA = "main"


def source(dataset: Dataset) -> str:
    """A dataset's rows as they stand after FROM."""
    query, table = dataset.config.query, dataset.config.table
    # A line break, since the query may end in a comment.
    return f"({query.rstrip().rstrip(';')}\n)" if query else sql.qualified(str(table), SCHEMA)


def rows(
    dataset: Dataset,
    part: Slice,
    columns: Mapping[str, str],
    limit: int | None = None,
    names: Iterable[str] | None = None,
) -> str:
    """The statement that gives a slice's rows; of `columns`, those of the table, it may take some `names`."""
    wanted = []
    for name in columns if names is None else names:
        column, kind, plain = sql.quoted(name), columns[name], types.plain(columns[name])
        wanted.append(column if plain == kind else f"CAST({column} AS {plain}) AS {column}")
    return sql.select(source(dataset), wanted, tables.condition(dataset, part, columns), limit)


def parameters(dataset: Dataset, part: Slice) -> dict[str, Any]:
    """`$start` and `$end` of a query, as wall-clock times of the window; a whole read has no bounds."""
    query, values = dataset.config.query, tables.bounds(part)
    return {name: values[name] for name in _placeholders(query)} if query else {}


def check(dataset: Dataset) -> Iterator[Flaw]:
    """What is wrong with a dataset's query."""
    query = str(dataset.config.query)
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        yield ("query",), str(error).splitlines()[0], None
        return
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        yield ("query",), "a query is one SELECT", "write one statement that only reads"
        return
    yield from tables.check_query(dataset, _placeholders(query))


def check_written(dataset: Dataset) -> Iterator[Flaw]:
    """What is wrong with writing a dataset."""
    config = dataset.config
    yield from tables.check_written(dataset)
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
