"""Which rows a dataset of a PostgreSQL store is: a table's or a query's, of one slice, in types that come back whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from flowpipe.adapters import Dataset, sql
from flowpipe.adapters.postgres import types
from flowpipe.errors import unknown
from flowpipe.partition import Slice

Finding = tuple[tuple[str, ...], str, str | None]
# What may hold a `$` that is no placeholder: comments, quoted texts and names, dollar-quoted texts.
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|\bE'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
    r"|(?<![\w$])\$(?P<name>\w+)",
    re.DOTALL | re.IGNORECASE,
)

_SELECT = re.compile(r"[\s(]*(select|with|values|table)\b", re.IGNORECASE)
_TRANSACTION = re.compile(r"\s*(begin|start|commit|end|rollback|abort|savepoint|release|prepare)\b", re.IGNORECASE)


def source(dataset: Dataset, schema: str) -> str:
    """A dataset's rows as they stand after FROM."""
    query, table = dataset.config.query, dataset.config.table
    if not query:
        return sql.qualified(str(table), schema)
    # COPY streams rows but takes no parameters: the values are bound before, as settings of the transaction.
    bound = _TOKEN.sub(lambda match: _bound(match["name"]) if match["name"] else match[0], query)
    # A line break, since the query may end in a comment.
    return f"({bound.rstrip().rstrip(';')}\n)"


def bounds(dataset: Dataset, part: Slice) -> tuple[str, list[str]]:
    """The statement that binds `$start` and `$end` for the transaction, and their values: wall-clock times of the window.

    The time zone becomes that of the window, too: so they are right for instants.
    """
    window = part.window
    start, end = (window.start, window.end) if window else (datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001
    names = {"TimeZone": str(window.start.tzinfo) if window else "UTC"}
    if dataset.config.query:
        names |= {
            f"flowpipe.{name}": value.replace(tzinfo=None).isoformat(" ")
            for name, value in (("start", start), ("end", end))
        }
    calls = [f"set_config('{name}', ${number}, true)" for number, name in enumerate(names, 1)]
    return f"SELECT {', '.join(calls)}", list(names.values())


def condition(dataset: Dataset, part: Slice, columns: Mapping[str, str]) -> str | None:
    """What holds for a slice's rows; a query may say it itself, by $start and $end."""
    column = dataset.config.partition.column if dataset.config.partition else None
    return None if dataset.config.query and column is None else sql.of_slice(part, column, columns)


def rows(dataset: Dataset, part: Slice, columns: Mapping[str, str], schema: str) -> str:
    """The statement that gives a slice's rows."""
    wanted = [types.read(name, kind) for name, kind in columns.items()]
    return sql.select(source(dataset, schema), wanted, condition(dataset, part, columns))


def check(dataset: Dataset) -> Iterator[Finding]:
    """What is wrong with a dataset's query, without a server: its placeholders, and whether it may be a SELECT."""
    query, partitioned = str(dataset.config.query), dataset.config.partition
    if not _SELECT.match(_bare(query)) or _is_several(query):
        yield ("query",), "a query is one SELECT", "write one statement that only reads"
        return
    names = {match["name"] for match in _TOKEN.finditer(query) if match["name"]}
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
    if config.swap and (config.mode != "overwrite" or config.partition):
        hint = "remove it, or write `mode: overwrite` without a partition"
        yield ("swap",), "swap is for tables that are overwritten whole", hint
    for statement in config.after_publish:
        if _TRANSACTION.match(_bare(statement)):
            hint = "remove BEGIN, COMMIT and ROLLBACK"
            yield ("after_publish",), "after_publish runs in the transaction of the publish", hint
        elif _is_several(statement):
            hint = 'write a list: ["ANALYZE t", "GRANT ..."]'
            yield ("after_publish",), "each entry of after_publish is one statement", hint


def _bare(statement: str) -> str:
    """A statement without comments and texts."""
    return _TOKEN.sub(lambda match: f"${match['name']}" if match["name"] else " ", statement)


def _is_several(statement: str) -> bool:
    return ";" in _bare(statement).strip().rstrip(";")


def _bound(name: str) -> str:
    return f"(current_setting('flowpipe.{name}')::timestamp)"
