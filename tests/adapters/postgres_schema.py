"""A PostgreSQL store of its own for each test: a fresh schema on the session's server."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from flowpipe.adapters import Dataset
from flowpipe.adapters.postgres import Options, Postgres
from flowpipe.datasets import DatasetConfig
from flowpipe.testing.suite import Store

WAITING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'flowpipe' AND wait_event_type = 'Lock'"


class PostgresStore(Store):
    """A store over a schema of its own."""

    def __init__(self, dsn: str, folder: Path, schema: str | None = None, **options: Any) -> None:
        self.dsn, self.schema = dsn, schema or f"s{uuid.uuid4().hex[:12]}"
        super().__init__(Postgres(Options(dsn=dsn, schema=self.schema, **options), folder), folder)

    def connect(self) -> psycopg.Connection[Any]:
        """Somebody else's connection."""
        return psycopg.connect(self.dsn, options=f"-c search_path={self.schema},public", autocommit=True)

    def sql(self, *statements: str) -> list[Any]:
        """What somebody else does and sees."""
        with self.connect() as connection:
            cursors = [connection.execute(statement) for statement in statements]
            return [cursor.fetchall() if cursor.description else None for cursor in cursors]

    def one(self, statement: str) -> Any:
        """The one value that a statement gives."""
        return self.sql(statement)[0][0][0]


@contextmanager
def fresh(dsn: str, folder: Path, **options: Any) -> Iterator[PostgresStore]:
    """A store whose schema is there, and is removed with all in it."""
    store = PostgresStore(dsn, folder, **options)
    store.sql(f"CREATE SCHEMA {store.schema}")
    try:
        yield store
    finally:
        store.adapter.close()
        store.sql(f"DROP SCHEMA {store.schema} CASCADE")


def table(name: str = "delays", **config: Any) -> Dataset:
    return Dataset(name, DatasetConfig(store="warehouse", **{"table": name} | config))


def query(sql: str, **config: Any) -> Dataset:
    return Dataset("report", DatasetConfig(store="warehouse", query=sql, **config))


def until(found: Callable[[], Any]) -> Any:
    """What is found, as soon as there is something."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.01)
    raise AssertionError("it never came")


@contextmanager
def blocked(store: PostgresStore, work: Callable[[], Any], locked: str = "delays") -> Iterator[tuple[int, Future[Any]]]:
    """`work` while it waits for a lock, which is held until the block is left: the server's process, and the result."""
    with ThreadPoolExecutor(1) as pool, store.connect() as other:
        with other.transaction():
            other.execute(f"LOCK TABLE {locked} IN ROW EXCLUSIVE MODE")
            running = pool.submit(work)
            pid = until(lambda: store.sql(WAITING)[0])[0][0]
            yield pid, running
        running.result(30)
