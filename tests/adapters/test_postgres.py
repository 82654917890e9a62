"""PostgreSQL: tables, queries, types, constraints, and servers that go away, on a real server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from flowpipe.adapters import Dataset
from flowpipe.adapters.postgres import Options, Postgres
from flowpipe.datasets import DatasetConfig
from flowpipe.testing.servers import PostgresServer
from flowpipe.testing.suite import TYPES, AdapterSuite, Store


class PostgresStore(Store):
    """A store over a schema of its own."""

    def __init__(self, server: PostgresServer, folder: Path, **options: Any) -> None:
        self.schema = f"s{uuid.uuid4().hex[:12]}"
        self.dsn = server.dsn
        super().__init__(Postgres(Options(dsn=server.dsn, schema=self.schema, **options), folder), folder)

    def sql(self, *statements: str) -> list[Any]:
        """What somebody else does and sees."""
        with psycopg.connect(self.dsn, options=f"-c search_path={self.schema},public") as connection:
            cursors = [connection.execute(statement) for statement in statements]
            return [cursor.fetchall() if cursor.description else None for cursor in cursors]


@pytest.fixture
def store(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
    made = PostgresStore(postgres_server, tmp_path)
    yield made
    made.adapter.close()
    made.sql(f"DROP SCHEMA IF EXISTS {made.schema} CASCADE")


def table(name: str = "delays", **config: Any) -> Dataset:
    return Dataset(name, DatasetConfig(store="warehouse", **{"table": name} | config))


class TestPostgres(AdapterSuite):
    types = TYPES.drop("struct")
    changed = "the table was changed by somebody else"
    gone = "the table is gone"

    @pytest.fixture
    def store(self, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
        made = PostgresStore(postgres_server, tmp_path)
        yield made
        made.adapter.close()
        made.sql(f"DROP SCHEMA IF EXISTS {made.schema} CASCADE")

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        return table(name, **config)

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        assert isinstance(store, PostgresStore)
        store.sql(f"DELETE FROM {dataset.config.table} WHERE id = 1")

    def drop(self, store: Store, dataset: Dataset) -> None:
        assert isinstance(store, PostgresStore)
        store.sql(f"DROP TABLE {dataset.config.table}")

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        return config.model_copy(update={"table": f"delays_{mode}"})
