"""Somebody else's adapter passes the suite, and works through the command once its package is installed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flowpipe_sqlite import Options, SQLite

from flowpipe.adapters import Adapter, Dataset
from flowpipe.datasets import DatasetConfig
from flowpipe.testing import AdapterSuite, Store

HERE = Path(__file__).parent


class TestSQLite(AdapterSuite):
    modes = ("overwrite", "replace", "append", "merge")
    schema_changes = ("add",)
    types = AdapterSuite.types.drop("money", "list", "struct")
    changed = "its row count is 1, 2 was published"
    gone = "the table is gone"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(SQLite(Options(database="data/w.sqlite"), tmp_path), tmp_path)

    def opening(self, openings: Any, store: Store) -> tuple[type[Adapter], Options, Path]:
        return SQLite, Options(database="data/w.sqlite"), store.folder

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        return Dataset(name, DatasetConfig(store="warehouse", **{"table": name} | config))

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        self._run(store, f"DELETE FROM {dataset.config.table} WHERE id = 1")

    def drop(self, store: Store, dataset: Dataset) -> None:
        self._run(store, f"DROP TABLE {dataset.config.table}")

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        return config.model_copy(update={"table": f"delays_{mode}"})

    def _run(self, store: Store, statement: str) -> None:
        with sqlite3.connect(store.folder / "data" / "w.sqlite") as database:
            database.execute(statement)


@pytest.fixture
def installed(install: Callable[[Path], str]) -> str:
    return install(HERE)


def test_a_project_uses_it_through_the_command(empty_project: Callable[[dict[str, str]], Any], installed: str) -> None:
    project = empty_project(
        {
            "conf/project.yml": "name: small\n",
            "conf/profiles/dev.yml": """
                stores:
                  here: {adapter: files, url: data}
                  base: {adapter: sqlite, database: data/base.sqlite}
                """,
            "conf/catalog.yml": """
                numbers: {store: here, path: numbers.csv}
                doubled: {store: base, table: doubled, mode: merge, key: [n]}
                """,
            "conf/pipelines/double.yml": "modules: [double]\nwrites: [doubled]\n",
            "pipelines/double.py": """
                import polars as pl


                def doubled(numbers: pl.LazyFrame) -> pl.LazyFrame:
                    return numbers.with_columns(twice=pl.col("n") * 2)
                """,
            "data/numbers.csv": "n\n1\n2\n3\n",
        }
    )
    done = project.flowpipe("run", PYTHONPATH=installed)
    assert done.code == 0, done.err
    again = project.flowpipe("run", PYTHONPATH=installed)
    assert "up to date" in again.out + again.err
    (project.path / "data/numbers.csv").write_text("n\n3\n4\n")
    assert project.flowpipe("run", PYTHONPATH=installed).code == 0
    with sqlite3.connect(project.path / "data/base.sqlite") as database:
        rows = database.execute("SELECT n, twice FROM doubled ORDER BY n").fetchall()
    assert rows == [(1, 2), (2, 4), (3, 6), (4, 8)]
    shown = project.flowpipe("sql", "from doubled order by n limit 2", "-f", "csv", PYTHONPATH=installed)
    assert (shown.out, shown.err) == ("n,twice\n1,2\n2,4\n", "")
    without = project.flowpipe("check")
    assert without.code == 2
    assert 'unknown adapter "sqlite"' in without.err
