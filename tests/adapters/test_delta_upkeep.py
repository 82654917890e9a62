"""Tidying a table: fewer files, no orphans, the same rows and states."""

from __future__ import annotations

import os
import time
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from delta_lake import MONTHLY, Lake, everyone_reads, month
from test_delta_s3 import Bucket, bucket, dataset  # noqa: F401 - a fixture

from flowpipe.adapters import Held
from flowpipe.adapters.abilities import Maintainable, Upkeep
from flowpipe.adapters.delta import Delta, Options
from flowpipe.errors import PublishError
from flowpipe.testing import suite

NOW = Upkeep(frozenset(), timedelta(0))
WEEK = Upkeep(frozenset(), timedelta(days=7))


def rows(number: int, *values: int) -> pl.DataFrame:
    return pl.DataFrame({"id": values, "day": [date(2013, number, 1)] * len(values)})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path, MONTHLY)
    for number in range(1, 5):
        lake.publish(rows(number, number), month(f"2013-{number:02}"))
    lake.publish(rows(4, 40), month("2013-04"), fingerprint="f2", run="r2")
    return lake


def test_small_files_become_one_and_old_ones_go(lake: Lake) -> None:
    assert isinstance(lake.store, Maintainable)
    staged = lake.stage(rows(5, 5), month("2013-05"), run="r3")
    told = lake.store.maintain(lake.dataset, Upkeep(frozenset(), timedelta(0), dry_run=True))
    assert told == [
        "would compact 4 small files",
        "would remove 1 file of old versions",
        "would remove 1 file that no version names",
        "would remove 1 state of slices published anew since",
    ]
    assert lake.table.version() == 4
    upkeep = Upkeep(frozenset(file.path for file in staged.staged.files), timedelta(0))
    assert lake.store.maintain(lake.dataset, upkeep) == [
        "compacted 4 small files into 1",
        "removed 5 files of old versions",
        "removed 1 state of slices published anew since",
        f"wrote a checkpoint at version {lake.table.version()}",
    ]
    assert everyone_reads(lake.path, "id")["id"].to_list() == [1, 2, 3, 40]
    assert len(lake.data_files()) == 2, "one of rows, one staged"
    held = lake.store.held(lake.dataset, [month(f"2013-{number:02}") for number in range(1, 5)])
    assert all(one.state is not None and one.changed is None for one in held.values())
    lake.store.publish(staged)
    assert lake.held(month("2013-05")) == Held(staged.state)
    assert everyone_reads(lake.path, "id")["id"].to_list() == [1, 2, 3, 5, 40]


def test_nothing_young_is_touched(lake: Lake) -> None:
    lake.stage(rows(5, 5), month("2013-05"), run="r3")
    files = lake.data_files()
    told = lake.store.maintain(lake.dataset, WEEK)
    assert told[0] == "compacted 4 small files into 1"
    assert told[1].startswith("wrote a checkpoint")
    assert set(files) < set(lake.data_files())
    version = lake.table.version()
    assert lake.store.maintain(lake.dataset, WEEK) == []
    assert lake.table.version() == version


def test_old_orphans_go_and_what_any_kept_version_names_stays(lake: Lake) -> None:
    orphan = lake.path / "day=x" / "flowpipe-r9-00000.parquet"
    orphan.parent.mkdir()
    for path in (orphan, lake.path / "part-00000-x.parquet", lake.path / "mine.parquet"):
        path.write_bytes(b"")
    long_ago = time.time() - 30 * 24 * 3600
    for path in lake.path.rglob("*"):
        os.utime(path, (long_ago, long_ago))
    for number in range(2, 10):
        lake.publish(rows(4, number), month("2013-04"), fingerprint=f"g{number}")
    assert "removed 2 files that no version names" in lake.store.maintain(lake.dataset, WEEK)
    assert not orphan.exists()
    assert (lake.path / "mine.parquet").exists()
    old = lake.store._folder(lake.dataset).open(4)
    assert old is not None
    assert pl.scan_delta(old).collect()["id"].sort().to_list() == [1, 2, 3, 40]


def test_files_of_the_size_that_is_wished(tmp_path: Path) -> None:
    store = Delta(Options(url="lake", target_file_size="1MB"), tmp_path)
    frame = pl.DataFrame({"id": pl.int_range(2_000_000, eager=True).shuffle(seed=1)})
    written = suite.Store(store, tmp_path)
    config = dataset()
    written.publish(config, frame)
    sizes = [path.stat().st_size for path in (tmp_path / "lake" / "delays").glob("*.parquet")]
    assert len(sizes) > 3
    assert max(sizes) < 3_000_000
    assert written.read(config)["id"].n_unique() == 2_000_000


def test_without_a_table_there_is_nothing_to_do(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.store.maintain(lake.dataset, NOW) == []


def test_a_table_that_cannot_be_written_is_told(lake: Lake) -> None:
    (lake.path / "_delta_log" / f"{5:020}.json").mkdir()
    with pytest.raises(PublishError) as caught:
        lake.store.maintain(lake.dataset, NOW)
    assert str(caught.value) == f"{lake.path} was written meanwhile\n  hint: run the same command again"


def test_on_s3(bucket: Bucket, tmp_path: Path) -> None:  # noqa: F811
    store = suite.Store(bucket.store(), tmp_path)
    monthly = dataset(mode="replace", partition={"column": "day", "every": "month"})
    for number, key in enumerate(("2013-01", "2013-02"), 1):
        store.publish(monthly, suite.rows(key, number), suite.month(key))
    store.publish(monthly, suite.rows("2013-02", 3), suite.month("2013-02"), fingerprint="f2", run="run2")
    store.stage(monthly, suite.rows("2013-03", 4), suite.month("2013-03"), run="run3")
    assert isinstance(store.adapter, Maintainable)
    told = store.adapter.maintain(monthly, NOW)
    assert told[:4] == [
        "compacted 2 small files into 1",
        "removed 3 files of old versions",
        "removed 1 file that no version names",
        "removed 1 state of slices published anew since",
    ]
    assert store.ids(monthly) == [1, 3]
    assert store.held(monthly, suite.month("2013-01")).changed is None
    assert len([name for name in bucket.files("delays") if name.endswith(".parquet") and "_delta_log" not in name]) == 1


@pytest.mark.parametrize("durability", ["fsync", "none"])
def test_durability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store = suite.Store(Delta(Options.model_validate({"url": "lake", "durability": durability}), tmp_path), tmp_path)
    store.publish(dataset(), suite.rows("2013-01", 1))
    store.publish(dataset(), suite.rows("2013-01", 2), fingerprint="f2")
    assert bool(synced) == (durability == "fsync")
    assert store.ids(dataset()) == [2]


def test_all_that_a_reader_opens_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, synced = Lake(tmp_path, MONTHLY), set[str]()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(str(Path(f"/proc/self/fd/{handle}").readlink())))
    for number in range(1, 13):
        lake.publish(rows(number, number), month(f"2013-{number:02}"))
    log = {str(path) for path in (lake.path / "_delta_log").iterdir()}
    assert len(log) == 14, "twelve entries, a checkpoint and what names it"
    assert log | set(map(str, lake.path.glob("*.parquet"))) | set(map(str, lake.path.glob("_flowpipe/*"))) <= {
        path.replace("/.", "/").rpartition(".json.")[0] + ".json" if ".json." in path else path for path in synced
    }
