"""One publish as one transaction: the table, its rows and their state change together or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from flowpipe.adapters import Publication, sql
from flowpipe.adapters.postgres import loading, table, types
from flowpipe.adapters.postgres.connection import Session
from flowpipe.adapters.postgres.table import Remembered, Table
from flowpipe.errors import DataError, PublishError

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text"


def publish(session: Session, publication: Publication, schema: str) -> None:
    """Publish the staged rows, unless this run has done so.

    Publishes of one table follow one another, and nobody else writes to it meanwhile; readers see the old rows.

    Raises:
        DataError: the columns are not the table's.
        PublishError: the slice was appended before.
    """
    dataset = publication.dataset
    if _is_published(publication, table.states(session, dataset, schema)):
        return
    staged = loading.load(session, publication.staged)
    there = _lock(session, str(dataset.config.table), schema)
    remembered = table.states(session, dataset, schema) if there else {}
    if not _is_published(publication, remembered):
        _refuse_twice(publication, remembered)
        _publish(session, publication, schema, there, staged)


def _is_published(publication: Publication, remembered: Mapping[str, Remembered]) -> bool:
    """Whether this very publication is there already."""
    state, before = publication.state, remembered.get(publication.slice.key)
    return before is not None and (before.state.run, before.state.fingerprint) == (state.run, state.fingerprint)


def _refuse_twice(publication: Publication, remembered: Mapping[str, Remembered]) -> None:
    before = remembered.get(publication.slice.key)
    if before and publication.dataset.config.mode == "append":
        message = (
            f"slice {publication.slice} of {publication.dataset.name} was appended by run {before.state.run} already"
        )
        raise PublishError(message, hint="appending it again would double its rows; delete them and its state first")


def _lock(session: Session, name: str, schema: str) -> Table | None:
    """The table, ours until the end of the transaction; before it, schemas and the table of states are made."""
    for each in dict.fromkeys([schema, sql.split(name, schema)[0]]):
        if each != schema or table.find(session, sql.STATE_TABLE, schema) is None:
            session.rows(_LOCK, [f"flowpipe {each}"])
            session.rows(f"CREATE SCHEMA IF NOT EXISTS {sql.quoted(each)}")
    session.rows(sql.CREATE_STATE)
    qualified = sql.qualified(name, schema)
    session.rows(_LOCK, [f"flowpipe {qualified}"])
    if table.find(session, name, schema):
        session.rows(f"LOCK TABLE {qualified} IN SHARE ROW EXCLUSIVE MODE")
    return table.find(session, name, schema)


def _publish(
    session: Session, publication: Publication, schema: str, there: Table | None, staged: Mapping[str, str]
) -> None:
    dataset, state, config = publication.dataset, publication.state, publication.dataset.config
    name = sql.qualified(str(config.table), schema)
    if config.was:
        session.rows(sql.RENAME_STATE, [dataset.name, config.was])
    if there:
        _fit(session, publication, name, there, staged)
    else:
        session.rows(sql.create_table(name, staged))
    if not there or (publication.slice.kind == "whole" and config.mode in {"overwrite", "replace"}):
        session.rows(sql.FORGET_STATE, [dataset.name])
    now = table.find(session, str(config.table), schema)
    assert now is not None
    before = table.mark(session, name, marked=now.marked)
    for statement in _changes(publication, name, now.columns, _source(now.columns, staged)):
        session.rows(statement)
    after = table.mark(session, name, marked=now.marked)
    session.rows(sql.FOLLOW_STATE, [dataset.name, before, after])
    parts = json.dumps(dict(state.parts), sort_keys=True)
    session.rows(
        sql.UPSERT_STATE,
        [state.dataset, state.slice, state.fingerprint, parts, state.rows, state.run, state.published_at, after],
    )
    for number, statement in enumerate(config.after_publish, 1):
        session.rows(statement)


def _source(columns: Mapping[str, str], staged: Mapping[str, str]) -> str:
    """The staged rows in the types of the table's columns, as they stand after FROM."""
    if all(columns[name] == kind for name, kind in staged.items()):
        return loading.STAGED
    return (
        f"({sql.select(loading.STAGED, [types.written(name, columns[name], kind) for name, kind in staged.items()])})"
    )


def _changes(publication: Publication, name: str, columns: Mapping[str, str], source: str) -> Sequence[str]:
    config, staged = publication.dataset.config, list(publication.staged.schema)
    if config.mode == "merge":
        return sql.merge(name, staged, config.key, config.order_by, source)
    insert = sql.insert(name, staged, source)
    if config.mode == "append":
        return [insert]
    column = config.partition.column if config.partition else None
    return [sql.delete(name, sql.of_slice(publication.slice, column, columns)), insert]


def _fit(session: Session, publication: Publication, name: str, there: Table, staged: Mapping[str, str]) -> None:
    """Add new columns where that is allowed.

    Raises:
        DataError: the staged columns are not the table's.
    """
    shown, may_add = publication.dataset.config.table, publication.dataset.config.schema_change == "add"
    for column, kind in staged.items():
        if column not in there.columns and not may_add:
            raise DataError(f'column "{column}" is not in table {shown}', hint="set `schema_change: add`")
        if column not in there.columns:
            session.rows(sql.add_column(name, column, kind))
        elif types.polars(there.columns[column]) != types.polars(kind):
            message = f'column "{column}" is {kind}, in table {shown} it is {there.columns[column]}'
            raise DataError(message, hint="cast the column")
    lost = next((each for each in there.columns if each not in {*staged, *there.filled}), None)
    if lost and not may_add:
        raise DataError(f'column "{lost}" of table {shown} is not in the new rows', hint="set `schema_change: add`")
