"""The SQL of a publish, as SQLite reads it: pure text in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flowpipe.adapters import Publication
from flowpipe.adapters.sql import STATE_COLUMNS, literal, quoted
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError
from flowpipe.fields import condition
from flowpipe.partition import Slice

SOURCE = "_flowpipe_source"
CREATE_STATE = (
    "CREATE TABLE IF NOT EXISTS _flowpipe_state (dataset TEXT, slice TEXT, fingerprint TEXT, parts TEXT, rows BIGINT,"
    " run TEXT, published_at TEXT, table_rows BIGINT, PRIMARY KEY (dataset, slice))"
)
READ_STATE = f"SELECT {', '.join(STATE_COLUMNS)} FROM _flowpipe_state WHERE dataset = ? ORDER BY slice"
RENAME_STATE = "UPDATE _flowpipe_state SET dataset = ? WHERE dataset = ?"
FORGET_STATE = "DELETE FROM _flowpipe_state WHERE dataset = ?"
# What the table held when a slice was last as published; NULL once somebody else has changed the table.
FOLLOW_STATE = "UPDATE _flowpipe_state SET table_rows = CASE WHEN table_rows = ? THEN ? END WHERE dataset = ?"
WRITE_STATE = f"INSERT OR REPLACE INTO _flowpipe_state VALUES ({', '.join('?' * len(STATE_COLUMNS))})"


def create(table: str, columns: Mapping[str, str], *, temporary: bool = False) -> str:
    """A new table."""
    kinds = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    return f"CREATE {'TEMPORARY ' if temporary else ''}TABLE {quoted(table)} ({kinds})"


def of_slice(config: DatasetConfig, part: Slice, columns: Mapping[str, str]) -> str:
    """What holds for the rows of a slice.

    Raises:
        DataError: no column tells a row's slice.
    """
    if part.kind == "whole":
        return "TRUE"
    column = config.partition.column if config.partition else None
    kind = columns.get(column or "")
    if column is None or kind is None:
        raise DataError(f"no column tells the rows of slice {part}", hint="see `partition:` of the dataset")
    if part.window is None:
        return f"{quoted(column)} = {literal(part.key)}"
    start, end = part.window.start, part.window.end
    if kind == "DATE":
        first, last = start.date().toordinal() - 719163, end.date().toordinal() - 719163
    elif kind == "TIMESTAMPTZ":
        first, last = (int(moment.timestamp()) * 1_000_000 for moment in (start, end))
    else:
        raise DataError(f'the partition column "{column}" is {kind}, not a date or an instant', hint="cast it")
    return f"{quoted(column)} >= {first} AND {quoted(column)} < {last}"


def changes(publication: Publication, columns: Mapping[str, str]) -> Iterator[str]:
    """What makes the table's rows those that the publication says; the staged rows are in `SOURCE`."""
    config, staged = publication.dataset.config, list(publication.staged.schema)
    table = quoted(str(config.table))
    names = ", ".join(map(quoted, staged))
    added = f"INSERT INTO {table} ({names}) SELECT {names} FROM {SOURCE}"
    if config.mode == "merge":
        yield from _merge(config, table, staged, added, of_slice(config, publication.slice, columns))
        return
    if config.mode != "append":
        yield f"DELETE FROM {table} WHERE {of_slice(config, publication.slice, columns)}"
    yield added


def absent(config: DatasetConfig, among: str) -> str:
    """What holds for rows whose key is not in the staged rows."""
    return f"{among} AND NOT {_known(config)}"


def _merge(config: DatasetConfig, table: str, staged: Sequence[str], added: str, among: str) -> Iterator[str]:
    """Columns that the staged rows lack keep their values, so rows are updated in place."""
    if config.missing == "delete":
        yield f"DELETE FROM {table} WHERE {absent(config, among)}"
    newer, stays = "TRUE", "TRUE"
    if config.order_by:
        age = quoted(config.order_by)
        newer = f"({table}.{age} IS NULL OR {SOURCE}.{age} >= {table}.{age})"
    if config.delete_when:
        column, value = condition(config.delete_when)
        marked = f"CAST({SOURCE}.{quoted(column)} AS TEXT) = {literal(value)}"
        yield f"DELETE FROM {table} WHERE {_known(config, f'{newer} AND {marked}')}"
        stays = f"({marked}) IS NOT TRUE"
    if new := [f"{quoted(name)} = {SOURCE}.{quoted(name)}" for name in staged if name not in config.key]:
        yield f"UPDATE {table} SET {', '.join(new)} FROM {SOURCE} WHERE {_same(config)} AND {newer} AND {stays}"
    yield f"{added} WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {_same(config)}) AND {stays}"


def _known(config: DatasetConfig, also: str = "") -> str:
    return f"EXISTS (SELECT 1 FROM {SOURCE} WHERE {' AND '.join(filter(None, (_same(config), also)))})"


def _same(config: DatasetConfig) -> str:
    table = quoted(str(config.table))
    return " AND ".join(f"{table}.{quoted(name)} = {SOURCE}.{quoted(name)}" for name in config.key)


def add_columns(table: str, there: Mapping[str, str], staged: Mapping[str, str]) -> Sequence[str]:
    """The statements that make room for new columns."""
    return [f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(n)} {staged[n]}" for n in staged if n not in there]
