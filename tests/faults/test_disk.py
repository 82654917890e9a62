"""A disk that is full while rows are staged or published: a clear error, nothing visible, nothing left behind."""

from __future__ import annotations

import os
import random
import re
import subprocess
from functools import partial
from pathlib import Path

import polars as pl
import pytest
import work

from benchmarks.faults.job import Target
from benchmarks.faults.life import Life, Work, command

SMALL, ROWS = 256 * 1024, 150_000


@pytest.mark.parametrize("target", ["files", "delta", "duckdb", "postgres", "files on S3"], indirect=True)
def test_no_file_can_grow(target: Target, tmp_path: Path) -> None:
    full(target, tmp_path, partial(work.on_a_full_disk, most=SMALL))


@pytest.mark.parametrize("target", ["files", "delta", "duckdb"], indirect=True)
def test_the_disk_of_the_store_is_full(target: Target, tmp_path: Path) -> None:
    """A disk of its own where that may be mounted, else files that cannot grow."""
    place = f"k{os.urandom(6).hex()}"
    store = tmp_path / f"{place}.out"
    store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1600k", "none", str(store)]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        full(target, tmp_path, command if mounted else partial(work.on_a_full_disk, most=SMALL), place, store)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(store)], check=True)


def full(target: Target, folder: Path, work: Work, place: str = "", disk: Path | None = None) -> None:
    """A run that has no room, and the next one, which has."""
    life = Life(target, "overwrite", folder, place or f"k{os.urandom(6).hex()}")
    assert life.run(life.move_on()).value == 0, life.told()
    before, arguments = life.rows(), life.move_on()
    grow(life)
    files = files_below(folder)
    ended = life.run(arguments, work=work)
    assert ended.value in {1, 4}, life.told(ended)
    assert "flowpipe itself failed" not in life.told()
    assert re.search("error: .*(No space left on device|File too large|os error 27|Out of Range|disk)", life.told()), (
        life.told()
    )
    assert life.rows() == before
    # A step that was decided before the disk was full stays decided.
    stays = {name for name in files_below(folder) if ended.value == 4 and "/.flowpipe/" in name}
    assert files_below(folder) - files - stays == set(), "something was left behind"
    if disk:
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=False, capture_output=True)
    assert life.run(arguments).value == 0, life.told()
    assert len(life.rows()) == ROWS
    assert not [name for name in files_below(life.project / ".flowpipe") if name not in files]


def grow(life: Life) -> None:
    """Many rows that do not compress take the place of the inputs."""
    path = life.project / "data/landing/events.parquet"
    chosen = random.Random(1)
    noise = pl.Series("amount", [chosen.getrandbits(62) for _ in range(ROWS)])
    few = pl.read_parquet(path)
    many = few.sample(ROWS, with_replacement=True, seed=1).with_columns(pl.int_range(ROWS).alias("id"), noise)
    many.write_parquet(path)


def files_below(folder: Path) -> set[str]:
    """All files but those in which a run tells of itself."""
    own = {"output", "lock", "ledger.db", "ledger.db-wal", "ledger.db-shm"}
    return {str(path) for path in folder.rglob("*") if path.is_file() and path.name not in own}
