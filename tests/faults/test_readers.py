"""A reader that looks at a table all the time sees the old rows or the new ones, through a hundred publishes."""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import work

from benchmarks.faults.job import Rows, Target
from benchmarks.faults.life import Life
from flowpipe.testing.kills import in_child

PUBLISHES, ROWS, ENOUGH = 100, 2000, 5
STORES = ("files", "files on S3", "delta", "delta on S3", "duckdb", "postgres")


@pytest.mark.parametrize("target", STORES, indirect=True)
def test_a_reader_sees_old_or_new(target: Target, tmp_path: Path) -> None:
    place = f"k{os.urandom(6).hex()}"
    life = Life(target, "overwrite", tmp_path, place)
    life.move_on()
    job = partial(work.publishing_on, str(life.project), ROWS, PUBLISHES)
    seen: list[int] = []
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(in_child, job, environment=target.environment, output=life.project / "output")
        while not ended.done():
            with contextlib.suppress(*not_there_yet(target.name)):
                seen.append(number_of(life.rows()))
            if len(set(seen)) > ENOUGH:
                (life.project / "seen").touch()
            time.sleep(0.005)  # a DuckDB file belongs to one process at a time, also to the one that publishes
    assert ended.result().value >= PUBLISHES - 1, ended.result().error
    assert number_of(life.rows()) == ended.result().value
    assert seen == sorted(seen), "a reader went back in time"
    assert len(set(seen)) > ENOUGH, f"only {set(seen)} were seen: this shows nothing"


def number_of(rows: Rows) -> int:
    """The number that all rows carry."""
    numbers = {amount for amount, _ in rows}
    assert len(rows) == ROWS, f"{len(rows)} rows of {numbers}"
    assert len(numbers) == 1, f"rows of {numbers} at once"
    return int(numbers.pop())


def not_there_yet(store: str) -> tuple[type[Exception], ...]:
    """What a reader meets before the first publish, and where another process has the database file open."""
    import duckdb
    import psycopg
    from deltalake.exceptions import TableNotFoundError

    missing: dict[str, tuple[type[Exception], ...]] = {
        "files": (FileNotFoundError,),
        "delta": (TableNotFoundError,),
        "duckdb": (duckdb.IOException, duckdb.CatalogException),
        "postgres": (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName),
    }
    return missing[store.removesuffix(" on S3")]
