"""The budget of one run: in force while it lasts, for Polars and for every DuckDB connection."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import polars as pl
import pytest

from flowpipe import memory
from flowpipe.adapters.duckdb.opening import File
from flowpipe.frames import present

BUDGET, FOLDER = "POLARS_OOC_MEMORY_BUDGET_MB", "POLARS_OOC_SPILL_DIR"


def test_a_budget_is_in_force_while_its_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUDGET, "7")
    monkeypatch.delenv(FOLDER, raising=False)
    with memory.bounded(2 * 10**9, tmp_path / "spill"):
        assert (memory.budget(), os.environ[BUDGET], os.environ[FOLDER]) == (2 * 10**9, "1907", str(tmp_path / "spill"))
    assert (memory.budget(), os.environ[BUDGET], os.environ.get(FOLDER)) == (None, "7", None)


def test_without_a_budget_nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BUDGET, raising=False)
    with memory.bounded(None, tmp_path / "spill"):
        assert (memory.budget(), os.environ.get(BUDGET)) == (None, None)


def test_a_spill_folder_of_the_environment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, "/somewhere")
    with memory.bounded(10**9, tmp_path / "spill"):
        assert os.environ[FOLDER] == "/somewhere"
    assert os.environ[FOLDER] == "/somewhere"


def test_what_dead_processes_spilled_is_removed(tmp_path: Path) -> None:
    dead, own = tmp_path / "999999999", tmp_path / str(os.getpid())
    for folder in (dead, own):
        folder.mkdir()
        (folder / "rows.ipc").write_text("rows")
    with memory.bounded(None, tmp_path):
        assert (dead.exists(), own.exists()) == (False, True)


def test_duckdb_connections_keep_to_the_budget(tmp_path: Path) -> None:
    query = "SELECT current_setting('memory_limit')"
    with memory.bounded(10**9, tmp_path / "spill"):
        with File(tmp_path / "x.duckdb", "x.duckdb", {}).cursor() as cursor:
            assert cursor.execute(query).fetchall() == [("953.6 MiB",)]
        relation = present(pl.LazyFrame({"a": [1]}), "relation", tmp_path)
        assert relation.query("one", query).fetchall() == [("953.6 MiB",)]
    assert duckdb.connect().execute(query).fetchall() != [("953.6 MiB",)]
