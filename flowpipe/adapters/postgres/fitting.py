"""How a table comes to have the columns of the rows that are published into it, in the transaction of the publish."""

from __future__ import annotations

from collections.abc import Mapping

from flowpipe import dtypes
from flowpipe.adapters import Dataset, sql
from flowpipe.adapters.postgres import types
from flowpipe.adapters.postgres.connection import Session
from flowpipe.adapters.postgres.table import Place, Table
from flowpipe.errors import DataError


def fit(session: Session, dataset: Dataset, place: Place, there: Table | None, staged: Mapping[str, str]) -> None:
    """Make the table, or let its columns come, go and grow where that is allowed.

    Columns that the table fills itself may stay away from the rows.

    Raises:
        DataError: the staged columns are not the table's.
    """
    change = dataset.config.schema_change
    if there is None:
        session.rows(sql.create_table(place.name, staged))
        return
    lost = [name for name in there.columns if name not in {*staged, *there.filled, *there.computed}]
    if change == "replace" and (
        lost or any(name not in there.columns or there.columns[name] != kind for name, kind in staged.items())
    ):
        _replace(session, place, there, staged, lost)
        return
    for name, kind in staged.items():
        _fit(session, dataset, place, there, (name, kind))
    if lost and change != "add":
        message = f'column "{lost[0]}" of table {dataset.config.table} is not in the new rows'
        raise DataError(message, hint="set `schema_change: add`")


def _fit(session: Session, dataset: Dataset, place: Place, there: Table, column: tuple[str, str]) -> None:
    (name, kind), shown, may_add = column, dataset.config.table, dataset.config.schema_change == "add"
    if name in there.computed:
        message = f'column "{name}" of table {shown} is generated: rows cannot say what it is'
        raise DataError(message, hint="leave it out of the rows")
    if name not in there.columns:
        if not may_add:
            raise DataError(f'column "{name}" is not in table {shown}', hint="set `schema_change: add`")
        session.rows(sql.add_column(place.name, name, kind))
        return
    now, new = types.polars(there.columns[name]), types.polars(kind)
    if now == new or dtypes.is_wider(now, new):
        return
    if not (may_add and dtypes.is_wider(new, now)):
        message = f'column "{name}" is {kind}, in table {shown} it is {there.columns[name]}'
        raise DataError(message, hint="cast the column")
    session.rows(f"ALTER TABLE {place.name} ALTER COLUMN {sql.quoted(name)} TYPE {kind}")


def _replace(session: Session, place: Place, there: Table, staged: Mapping[str, str], lost: list[str]) -> None:
    """New columns for the old ones, in the table that readers, grants and triggers know; its rows go with them."""
    session.rows(sql.delete(place.name, None))
    for name in lost:
        session.rows(f"ALTER TABLE {place.name} DROP COLUMN {sql.quoted(name)}")
    for name, kind in staged.items():
        if name not in there.columns:
            session.rows(sql.add_column(place.name, name, kind))
        elif types.polars(there.columns[name]) != types.polars(kind):
            column = f"ALTER TABLE {place.name} ALTER COLUMN {sql.quoted(name)}"
            session.rows(f"{column} DROP DEFAULT")
            session.rows(f"{column} TYPE {kind} USING NULL::{kind}")
