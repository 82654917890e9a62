"""Other writers: what they change is seen by every skip, and races neither duplicate nor lose rows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from delta_lake import MONTHLY, Lake, everyone_reads, month
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from flowpipe.adapters import Held
from flowpipe.errors import PublishError

FIRST, SECOND = month("2013-01"), month("2013-02")


def rows(number: int, *values: int) -> pl.DataFrame:
    return pl.DataFrame({"id": values, "day": [date(2013, number, 1)] * len(values)})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path, MONTHLY)
    lake.publish(rows(1, 1, 2), FIRST)
    lake.publish(rows(2, 3, 4), SECOND)
    return lake


def vacuum(table: DeltaTable) -> None:
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


CHANGES: dict[str, tuple[Callable[[DeltaTable], object], str]] = {
    "append": (lambda table: write_deltalake(table, rows(1, 9), mode="append"), "version 2 (WRITE) is not flowpipe's"),
    "delete": (lambda table: table.delete("id = 3"), "version 2 (DELETE) is not flowpipe's"),
    "update": (lambda table: table.update({"id": "7"}, predicate="id = 3"), "version 2 (UPDATE) is not flowpipe's"),
    "restore": (lambda table: table.restore(0), "version 2 (RESTORE) is not flowpipe's"),
}
MAINTENANCE: dict[str, Callable[[DeltaTable], object]] = {
    "optimize": lambda table: table.optimize.compact(),
    "z order": lambda table: table.optimize.z_order(["id"]),
    "vacuum": vacuum,
    "checkpoint": lambda table: table.create_checkpoint(),
    "cleanup": lambda table: table.cleanup_metadata(),
    "column": lambda table: table.alter.add_columns(Field("new", PrimitiveType("long"))),
    "property": lambda table: table.alter.set_table_properties({"delta.logRetentionDuration": "interval 1 days"}),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_changes_by_others_are_seen_for_every_slice(lake: Lake, kind: str) -> None:
    change, expected = CHANGES[kind]
    change(lake.table)
    assert lake.held(FIRST).changed == expected
    assert lake.held(SECOND).changed == expected


@pytest.mark.parametrize("kind", MAINTENANCE)
def test_maintenance_is_no_change(lake: Lake, kind: str) -> None:
    MAINTENANCE[kind](lake.table)
    assert lake.held(FIRST).changed is None
    lake.settings = {**lake.settings, "schema_change": "add"}
    lake.publish(rows(2, 5), SECOND, fingerprint="f2")
    assert lake.held(FIRST).changed is None
    assert everyone_reads(lake.path, "id")["id"].to_list() == [1, 2, 5]


def test_a_change_before_the_latest_publish_is_remembered_even_when_the_log_is_cleaned(lake: Lake) -> None:
    lake.table.delete("id = 1")
    lake.publish(rows(2, 5), SECOND, fingerprint="f2")
    lake.publish(rows(2, 6), SECOND, fingerprint="f3")
    assert lake.held(SECOND).changed is None
    assert lake.held(FIRST).changed == "version 2 (DELETE) is not flowpipe's"
    lake.table.create_checkpoint()
    for version in range(4):
        (lake.path / "_delta_log" / f"{version:020}.json").unlink()
    assert lake.held(SECOND).changed is None
    assert lake.held(FIRST).changed == "a version between 0 and 3 is not flowpipe's"
    lake.publish(rows(1, 1), FIRST, fingerprint="f4")
    assert lake.held(FIRST).changed is None


def test_an_entry_that_is_gone_may_have_changed_anything(lake: Lake) -> None:
    lake.table.optimize.compact()
    write_deltalake(lake.table, rows(1, 9), mode="append")
    lake.table.create_checkpoint()
    (lake.path / "_delta_log" / f"{2:020}.json").unlink()
    assert lake.held(FIRST).changed == "version 2 is no longer in the log"


def test_an_entry_without_its_writer_is_still_a_change(lake: Lake) -> None:
    action = {"remove": {"path": Path(lake.table.file_uris()[0]).name, "dataChange": True, "deletionTimestamp": 1}}
    (lake.path / "_delta_log" / f"{2:020}.json").write_text(json.dumps(action))
    assert lake.held(FIRST).changed == "version 2 is not flowpipe's"
    assert lake.store.pin(lake.dataset, FIRST).version == f"2@{str(lake.table.metadata().id)[:8]}"


def test_a_table_that_is_dropped_or_made_again_holds_nothing(lake: Lake) -> None:
    before = lake.store.pin(lake.dataset, month("2014-01")).version
    shutil.rmtree(lake.path)
    assert lake.held(FIRST) == Held()
    for number in (1, 2):
        write_deltalake(lake.path, rows(number, number), mode="append")
    assert lake.held(FIRST) == Held()
    after = lake.store.pin(lake.dataset, month("2014-01")).version
    assert (before or "").startswith("1@")
    assert (after or "").startswith("1@")
    assert before != after, "the same number of another table"


def test_an_overwrite_by_flowpipe_ends_what_slices_held(lake: Lake) -> None:
    Lake(lake.root, {"mode": "overwrite"}).publish(rows(1, 1))
    assert lake.held(FIRST).changed == "version 2 overwrote the whole table"


def test_a_table_of_others_is_taken_over(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    write_deltalake(lake.path, rows(1, 1))
    assert lake.held(FIRST) == Held()
    lake.publish(rows(2, 2), SECOND)
    assert lake.held(SECOND).changed is None
    assert everyone_reads(lake.path, "id")["id"].to_list() == [1, 2]


@pytest.mark.parametrize("mode", ["overwrite", "replace", "append", "merge"])
def test_threads_on_different_slices_lose_and_duplicate_nothing(tmp_path: Path, mode: str) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "mode": mode, "key": ["id"]})
    staged = [lake.stage(rows(number, number, number + 100), month(f"2013-{number:02}")) for number in range(1, 7)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lake.store.publish, staged))
    found = everyone_reads(lake.path, "id")["id"].to_list()
    held = lake.store.held(lake.dataset, [one.slice for one in staged])
    if mode == "overwrite":
        assert found in [[number, number + 100] for number in range(1, 7)]
        assert sum(one.changed is None for one in held.values()) == 1
    else:
        assert found == [*range(1, 7), *range(101, 107)]
        assert all(one.changed is None for one in held.values())
    assert all(held[one.slice.key].state == one.state for one in staged)


@pytest.mark.parametrize("mode", ["overwrite", "replace", "merge"])
def test_threads_on_one_slice_leave_one_of_them(tmp_path: Path, mode: str) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "mode": mode, "key": ["id"]})
    staged = [lake.stage(rows(1, 1, 2).with_columns(by=pl.lit(n)), FIRST, fingerprint=f"f{n}") for n in range(5)]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lake.store.publish, staged))
    found = everyone_reads(lake.path, "id")
    winner = lake.held(FIRST)
    assert found["id"].to_list() == [1, 2]
    assert winner.changed is None
    assert winner.state is not None
    assert found["by"].to_list() == [int(winner.state.fingerprint[1:])] * 2


def test_one_slice_is_appended_once_by_many_threads(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "mode": "append"})
    staged = [lake.stage(rows(1, 1, 2), FIRST, fingerprint=f"f{n}") for n in range(5)]

    def publish(number: int) -> str:
        try:
            lake.store.publish(staged[number])
        except PublishError as error:
            return str(error)
        return "done"

    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(publish, range(5)))
    assert everyone_reads(lake.path, "id")["id"].to_list() == [1, 2]
    assert found.count("done") == 1
    assert len({text for text in found if text != "done"}) == 1


PROCESS = """
import sys
from datetime import date, timedelta
from pathlib import Path
sys.path.insert(0, {tests!r})
import polars as pl
from delta_lake import MONTHLY, Lake, month

lake = Lake(Path({root!r}), {{**MONTHLY, "mode": {mode!r}, "key": ["id"]}})
for number in range({first}, 13, 2):
    rows = pl.DataFrame({{"id": [number], "day": [date(2013, number, 1)]}})
    lake.publish(rows, month(f"2013-{{number:02}}"))
"""


@pytest.mark.parametrize("mode", ["replace", "append", "merge"])
def test_processes_on_one_table_lose_and_duplicate_nothing(tmp_path: Path, mode: str) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS.format(
            tests=str(Path(__file__).parent), root=str(tmp_path), mode=mode, first=first)])
        for first in (1, 2)
    ]  # fmt: skip
    assert [process.wait() for process in running] == [0, 0]
    lake = Lake(tmp_path, {**MONTHLY, "mode": mode, "key": ["id"]})
    assert everyone_reads(lake.path, "id")["id"].to_list() == list(range(1, 13))
    held = lake.store.held(lake.dataset, [month(f"2013-{number:02}") for number in range(1, 13)])
    assert all(one.state is not None and one.changed is None for one in held.values())


def test_a_publish_that_always_loses_gives_up(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    lake.publish(rows(1, 1), FIRST)
    publication = lake.stage(rows(2, 2), SECOND)
    # A table whose next entry is taken, but cannot be read as one: nobody can ever commit here.
    (lake.path / "_delta_log" / f"{1:020}.json").mkdir()
    with pytest.raises(PublishError) as caught:
        lake.store.publish(publication)
    assert str(caught.value) == (
        "flights (2013-02): other writers committed first, 15 times\n  hint: run the same command again"
    )


def test_many_small_publishes_pass_checkpoints(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"mode": "replace", "partition": {"column": "day", "every": "day"}})
    first = date(2013, 1, 1)
    days = [first + timedelta(number) for number in range(12)]
    for number, day in enumerate(days):
        lake.publish(pl.DataFrame({"id": [number], "day": [day]}), month(str(day), "day"))
        lake.table.alter.set_table_properties({"delta.checkpointInterval": "5"})
    assert list((lake.path / "_delta_log").glob("*.checkpoint.parquet"))
    held = lake.store.held(lake.dataset, [month(str(day), "day") for day in days])
    assert all(one.state is not None and one.changed is None for one in held.values())
    assert everyone_reads(lake.path, "id")["day"].to_list() == days


def test_a_store_that_has_looked_sees_what_others_do_since(lake: Lake) -> None:
    store = lake.store
    first = store.held(lake.dataset, [FIRST])[FIRST.key]
    assert first.changed is None
    pin = store.pin(lake.dataset, FIRST)
    assert store.read(lake.dataset, FIRST, pin, lake.root).collect()["id"].sort().to_list() == [1, 2]
    shutil.rmtree(lake.path)
    assert store.held(lake.dataset, [FIRST])[FIRST.key] == Held()
    for number in (1, 2):
        write_deltalake(lake.path, rows(number, number), mode="append")
    assert store.held(lake.dataset, [FIRST])[FIRST.key] == Held()
    again = store.pin(lake.dataset, FIRST)
    assert json.loads(again.token)["version"] == json.loads(pin.token)["version"]
    assert (again.version, again.token) != (pin.version, pin.token)
    assert store.read(lake.dataset, FIRST, again, lake.root).collect()["id"].to_list() == [1]
    shutil.rmtree(lake.path)
    for number in (3, 4):
        write_deltalake(lake.path, rows(number, number).with_columns(late=True), mode="append")
    assert list(store.schema(lake.dataset) or ()) == ["id", "day", "late"], "the same version of another table"
    write_deltalake(lake.path, rows(1, 1).with_columns(late=True), mode="append")
    assert not store.is_empty(lake.dataset, FIRST)
