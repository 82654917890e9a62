"""What a server says of itself, and what its user may do there: tried in transactions that are rolled back."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from flowpipe.adapters import Finding, sql
from flowpipe.adapters.postgres import table
from flowpipe.adapters.postgres.connection import Server, Session
from flowpipe.adapters.postgres.options import Options
from flowpipe.errors import FlowpipeError
from flowpipe.findings import failed, of_clocks, tried
from flowpipe.terminal import counted

_HINT = "look at the store's host, port, user and password"
_SERVER = "SELECT current_setting('server_version'), current_user::text, clock_timestamp()"
_USAGE = "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1"


class _Undone(Exception):
    """Whatever was done in its transaction is rolled back."""


def findings(server: Server, options: Options, *, written: bool) -> Iterator[Finding]:
    """What comes of asking the server, reading its schema and, where it is `written`, making a table there."""
    try:
        version, user, now = server.ask(_introduced)
    except FlowpipeError as error:
        yield failed("server", error, _HINT)
        return
    yield Finding("server", "ok", f"PostgreSQL {version.partition(' ')[0]}, {options.shown}, user {user}")
    yield of_clocks(now)
    yield tried("read", partial(server.ask, partial(_read, schema=options.schema_, user=user, written=written)))
    if written:
        yield tried("write", partial(_write, server, options.schema_), f"see what user {user} may do there")


def _introduced(session: Session) -> tuple[str, str, datetime]:
    version, user, now = session.rows(_SERVER)[0]
    return version, user, now


def _read(session: Session, *, schema: str, user: str, written: bool) -> str:
    usable = session.rows(_USAGE, [schema])
    if not usable and not written:
        raise FlowpipeError(f"there is no schema {schema}", hint="correct the store's `schema`")
    if not usable:
        return f"schema {schema} is not there yet; the first publish makes it"
    if not usable[0][0]:
        hint = f"as its owner: GRANT USAGE ON SCHEMA {sql.quoted(schema)} TO {sql.quoted(user)}"
        raise FlowpipeError(f"user {user} may not use schema {schema}", hint=hint)
    number = sum("." not in name for name in table.names(session, schema))
    return f"schema {schema}, {counted(number, 'table')}"


def _write(server: Server, schema: str) -> str:
    """As a publish does it: the schema, if it is not there, and a table."""

    def make(session: Session) -> None:
        if not session.rows("SELECT 1 FROM pg_namespace WHERE nspname = $1", [schema]):
            session.rows(f"CREATE SCHEMA {sql.quoted(schema)}")
        session.rows(f"CREATE TABLE {sql.quoted(schema)}.{sql.quoted(f'_flowpipe_probe_{uuid.uuid4().hex}')} (x int)")
        raise _Undone

    with contextlib.suppress(_Undone):
        server.move(make)
    return "a table was made and rolled back"
