"""How rows pass between Parquet files and the server, batch by batch, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe.adapters import Staged, sql
from flowpipe.adapters.postgres import types
from flowpipe.adapters.postgres.connection import Session
from flowpipe.errors import DataError

STAGED = "flowpipe_staged"
_BATCH = 65_536


def load(session: Session, staged: Staged) -> dict[str, str]:
    """Staged rows as a table that only this transaction sees, and its SQL types by column.

    Raises:
        DataError: a text has a NUL character.
    """
    import pyarrow as pa

    columns = {name: types.column(dtype) for name, dtype in staged.schema.items()}
    head, *rest = sql.create_table(STAGED, columns).split(" ", 1)
    session.rows(f"{head} TEMPORARY {rest[0]} ON COMMIT DROP")
    if staged.rows:
        batches = _batches(staged)
        first = next(batches)
        reader = pa.RecordBatchReader.from_batches(first.schema, _chain(first, batches))
        try:
            session.cursor.adbc_ingest(STAGED, reader, mode="append", temporary=True)
        except Exception as error:
            if name := _with_nul(staged):
                message = f'column "{name}" has a text with a NUL character, which PostgreSQL cannot hold'
                raise DataError(message, hint=f'remove it, as by .str.replace_all("\\0", "")') from error
            raise
    return columns


def copy(session: Session, statement: str, schema: Mapping[str, pl.DataType], target: Path) -> None:
    """Write what a statement gives to a Parquet file, in the types of `schema`."""
    import pyarrow.parquet as pq

    session.cursor.execute(statement)
    empty = pl.DataFrame(schema=schema).to_arrow()
    with pq.ParquetWriter(target, empty.schema, compression="snappy") as writer:
        for batch in session.cursor.fetch_record_batch():
            frame: Any = pl.from_arrow(batch)
            writer.write_table(frame.cast(pl.Schema(schema)).to_arrow())


def _batches(staged: Staged) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for file in staged.files:
        with pq.ParquetFile(file.path) as parquet:
            yield from parquet.iter_batches(_BATCH, columns=list(staged.schema))


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _with_nul(staged: Staged) -> str | None:
    for name, dtype in staged.schema.items():
        text = pl.col(name).explode() if dtype == pl.List(pl.String()) else pl.col(name)
        if dtype in {pl.String(), pl.List(pl.String())}:
            rows = staged.scan().select(text.str.contains("\0", literal=True).any())
            if rows.collect(engine="streaming").item():
                return name
    return None
