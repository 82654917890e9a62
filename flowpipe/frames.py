"""Frames as people annotate them, turned into one lazy form and back."""

from __future__ import annotations

import types
import typing
import uuid
from datetime import UTC, date
from pathlib import Path
from typing import Any, Literal

import polars as pl

from flowpipe import memory
from flowpipe.partition import Window
from flowpipe.stop import interruptibly

Kind = Literal["lazy", "eager", "pandas", "arrow", "reader", "relation"]

_KINDS: dict[tuple[str, str], Kind] = {
    ("polars", "LazyFrame"): "lazy",
    ("polars", "DataFrame"): "eager",
    ("pandas", "DataFrame"): "pandas",
    ("pyarrow", "Table"): "arrow",
    ("pyarrow", "RecordBatchReader"): "reader",
    ("duckdb", "DuckDBPyRelation"): "relation",
    ("_duckdb", "DuckDBPyRelation"): "relation",
}


def kind_of(annotation: Any) -> Kind | None:
    """Which frame an annotation asks for; None when it is no frame.

    >>> kind_of(pl.LazyFrame), kind_of(pl.DataFrame | None), kind_of(int)
    ('lazy', 'eager', None)
    """
    if typing.get_origin(annotation) is typing.Annotated:
        return kind_of(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        kinds = {kind_of(part) for part in typing.get_args(annotation) if part is not type(None)}
        return kinds.pop() if len(kinds) == 1 else None
    module = getattr(annotation, "__module__", "").split(".")[0]
    return _KINDS.get((module, getattr(annotation, "__name__", "")))


def to_lazy(value: Any, spool: Path) -> pl.LazyFrame:
    """Any frame as a LazyFrame that can be read more than once; streams are written to `spool` first.

    Raises:
        TypeError: the value is no frame.
    """
    kind = kind_of(type(value))
    if kind == "lazy":
        return typing.cast("pl.LazyFrame", value)
    if kind == "eager":
        return typing.cast("pl.DataFrame", value).lazy()
    if kind == "pandas":
        return typing.cast("pl.DataFrame", pl.from_pandas(value)).lazy()
    if kind == "arrow":
        return typing.cast("pl.DataFrame", pl.from_arrow(value)).lazy()
    if kind == "reader":
        return pl.scan_parquet(_spool_reader(value, spool))
    if kind == "relation":
        path = _fresh(spool)
        value.write_parquet(str(path))
        return pl.scan_parquet(path)
    raise TypeError(f"{type(value).__name__} is not a frame")


def present(frame: pl.LazyFrame, kind: Kind, spool: Path) -> Any:
    """A LazyFrame as the kind an annotation asks for."""
    if kind == "lazy":
        return frame
    if kind == "eager":
        return collected(frame)
    if kind == "pandas":
        return collected(frame).to_pandas()
    if kind == "arrow":
        return collected(frame).to_arrow()
    if kind == "reader":
        import pyarrow as pa

        return pa.RecordBatchReader.from_stream(frame.collect_batches(lazy=True))
    # A relation is read as often as its user likes, a stream only once: so it stands on a file.
    path = _fresh(spool)
    interruptibly(lambda: frame.sink_parquet(path))
    return relation_of(path, spool)


def relation_of(path: Path, spool: Path) -> Any:
    """The rows of a Parquet file as a DuckDB relation with a connection of its own."""
    import duckdb

    connection = duckdb.connect(config={"temp_directory": str(spool)})
    memory.bound(connection)
    return connection.read_parquet(str(path))


def to_table(value: Any) -> Any:
    """All rows of a RecordBatchReader or a DuckDB relation, as a pyarrow Table."""
    return value.read_all() if kind_of(type(value)) == "reader" else value.to_arrow_table()


def to_relation(table: Any) -> Any:
    """A pyarrow Table as a DuckDB relation, on a connection of its own."""
    import duckdb

    connection = duckdb.connect()
    memory.bound(connection)
    return connection.from_arrow(table)


def collected(frame: pl.LazyFrame) -> pl.DataFrame:
    """All rows, in memory."""
    return interruptibly(frame.collect)


def rows_of(value: Any) -> int | None:
    """How many rows a value holds, when that costs nothing to know."""
    kind = kind_of(type(value))
    if kind in {"eager", "pandas"}:
        return len(value)
    return int(value.num_rows) if kind == "arrow" else None


def _fresh(spool: Path) -> Path:
    spool.mkdir(parents=True, exist_ok=True)
    return spool / f"{uuid.uuid4().hex}.parquet"


def _spool_reader(reader: Any, spool: Path) -> Path:
    import pyarrow.parquet as pq

    path = _fresh(spool)
    with pq.ParquetWriter(path, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    return path


def in_window(column: str, dtype: pl.DataType, window: Window) -> pl.Expr:
    """Whether a Date, naive Datetime (wall clock of the window's zone) or aware Datetime column is in a window.

    Raises:
        TypeError: the column has another type.
    """
    start, end = window.start, window.end
    bounds: tuple[date, date]
    if dtype == pl.Date:
        bounds = (start.date(), end.date())
    elif isinstance(dtype, pl.Datetime):
        # As instants in UTC: a zone's midnight may not exist on the day its clocks change.
        instants = (start.astimezone(UTC), end.astimezone(UTC))
        bounds = instants if dtype.time_zone else (start.replace(tzinfo=None), end.replace(tzinfo=None))
    else:
        raise TypeError(f"column {column} is {dtype}; a window needs a Date or Datetime")
    low, high = (pl.lit(bound).cast(dtype) for bound in bounds)
    return (pl.col(column) >= low) & (pl.col(column) < high)
