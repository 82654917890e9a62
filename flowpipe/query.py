"""SQL over datasets by their names, in DuckDB: rows come in while they are asked for, and only the columns asked for.

A dataset is to DuckDB what PyArrow calls a dataset: something that can be scanned again and again, for some columns and
with a filter. So a query never holds a whole input in memory (2026-11: a LazyFrame given as it is would be), and may
read a dataset twice. What DuckDB could reach by itself (files, URLs, extensions) it may not: what a query reads is then
what the catalog says, in every profile, and a query that somebody pastes can neither write nor send anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from flowpipe import memory
from flowpipe.errors import Problem, UsageError, nearest, unknown

_WRITES = ("DELETE", "INSERT", "UPDATE", "MERGE")
_READS = "one statement that only reads: SELECT, FROM, WITH, VALUES, DESCRIBE or SUMMARIZE"
_TYPES_AS_TEXT = ("INTERVAL", "BIT", "UNION", "TIME WITH TIME ZONE", "MAP", "BIGNUM")  # which Polars does not know
_AROUND = 60
_EXPLAIN = "EXPLAIN "
_MANY = 12


class Source(Protocol):
    """A dataset that can be read again and again."""

    @property
    def schema(self) -> pl.Schema:
        """Columns and types."""
        ...

    def frame(self, columns: Sequence[str] | None = None, /) -> pl.LazyFrame:
        """Some of its columns."""
        ...


@contextmanager
def asked(text: str, find: Callable[[str], Source | None], known: Sequence[str], spill: Path) -> Iterator[pl.LazyFrame]:
    """The rows that a query gives; `find` knows a dataset by the name that stands in the query, `known` are all names.

    Raises:
        UsageError: the query is no query, is not DuckDB's SQL, names what is not there, or fails while its rows come.
    """
    import duckdb

    failures: list[Exception] = []
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "errors_as_json": True,
            "temp_directory": str(spill),
        }
    )
    columns: list[str] = []
    asked_so_far: str | None = text
    try:
        memory.bound(connection)
        connection.execute("SET TimeZone = 'UTC'")
        for name, source in _sources(_tree(connection, text), find, known):
            connection.register(name, _scannable(source, failures))
            columns += source.schema.names()
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        asked_so_far = f"{_EXPLAIN}{text}"
        connection.execute(asked_so_far)  # binds it as `sql` does, but tells where it is wrong
        asked_so_far = None
        yield _readable(connection.sql(text)).pl(lazy=True)
    except (duckdb.Error, OSError) as error:  # an error while rows come is an OSError of the stream
        if failures:
            raise failures[0] from error
        if isinstance(error, OSError) and not str(error).partition(":")[0].endswith(" Error"):
            raise
        raise _told(str(error), asked_so_far, columns) from error
    finally:
        connection.interrupt()  # closing it would wait for a query whose rows nobody waits for any more
        connection.close()


def _tree(connection: Any, text: str) -> Any:
    """The parsed query, if it is one that only reads."""
    import duckdb

    kinds = [statement.type for statement in connection.extract_statements(text)]
    if kinds == [duckdb.StatementType.SELECT]:
        tree = json.loads(connection.execute("SELECT json_serialize_sql($1)", [text]).fetchall()[0][0])
        if any(node.get("show_type") == "SHOW_SPECIAL" for node in _nodes(tree)):
            raise UsageError("a query knows the datasets that it names, and no others", hint="see `flowpipe list`")
        if not tree["error"] and not any(_writes(node) for node in _nodes(tree)):
            return tree["statements"]
    hint = "pipelines write, queries do not"
    if kinds == [duckdb.StatementType.MULTI]:
        hint = "a PIVOT needs its values written out: PIVOT t ON c IN ('a', 'b') USING ..."
    elif len(kinds) != 1:
        hint = "remove what follows the first `;`" if kinds else "such as: select * from NAME"
    raise UsageError(f"a query is {_READS}", hint=hint)


def _nodes(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    for member in tree if isinstance(tree, list) else ():
        yield from _nodes(member)


def _writes(node: Any) -> bool:
    return str(node.get("type")).endswith("_QUERY_NODE") and str(node["type"]).startswith(_WRITES)


def _tables(tree: Any, hidden: frozenset[str] = frozenset()) -> Iterator[str]:
    """The tables that a query names and does not make itself; a WITH hides its name from what follows it alone."""
    if isinstance(tree, list):
        for member in tree:
            yield from _tables(member, hidden)
    if not isinstance(tree, dict):
        return
    if tree.get("type") == "BASE_TABLE" and not tree["schema_name"] and tree["table_name"].lower() not in hidden:
        yield tree["table_name"]
    for made in tree.get("cte_map", {}).get("map", ()):
        own = frozenset((made["key"].lower(),))
        is_recursive = made["value"]["query_node"]["type"] == "RECURSIVE_CTE_NODE"
        yield from _tables(made["value"], hidden | own if is_recursive else hidden)
        hidden |= own
    yield from _tables([member for name, member in tree.items() if name != "cte_map"], hidden)


def _sources(tree: Any, find: Callable[[str], Source | None], known: Sequence[str]) -> Iterator[tuple[str, Source]]:
    names = {name.lower(): name for name in _tables(tree)}
    found = {name: find(name) for name in names.values()}
    if strange := [name for name, source in found.items() if source is None]:
        raise UsageError.of(_unknown(name, known) for name in strange)
    yield from ((name, source) for name, source in found.items() if source is not None)


def _unknown(name: str, known: Sequence[str]) -> Problem:
    if "." in name or "/" in name:
        text = f'a query reads datasets by their names, not the file "{name}"'
        return Problem(text, None, "give it a name in conf/catalog.yml: NAME: {store: STORE, path: PATH}")
    return unknown("dataset", name, known)


def _scannable(source: Source, failures: list[Exception]) -> Any:
    """What DuckDB scans for the columns it needs; an error on the way is told as itself, not as one of DuckDB's."""
    import pyarrow as pa
    from pyarrow import dataset

    shape = source.schema.to_frame().to_arrow().schema

    def batches(columns: Sequence[str]) -> Iterator[Any]:
        try:
            for frame in source.frame(columns).collect_batches(lazy=True):
                yield from frame.to_arrow().to_batches()
        except Exception as error:
            failures.append(error)
            raise

    class Scannable(dataset.Dataset):  # type: ignore[misc]  # pyarrow is untyped
        def __init__(self) -> None:
            """Nothing of PyArrow's own."""

        @property
        def schema(self) -> Any:
            return shape

        def scanner(self, columns: Sequence[str] | None = None, filter: Any = None, **_: object) -> Any:  # noqa: A002
            wanted = shape.names if columns is None else list(columns)
            # A filter may be on columns that are not wanted; only its text tells which.
            needed = [name for name in shape.names if name in wanted or (filter is not None and name in str(filter))]
            reader = pa.RecordBatchReader.from_batches(
                pa.schema([shape.field(name) for name in needed]), batches(needed)
            )
            return dataset.Scanner.from_batches(reader, columns=wanted, filter=filter)

    return Scannable()


def _readable(relation: Any) -> Any:
    """A relation whose columns Polars can take: each name once, and no type that it lacks."""
    names: list[str] = []
    wanted = []
    for number, (name, kind) in enumerate(zip(relation.columns, map(str, relation.types), strict=True), 1):
        own = name
        while own in names:
            own = f"{own}_{names.count(own)}"
        names.append(own)
        value = f"CAST(#{number} AS VARCHAR)" if any(part in kind for part in _TYPES_AS_TEXT) else f"#{number}"
        quoted = own.replace('"', '""')
        wanted.append(f'{value} AS "{quoted}"')
    return relation.project(", ".join(wanted))


def _told(said: str, text: str | None, columns: Sequence[str]) -> UsageError:
    """DuckDB's error, with its place in `text`: that of the query it was asked, None where it counts in another."""
    kind, _, rest = said.partition(": ")
    try:
        facts = json.loads(rest.partition("\n\n")[0])
    except ValueError:
        facts = {"exception_message": rest}
    message = next((line for line in str(facts["exception_message"]).splitlines() if line.strip()), said)
    if kind == "Permission Error":
        hint = "give what it reads a name in conf/catalog.yml: NAME: {store: STORE, path: PATH}"
        return UsageError("a query reads datasets by their names, and no files, URLs or extensions", hint=hint)
    is_column = facts.get("error_subtype") == "COLUMN_NOT_FOUND"
    candidates = columns if is_column else str(facts.get("candidates", "")).split(",")
    close = nearest(str(facts.get("name", "")), candidates)
    if close:
        hint = f'did you mean "{close}"?'
    elif is_column and columns:
        hint = f"there are: {', '.join(columns[:_MANY])}{', ...' if len(columns) > _MANY else ''}"
    else:
        hint = "queries are DuckDB's SQL: https://duckdb.org/docs/sql/introduction"
    place = "" if text is None or "position" not in facts else _shown(text, int(facts["position"]))
    return UsageError(f"SQL: {message}{place}", hint=hint)


def _shown(text: str, position: int) -> str:
    """The line of a position, which counts bytes, and a caret below it."""
    before = text.encode()[:position].decode(errors="ignore").removeprefix(_EXPLAIN)
    text = text.removeprefix(_EXPLAIN)
    start = before.rfind("\n") + 1
    line, column = text[start:].partition("\n")[0], len(before) - start
    first = max(0, column - _AROUND)
    line = "".join(letter if letter.isprintable() else " " for letter in line[first : first + 2 * _AROUND])
    return f"\n  {line}\n  {' ' * (column - first)}^"
