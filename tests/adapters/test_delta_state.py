"""What Delta tables remember: states, staged files, pins, and what is missing or torn."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from delta_lake import MONTHLY, Lake, everyone_reads, month

from flowpipe.adapters import Dataset, Held, Missing
from flowpipe.adapters.delta import Delta, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import FlowpipeError, PublishError
from flowpipe.partition import WHOLE, Slice

JANUARY = pl.DataFrame({"id": [1, 2], "day": [date(2013, 1, 1), date(2013, 1, 31)]})
FEBRUARY = pl.DataFrame({"id": [3, 4], "day": [date(2013, 2, 1), date(2013, 2, 28)]})


def ids(lake: Lake) -> list[int]:
    return everyone_reads(lake.path, "id")["id"].to_list()


def test_state_survives_checkpoints_and_log_cleanup(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    state = lake.publish(JANUARY, month("2013-01")).state
    lake.publish(FEBRUARY, month("2013-02"))
    lake.table.create_checkpoint()
    (lake.path / "_delta_log" / f"{0:020}.json").unlink()
    assert lake.held(month("2013-01")) == Held(state)
    lake.publish(FEBRUARY, month("2013-02"), fingerprint="f2")
    assert lake.held(month("2013-01")) == Held(state)
    assert ids(lake) == [1, 2, 3, 4]


def test_a_lost_state_file_is_no_state(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.publish(JANUARY)
    for path in (lake.path / "_flowpipe").iterdir():
        path.unlink()
    assert lake.held() == Held()


def test_a_renamed_dataset_keeps_its_states(tmp_path: Path) -> None:
    state = Lake(tmp_path).publish(JANUARY).state
    assert Lake(tmp_path, name="departures").held() == Held()
    renamed = Lake(tmp_path, {"was": "flights"}, name="departures")
    assert renamed.held() == Held(state)
    assert renamed.publish(FEBRUARY, fingerprint="f2").state == renamed.held().state


def test_staged_files_are_invisible_and_discarded_until_published(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"partition_by": ["id"]})
    early = lake.stage(JANUARY)
    assert lake.held() == Held()
    lake.store.discard(early.staged)
    assert lake.data_files() == []
    published = lake.publish(JANUARY)
    aside = lake.stage(FEBRUARY)
    assert ids(lake) == [1, 2]
    lake.store.discard(aside.staged)
    lake.store.discard(published.staged)
    assert ids(lake) == [1, 2]
    lake.publish(FEBRUARY, fingerprint="f2")
    lake.store.discard(published.staged)
    assert len(pl.scan_delta(str(lake.path), version=0).collect()) == 2, "an older version still names them"


def test_a_crash_after_the_commit_leaves_nothing_to_publish_but_files_to_drop(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"mode": "merge", "key": ["id"]})
    lake.publish(JANUARY)
    publication = lake.stage(FEBRUARY, fingerprint="f2")
    copies = {file.path: Path(file.path).read_bytes() for file in publication.staged.files}
    lake.store.publish(publication)
    for path, content in copies.items():
        Path(path).write_bytes(content)
    lake.store.publish(publication)
    assert ids(lake) == [1, 2, 3, 4]
    assert not any(Path(path).exists() for path in copies)


def test_a_changed_staged_file_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publication = lake.stage(JANUARY)
    JANUARY.head(1).write_parquet(publication.staged.files[0].path)
    with pytest.raises(PublishError) as caught:
        lake.store.publish(publication)
    name = Path(publication.staged.files[0].path).name
    assert str(caught.value) == f"the staged file {name} does not hold the columns and rows it should"
    assert lake.held() == Held()


def test_a_lost_staged_file_is_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publication = lake.stage(JANUARY)
    path = publication.staged.files[0].path
    Path(path).unlink()
    with pytest.raises(PublishError) as caught:
        lake.store.publish(publication)
    assert (
        str(caught.value) == f"flights (all): the staged file {path} is gone\n  hint: its rows must be computed again"
    )


def test_a_missing_table_names_the_nearest(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(Missing) as caught:
        lake.store.pin(lake.dataset, WHOLE)
    assert (caught.value.location, caught.value.near) == (str(lake.path), None)
    assert lake.store.schema(lake.dataset) is None
    assert lake.store.is_empty(lake.dataset, WHOLE)
    lake.publish(JANUARY)
    near = Dataset("fligths", DatasetConfig(store="lake", table="fligths"))
    with pytest.raises(Missing) as caught:
        lake.store.pin(near, WHOLE)
    assert (caught.value.location, caught.value.near) == (str(tmp_path / "lake" / "fligths"), str(lake.path))
    assert lake.store.schema(lake.dataset) == JANUARY.schema


def test_a_torn_log_is_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.publish(JANUARY)
    (lake.path / "_delta_log" / f"{0:020}.json").write_text("{")
    with pytest.raises(FlowpipeError) as caught:
        lake.held()
    told, hint = str(caught.value).splitlines()
    assert told.startswith(f"cannot open the Delta table {lake.path}: ")
    assert hint == f"  hint: restore {lake.path}/_delta_log, or move the table away and run again"


@pytest.mark.parametrize(
    ("settings", "written", "expected"),
    [
        ({}, True, []),
        ({"table": None}, False, [((), '"flights" is in a Delta store and has no table', "write `table: NAME`")]),
        ({"table": "../x"}, False, [
            (("table",), '"../x" is not a folder below the store\'s url', "write it like `daily/delays`")]),
        ({"path": "x.csv", "query": "SELECT 1"}, False, [
            (("path",), "a Delta table has no path", "remove it"),
            (("query",), "a Delta table has no query", "remove it")]),
        ({"partition": {"every": "month"}}, False, [
            (("partition",), "a Delta table needs the column that tells a row's window", "add `column: NAME`")]),
        ({"mode": "replace"}, True, [
            (("mode",), "replace needs a partition", "add `partition: {column: NAME, every: month}`")]),
        ({"mode": "replace"}, False, []),
        ({"swap": True, "after_publish": "ANALYZE"}, True, [
            (("swap",), "an overwrite of a Delta table is one commit already", "remove it"),
            (("after_publish",), "a Delta store runs no SQL", "remove it, or use a duckdb or postgres store")]),
        ({"mode": "merge"}, True, [(("mode",), "merge needs a key", "add `key: [NAME]`")]),
    ],
)  # fmt: skip
def test_check(tmp_path: Path, settings: dict[str, object], written: bool, expected: list[object]) -> None:
    config = DatasetConfig.model_validate({"store": "lake", "table": "flights", **settings})
    store = Delta(Options(url=str(tmp_path)), tmp_path)
    assert list(store.check(Dataset("flights", config), written=written)) == expected


def test_pins(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    lake.publish(JANUARY, month("2013-01"), fingerprint="f1")
    lake.publish(FEBRUARY, month("2013-02"), fingerprint="f2")

    def version(part: Slice = WHOLE) -> str | None:
        return lake.store.pin(lake.dataset, part).version

    identity = str(lake.table.metadata().id)[:8]
    assert version() == f"1@{identity}"
    lake.table.optimize.compact()
    assert lake.table.version() == 2
    assert version() == f"1@{identity}"
    assert json.loads(lake.store.pin(lake.dataset, WHOLE).token)["version"] == 2
    january = version(month("2013-01"))
    assert january is not None
    assert "@" not in january
    assert version(month("2013-03")) == f"1@{identity}", "never published by flowpipe"
    year = version(month("2013", "year"))
    assert year == f"1@{identity}", "not all of its months were published"
    lake.publish(FEBRUARY, month("2013-02"), fingerprint="f3")
    assert version(month("2013-01")) == january, "publishing February does not make January stale"
    lake.table.delete("id = 4")
    assert version(month("2013-01")) == f"{lake.table.version()}@{identity}"


def test_a_larger_window_is_read_by_the_fingerprints_of_its_windows(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"mode": "replace", "partition": {"column": "day", "every": "month"}})
    for number in range(1, 13):
        rows = pl.DataFrame({"id": [number], "day": [date(2013, number, 1)]})
        lake.publish(rows, month(f"2013-{number:02}"), fingerprint=f"f{number}")
    year = month("2013", "year")
    before = lake.store.pin(lake.dataset, year).version
    assert before is not None
    assert "@" not in before
    lake.publish(rows, month("2013-12"), fingerprint="f13")
    after = lake.store.pin(lake.dataset, year).version
    assert before != after
    elsewhere = month("2013", "year", "Europe/Berlin")
    assert "@" in str(lake.store.pin(lake.dataset, elsewhere).version), "other windows than those published"
    merging = Lake(tmp_path, {**lake.settings, "mode": "merge", "key": ["id"]})
    assert "@" in str(merging.store.pin(merging.dataset, year).version)


def test_a_read_stays_on_its_pin(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    lake.publish(JANUARY, month("2013-01"))
    pin = lake.store.pin(lake.dataset, month("2013-01"))
    lazy = lake.store.read(lake.dataset, month("2013-01"), pin, tmp_path)
    lake.publish(JANUARY.head(1), month("2013-01"), fingerprint="f2")
    assert lazy.collect().sort("id")["id"].to_list() == [1, 2]
    assert lake.read(month("2013-01"))["id"].to_list() == [1]
