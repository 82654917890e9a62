"""How rows pass between Parquet files and the server, batch by batch, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe.adapters import Staged, sql
from flowpipe.adapters.postgres import types
from flowpipe.adapters.postgres.connection import Session
from flowpipe.adapters.postgres.faults import BrokenStream
from flowpipe.errors import PublishError

STAGED = "flowpipe_staged"
_ROWS = 65_536


def columns(staged: Staged) -> dict[str, str]:
    """The SQL types that staged rows are loaded as."""
    return {name: types.column(dtype) for name, dtype in staged.schema.items()}


def aside(session: Session, staged: Staged) -> None:
    """Load staged rows into a table that only this transaction sees."""
    definition = sql.create_table(STAGED, columns(staged)).removeprefix("CREATE ")
    session.rows(f"CREATE TEMPORARY {definition} ON COMMIT DROP")
    into(session, staged, STAGED)
    session.rows(f"ANALYZE {STAGED}")


def into(session: Session, staged: Staged, table: str, schema: str | None = None) -> None:
    """Add staged rows to a table whose columns have exactly the types of `columns`; no schema: a temporary table.

    Raises:
        PublishError: a staged file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    failed: list[Exception] = []

    def batches() -> Iterator[Any]:
        try:
            for file in staged.files:
                with pq.ParquetFile(file.path) as parquet:
                    yield from parquet.iter_batches(_ROWS, columns=list(staged.schema))
        except Exception as error:
            failed.append(error)
            raise

    if not staged.rows:
        return
    try:
        arrow = pq.read_schema(staged.files[0].path)
        reader = pa.RecordBatchReader.from_batches(arrow, batches())
        session.cursor.adbc_ingest(table, reader, mode="append", db_schema_name=schema, temporary=schema is None)
    except (pa.ArrowException, OSError) as error:
        raise PublishError(f"a staged file cannot be read: {error}") from error
    except Exception as error:
        if failed:
            raise PublishError(f"a staged file cannot be read: {failed[0]}") from error
        raise


def copy(session: Session, statement: str, schema: Mapping[str, pl.DataType], target: Path) -> None:
    """Write what a statement gives to a Parquet file, in the types of `schema`."""
    import pyarrow.parquet as pq

    session.cursor.execute(statement)
    empty = pl.DataFrame(schema=schema).to_arrow()
    with pq.ParquetWriter(target, empty.schema, compression="snappy") as writer:
        for batch in _received(session):
            frame: Any = pl.from_arrow(batch)
            writer.write_table(frame.cast(pl.Schema(schema)).to_arrow())


def _received(session: Session) -> Iterator[Any]:
    import pyarrow as pa

    reader = session.cursor.fetch_record_batch()
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (pa.ArrowException, OSError) as error:
            raise BrokenStream(str(error)) from error
        yield batch
