"""Columns that a store cannot name, or not tell apart, are refused before anything is staged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import pytest

from flowpipe.adapters.delta import schema as delta
from flowpipe.adapters.duckdb import types as duckdb
from flowpipe.adapters.postgres import types as postgres
from flowpipe.errors import DataError

CLASH = {"v": pl.List(pl.Struct({"a": pl.Int64(), "A": pl.Int64()}))}


@pytest.mark.parametrize(
    ("storable", "schema", "message", "hint"),
    [
        (
            delta.storable, CLASH,
            'columns "a" and "A" differ only in case, which Delta does not tell apart',
            "rename one of them",
        ),
        (
            duckdb.storable, CLASH,
            'columns "a" and "A" differ only in case, which DuckDB does not tell apart',
            "rename one of them",
        ),
        (duckdb.storable, {"": pl.Int64()}, '"" cannot be a column in DuckDB', "give it a name"),
        (
            postgres.storable, {"xmin": pl.Int64()},
            'every table of PostgreSQL has a column "xmin" of its own',
            "rename it",
        ),
    ],
)  # fmt: skip
def test_a_name_is_refused(
    storable: Callable[[Mapping[str, Any]], Any], schema: dict[str, pl.DataType], message: str, hint: str
) -> None:
    with pytest.raises(DataError) as raised:
        storable(schema)
    assert str(raised.value) == f"{message}\n  hint: {hint}"
