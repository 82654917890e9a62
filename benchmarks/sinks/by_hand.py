"""The same rows by the fastest script for each store: `by_hand.py NAME` prints its seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import deltalake
import duckdb
import polars as pl
import psycopg
import pyarrow as pa
from deltalake.transaction import AddAction, create_table_with_add_actions

from benchmarks.sinks.project.pipelines.items import items

LIBRARIES = (adbc_driver_postgresql, deltalake, duckdb, pl, psycopg, pa)
LINEITEM = "data/landing/lineitem.parquet"
OUT = Path("data/out")
SQL = f"""
    SELECT l_orderkey AS "order", l_linenumber AS line, l_partkey AS part, l_suppkey AS supplier,
        l_quantity::DOUBLE AS quantity, l_extendedprice::DOUBLE AS price,
        l_extendedprice::DOUBLE * (1 - l_discount::DOUBLE) AS revenue, l_tax::DOUBLE AS tax, l_returnflag AS flag,
        l_shipdate AS shipped, l_receiptdate AS received, (l_receiptdate - l_commitdate)::INTEGER AS days_late,
        l_shipmode AS mode, l_comment AS comment
    FROM '{LINEITEM}' WHERE l_quantity > 1
"""


def rows() -> pl.LazyFrame:
    """What is written."""
    return items(pl.scan_parquet(LINEITEM))


def parquet() -> None:
    """One file."""
    rows().sink_parquet(OUT / "parquet.parquet", compression="snappy")


def distinct() -> None:
    """One file, and the number of keys among its rows, in one query."""
    shared = rows().cache()
    sink = shared.sink_parquet(OUT / "distinct.parquet", compression="snappy", lazy=True)
    pl.collect_all([sink, shared.select(pl.struct("order", "line").n_unique(), pl.len().alias("rows"))])


def delta() -> None:
    """Polars writes the files, one transaction names them."""
    files: list[Any] = []
    frame, folder = rows(), Path("data/lake/delta").resolve()
    target = pl.PartitionBy(
        folder,
        file_path_provider=lambda args: f"part-{args.index_in_partition:05}.parquet",
        approximate_bytes_per_file=512 * 1024**2,
    )
    frame.sink_parquet(
        target, compression="snappy", mkdir=True, sinked_paths_callback=lambda args: files.extend(args.paths)
    )
    now = int(time.time() * 1000)
    adds = [
        AddAction(Path(file.path).name, file.num_bytes, {}, now, True, f'{{"numRecords":{file.num_rows}}}')
        for file in files
    ]
    schema = deltalake.Schema.from_arrow(pa.schema(frame.collect_schema().to_arrow()))
    create_table_with_add_actions(str(folder), schema, adds, mode="error", partition_by=[])


def sink_delta() -> None:
    """What Polars offers for it."""
    rows().sink_delta("data/lake/delta")


def to_duckdb() -> None:
    """DuckDB reads the files itself."""
    with duckdb.connect("data/out.duckdb") as connection:
        connection.execute(f"CREATE TABLE items AS {SQL}")


def postgres() -> None:
    """ADBC takes a stream."""
    reader = pa.RecordBatchReader.from_stream(rows().collect_batches(lazy=True))
    with adbc_driver_postgresql.dbapi.connect(os.environ["WAREHOUSE_DSN"]) as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("items", reader, mode="create", db_schema_name="bench")
        connection.commit()


def emptied() -> None:
    """Before it counts: an empty schema in PostgreSQL, and nothing left to be written to its disk."""
    with psycopg.connect(os.environ["WAREHOUSE_DSN"], autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS bench CASCADE")
        connection.execute("CREATE SCHEMA bench")
        connection.execute("CHECKPOINT")


SCRIPTS: dict[str, Callable[[], None]] = {
    "parquet": parquet,
    "distinct": distinct,
    "delta": delta,
    "sink_delta": sink_delta,
    "duckdb": to_duckdb,
    "postgres": postgres,
}

if __name__ == "__main__":
    OUT.mkdir()
    if sys.argv[1] == "postgres":
        emptied()
    started = time.perf_counter()
    SCRIPTS[sys.argv[1]]()
    print(time.perf_counter() - started)
