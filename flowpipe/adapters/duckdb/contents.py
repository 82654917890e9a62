"""Whether rows still are what was published: how many they are, and the sum of their hashes.

Decided 2026-11, DuckDB 2.0 on 2 cores: the sum over 10M rows of 8 columns takes 0.5 CPU seconds, a fifteenth of what
loading them takes, so a publish measures what it made, and a plan measures it again. What the publish of another slice
may change as well is not measured, only counted: the slices of a merge or snapshot, or those with `after_publish`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import duckdb

from flowpipe.adapters import Dataset, sql
from flowpipe.adapters.duckdb.selection import SCHEMA
from flowpipe.partition import Slice

_COLUMN = "contents"


@dataclass(frozen=True)
class Contents:
    """Rows and sum; DuckDB may hash otherwise in its next version."""

    rows: int
    total: str
    version: str = duckdb.__version__

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """From `str` of it; None where nothing was remembered, or by another version."""
        rows, _, rest = (text or "").partition(" ")
        total, _, version = rest.partition(" ")
        return cls(int(rows), total) if version == duckdb.__version__ else None

    def __str__(self) -> str:
        return f"{self.rows} {self.total} {self.version}"

    def changed(self, then: Contents) -> str | None:
        """What somebody else did since `then`."""
        if self.rows != then.rows:
            return f"its row count is {self.rows}, {then.rows} was published"
        return None if self == then else "its rows were changed by somebody else"


def measure(
    cursor: duckdb.DuckDBPyConnection, dataset: Dataset, part: Slice, columns: Mapping[str, str]
) -> Contents | None:
    """What a slice holds now; None where that says nothing."""
    config = dataset.config
    if part.kind != "whole" and (config.mode not in {"overwrite", "replace"} or config.after_publish):
        return None
    if config.mode == "append":
        return None
    column = config.partition.column if config.partition else None
    if part.kind != "whole" and column not in columns:
        return None
    condition = sql.of_slice(part, column, columns)
    query = sql.select(sql.qualified(str(config.table), SCHEMA), ["count(*)", "sum(hash(source))"], condition)
    ((rows, total),) = cursor.execute(query).fetchall()
    return Contents(int(rows), str(total or 0))


def prepare(cursor: duckdb.DuckDBPyConnection) -> None:
    """A column for it in the table of states, which older files lack."""
    there = cursor.execute(sql.COLUMNS, [SCHEMA, sql.STATE_TABLE]).fetchall()
    if _COLUMN not in {name for name, _ in there}:
        cursor.execute(f"ALTER TABLE {sql.STATE_TABLE} ADD COLUMN {_COLUMN} VARCHAR")


def remember(cursor: duckdb.DuckDBPyConnection, dataset: str, part: str, found: Contents | None) -> None:
    """Beside the state of a slice."""
    update = f"UPDATE {sql.STATE_TABLE} SET {_COLUMN} = $3 WHERE dataset = $1 AND slice = $2"  # noqa: S608
    cursor.execute(update, [dataset, part, found and str(found)])


def forget(cursor: duckdb.DuckDBPyConnection, dataset: str) -> None:
    """Of all slices: the columns have changed, and so has every hash."""
    cursor.execute(f"UPDATE {sql.STATE_TABLE} SET {_COLUMN} = NULL WHERE dataset = $1", [dataset])  # noqa: S608


def remembered(cursor: duckdb.DuckDBPyConnection, dataset: str) -> dict[str, Contents]:
    """By slice."""
    there = cursor.execute(sql.COLUMNS, [SCHEMA, sql.STATE_TABLE]).fetchall()
    if _COLUMN not in {name for name, _ in there}:
        return {}
    query = f"SELECT slice, {_COLUMN} FROM {sql.STATE_TABLE} WHERE dataset = $1"  # noqa: S608
    found = {part: Contents.read(text) for part, text in cursor.execute(query, [dataset]).fetchall()}
    return {part: each for part, each in found.items() if each}
