"""What the server's catalog tells of a table or a query, and a mark by which a table's change is noticed."""
# ruff: noqa: S608  names are quoted, values are parameters

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from flowpipe.adapters import Dataset, State, sql, tables
from flowpipe.adapters.postgres.connection import Session

# Columns of a domain are told as what the domain is made of.
_COLUMNS = """SELECT a.attname::text,
    format_type(
        COALESCE(NULLIF(t.typbasetype, 0), a.atttypid), CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END
    ), a.attidentity <> '' OR a.atthasdef, a.attidentity = 'a' OR a.attgenerated <> '', c.relkind::text
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'm', 'v', 'f')
    AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_NAMES = """SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND n.nspname !~ '^(pg_|information_schema$)' AND c.relname <> $1"""
# Every row knows the transaction that wrote it, also when it is frozen or moved by VACUUM. A row written later has a
# greater number than all before: two tables of as many rows and the same sum are the same table, until the numbers
# begin again after four thousand million transactions.
_MARK = "hashtextextended(count(*)::text || ' ' || COALESCE(sum(xmin::text::bigint), 0)::text, 0)"


@dataclass(frozen=True)
class Table:
    """Columns and their SQL types.

    `filled` are those that have a value where a new row gives none, `computed` those of which it may not give one.
    `kind` is that of pg_class: r(elation), p(artitioned), m(aterialized view), v(iew), f(oreign).
    """

    columns: Mapping[str, str]
    filled: frozenset[str] = frozenset()
    computed: frozenset[str] = frozenset()
    kind: str = "v"

    @property
    def lockable(self) -> bool:
        return self.kind in {"r", "p"}

    @property
    def writable(self) -> dict[str, str]:
        return {name: kind for name, kind in self.columns.items() if name not in self.computed}

    def mark(self, session: Session, source: str, condition: str | None = None) -> int:
        """A number that another one follows when rows were added, changed or removed; of a view, how many there are."""
        return session.number(sql.select(source, [_MARK if self.kind in "rpm" else "count(*)"], condition))


@dataclass(frozen=True)
class Place:
    """Where a table is; `name` is how it stands in a statement."""

    schema: str
    table: str

    @property
    def name(self) -> str:
        return f"{sql.quoted(self.schema)}.{sql.quoted(self.table)}"


@dataclass(frozen=True)
class Remembered:
    """One row of the table of states; `mark` is None when somebody else has changed the table since."""

    state: State
    mark: int | None


def find(session: Session, table: str, schema: str) -> Table | None:
    """A table or view, if it is there."""
    rows = session.rows(_COLUMNS, sql.split(table, schema))
    if not rows:
        return None
    filled, computed = (frozenset(row[0] for row in rows if row[flag]) for flag in (2, 3))
    return Table({row[0]: row[1] for row in rows}, filled, computed, rows[0][4])


def described(session: Session, source: str) -> Table:
    """The columns of a query, with the precision of its numbers; psycopg alone tells that."""
    session.rows(f"SELECT * FROM {source} AS source LIMIT 0")
    result = session.cursor.pgresult
    types = [[result.ftype(number), result.fmod(number)] for number in range(result.nfields)]
    names = [column.name for column in session.cursor.description]
    kinds = session.rows(
        "SELECT format_type((each->>0)::oid, (each->>1)::int) FROM json_array_elements($1::json) WITH ORDINALITY"
        " AS types(each, number) ORDER BY number",
        [json.dumps(types)],
    )
    return Table(dict(zip(names, (str(kind) for (kind,) in kinds), strict=True)))


def names(session: Session, schema: str) -> list[str]:
    """All tables and views, as a dataset would name them."""
    return [name if found == schema else f"{found}.{name}" for found, name in session.rows(_NAMES, [sql.STATE_TABLE])]


def states(session: Session, dataset: Dataset, schema: str) -> dict[str, Remembered]:
    """What is remembered of a dataset, under its name or the one it had before, by slice."""
    if find(session, sql.STATE_TABLE, schema) is None:
        return {}
    rows = [row for name in tables.known_names(dataset) for row in session.rows(sql.READ_STATE, [name])]
    return {state.slice: Remembered(state, last) for state, last in map(tables.state, rows)}
