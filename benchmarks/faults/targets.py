"""Every kind of store that is killed: what its profile says, and how its table is read without flowpipe."""

from __future__ import annotations

import io
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
        import s3fs

        options = {"key": server.key, "secret": server.secret, "endpoint_url": server.endpoint}
        found = s3fs.S3FileSystem(**options, use_listings_cache=False, skip_instance_cache=True)
        return _frames({path: found.cat_file(path) for path in found.find(f"{server.bucket}/{place}")})

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
    return _frames({str(path): path.read_bytes() for path in (folder / f"{place}.out").rglob("*") if path.is_file()})


def _frames(contents: dict[str, bytes]) -> Rows:
    """The rows of the files that a glob would take for data, each read once and whole."""
    frames = [
        (pl.read_csv if path.endswith(".csv") else pl.read_parquet)(io.BytesIO(content))
        for path, content in sorted(contents.items())
        if path.endswith((".csv", ".parquet")) and not Path(path).name.startswith(".")
    ]
    if not frames:
        raise FileNotFoundError("there is no file of data")
    return as_rows(pl.concat(frames))


def _delta(folder: Path, place: str, mode: str) -> Rows:  # noqa: ARG001
    return _table(str(folder / f"{place}.out/events"), {})


def _table(url: str, options: dict[str, str]) -> Rows:
    from deltalake import DeltaTable

    frame = pl.from_arrow(DeltaTable(url, storage_options=options or None).to_pyarrow_table())
    assert isinstance(frame, pl.DataFrame)
    return as_rows(frame)


def _duckdb(folder: Path, place: str, mode: str) -> Rows:  # noqa: ARG001
    import duckdb

    with duckdb.connect(str(folder / f"{place}.out/base.duckdb"), read_only=True) as connection:
        return as_rows(connection.sql("SELECT * FROM events").pl())
