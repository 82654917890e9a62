"""Which rows a PostgreSQL dataset is: a table's or a query's, of one slice, in types that come back whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from flowpipe.adapters import Dataset, sql, tables
from flowpipe.adapters.postgres import types
from flowpipe.adapters.tables import Flaw
from flowpipe.fields import REJECTED
from flowpipe.partition import Slice

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
    """The statement that binds `$start` and `$end` for the transaction, and their values.

    They are wall-clock times in the time zone of the window, which becomes that of the transaction.
    """
    values = {"TimeZone": str(part.window.start.tzinfo) if part.window else "UTC"}
    if dataset.config.query:
        values |= {f"flowpipe.{name}": value.isoformat(" ") for name, value in tables.bounds(part).items()}
    if part.new:
        # Values in the text form that PostgreSQL reads; its own NULL where there is no row at all.
        new = sql.bounds(part.new).items()
        values |= {f"flowpipe.{name}": "" if value is None else str(value) for name, value in new}
    calls = [f"set_config('{name}', ${number}, true)" for number, name in enumerate(values, 1)]
    return f"SELECT {', '.join(calls)}", list(values.values())


def condition(dataset: Dataset, part: Slice, columns: Mapping[str, str]) -> str | None:
    """What holds for a slice's rows, or for the new ones, whose bounds are settings of the transaction."""
    if part.new is None:
        return tables.condition(dataset, part, columns)
    kind = columns[part.new.column]
    return sql.above(part.new, {n: f"NULLIF(current_setting('flowpipe.{n}'), '')::{kind}" for n in ("low", "high")})


def rows(
    dataset: Dataset, part: Slice, columns: Mapping[str, str], schema: str, *, names: Iterable[str], limit: int | None
) -> str:
    """The statement that gives some columns of a slice's rows; `columns` are all that the table has."""
    wanted = [types.read(name, columns[name]) for name in names]
    return sql.select(source(dataset, schema), wanted, condition(dataset, part, columns), limit)


def check(dataset: Dataset) -> Iterator[Flaw]:
    """What is wrong with a dataset's query, without a server: its placeholders, and whether it may be a SELECT."""
    query = str(dataset.config.query)
    if not _SELECT.match(_bare(query)) or _is_several(query):
        yield ("query",), "a query is one SELECT", "write one statement that only reads"
        return
    names = {match["name"] for match in _TOKEN.finditer(query) if match["name"]}
    yield from tables.check_query(dataset, names)


def check_names(dataset: Dataset, schema: str) -> Iterator[Flaw]:
    """What PostgreSQL would cut without a word, so that another table is meant."""
    names = list(sql.split(str(dataset.config.table), schema))
    if dataset.config.on_invalid == "quarantine":
        names[1] += REJECTED
    for name in names:
        if len(name.encode()) > types.LONGEST:
            message = f"the name {name} is longer than {types.LONGEST} bytes, where PostgreSQL cuts it"
            yield ("table",), message, "choose a shorter one"


def check_written(dataset: Dataset) -> Iterator[Flaw]:
    """What is wrong with writing a dataset."""
    config = dataset.config
    yield from tables.check_written(dataset)
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
