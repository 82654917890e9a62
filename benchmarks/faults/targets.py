"""Every kind of store that is killed: what its profile says, and how its table is read without flowpipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from benchmarks.faults.job import FILE_MODES, TABLE_MODES, Rows, Target, as_rows
from flowpipe.testing.servers import PostgresServer, S3Server


def local() -> Iterator[Target]:
    """Stores in a folder beside the project."""
    yield Target("files", FILE_MODES, lambda p: f"{{adapter: files, url: ../{p}.out}}", _files, {})
    yield Target("delta", TABLE_MODES, lambda p: f"{{adapter: delta, url: ../{p}.out}}", _delta, {})
    yield Target("duckdb", TABLE_MODES, lambda p: f"{{adapter: duckdb, database: ../{p}.out/base.duckdb}}", _duckdb, {})


def on_s3(server: S3Server) -> Iterator[Target]:
    """Stores in the bucket; a place is a folder there."""
    environment = dict(server.environment)
    root = f"s3://{server.bucket}"

    def files(folder: Path, place: str, mode: str) -> Rows:  # noqa: ARG001
        return _frames([f"{root}/{place}/**/*.{'csv' if 'csv' in mode else 'parquet'}"], environment)

    def delta(folder: Path, place: str, mode: str) -> Rows:  # noqa: ARG001
        return _table(f"{root}/{place}/events", environment)

    yield Target("files on S3", FILE_MODES, lambda p: f'{{adapter: files, url: "{root}/{p}"}}', files, environment)
    yield Target("delta on S3", TABLE_MODES, lambda p: f'{{adapter: delta, url: "{root}/{p}"}}', delta, environment)


def on_postgres(server: PostgresServer) -> Iterator[Target]:
    """Tables in a schema of their own."""

    def rows(folder: Path, place: str, mode: str) -> Rows:  # noqa: ARG001
        import psycopg

        with psycopg.connect(server.dsn) as connection:
            found = connection.execute(f'SELECT * FROM "{place}".events')
            names = [column.name for column in found.description or ()]
            return as_rows(pl.DataFrame(found.fetchall(), schema=names, orient="row", infer_schema_length=None))

    def store(place: str) -> str:
        return f'{{adapter: postgres, dsn: "${{env:WAREHOUSE_DSN}}", schema: {place}}}'

    yield Target("postgres", TABLE_MODES, store, rows, dict(server.environment))


def _files(folder: Path, place: str, mode: str) -> Rows:  # noqa: ARG001
    found = sorted(
        path
        for path in (folder / f"{place}.out").rglob("*")
        if path.suffix in {".parquet", ".csv"} and not path.name.startswith(".")
    )
    return _frames(list(map(str, found)), {})


def _frames(paths: list[str], options: dict[str, str]) -> Rows:
    scan = pl.scan_csv if all(path.endswith(".csv") for path in paths) else pl.scan_parquet
    return as_rows(scan(paths, storage_options=options or None).collect())


def _delta(folder: Path, place: str, mode: str) -> Rows:  # noqa: ARG001
    return _table(str(folder / f"{place}.out/events"), {})


def _table(url: str, options: dict[str, str]) -> Rows:
    from deltalake import DeltaTable

    frame = pl.from_arrow(DeltaTable(url, storage_options=options or None).to_pyarrow_table())
    assert isinstance(frame, pl.DataFrame)
    return as_rows(frame)


def _duckdb(folder: Path, place: str, mode: str) -> Rows:  # noqa: ARG001
    import duckdb

    with duckdb.connect(str(folder / f"{place}.out/base.duckdb")) as connection:
        return as_rows(connection.sql("SELECT * FROM events").pl())
