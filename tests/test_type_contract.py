"""The table of types in docs/stores.md says what every store makes of every type; the type suite proves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flowpipe.adapters import Dataset, installed
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError

PAGE = Path(__file__).parents[1] / "docs" / "stores.md"
HEAD = "| Polars | parquet | ipc | csv | json | delta | duckdb | postgres |"
TYPES: dict[str, pl.DataType] = {
    **{name: getattr(pl, name)() for name in ("Int8", "Int16", "Int32", "Int64", "Int128")},
    **{name: getattr(pl, name)() for name in ("UInt8", "UInt16", "UInt32", "UInt64", "UInt128")},
    **{name: getattr(pl, name)() for name in ("Float16", "Float32", "Float64", "Boolean", "String", "Binary")},
    "Decimal(12, 2)": pl.Decimal(12, 2),
    "Date": pl.Date(),
    "Time": pl.Time(),
    **{f"Datetime({unit})": pl.Datetime(unit) for unit in ("ns", "us", "ms")},
    "Datetime(us, Europe/Berlin)": pl.Datetime("us", "Europe/Berlin"),
    "Duration": pl.Duration("us"),
    "Categorical": pl.Categorical(),
    "Enum": pl.Enum(["a"]),
    "List(Int64)": pl.List(pl.Int64),
    "List(List(Int64))": pl.List(pl.List(pl.Int64)),
    "Array(Int64, 2)": pl.Array(pl.Int64, 2),
    "Struct": pl.Struct({"x": pl.Int64}),
    "Null": pl.Null(),
    "Object": pl.Object(),
}
STORES: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "parquet": ("files", {"url": "data"}, {"path": "t.parquet"}),
    "ipc": ("files", {"url": "data"}, {"path": "t.arrow"}),
    "csv": ("files", {"url": "data"}, {"path": "t.csv"}),
    "json": ("files", {"url": "data"}, {"path": "t.ndjson"}),
    "delta": ("delta", {"url": "lake"}, {"table": "t"}),
    "duckdb": ("duckdb", {"database": "t.duckdb"}, {"table": "t"}),
    "postgres": ("postgres", {"dsn": "postgresql://host/db"}, {"table": "t"}),
}


def spelled(dtype: pl.DataType) -> str:
    """A type as the page writes it."""
    if isinstance(dtype, pl.Datetime):
        return f"Datetime({dtype.time_unit}{f', {dtype.time_zone}' if dtype.time_zone else ''})"
    if isinstance(dtype, pl.Decimal):
        return f"Decimal({dtype.precision}, {dtype.scale})"
    return str(dtype)


def written(adapter: Any, dataset: Dataset, dtype: pl.DataType) -> str:
    """What becomes of a column of this type."""
    try:
        kept = adapter.storable(dataset, {"column": dtype})["column"]
    except DataError:
        return "refused"
    return "exact" if kept == dtype else spelled(kept)


def rows_of_the_page() -> dict[str, list[str]]:
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index(HEAD) :].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rest for name, *rest in cells}


@pytest.mark.parametrize("store", STORES)
def test_the_page_says_what_a_store_does(store: str, tmp_path: Path) -> None:
    name, options, place = STORES[store]
    kind = installed()[name].load()
    adapter = kind(kind.Options(**options), tmp_path)
    dataset = Dataset("t", DatasetConfig(store="here", **place))
    column = list(STORES).index(store)
    told = {dtype: cells[column] for dtype, cells in rows_of_the_page().items()}
    assert told == {dtype: written(adapter, dataset, TYPES[dtype]) for dtype in TYPES}
