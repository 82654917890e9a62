"""Several slices of one dataset in one commit, and all their states at once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from delta_lake import MONTHLY, Lake, everyone_reads, month
from deltalake import write_deltalake

from flowpipe.adapters import Held
from flowpipe.adapters.abilities import Batching
from flowpipe.adapters.delta.log import app_id
from flowpipe.adapters.delta.transactions import Transactions, transactions
from flowpipe.errors import DataError, PublishError
from flowpipe.partition import WHOLE, Slice


def rows(number: int, *values: int) -> pl.DataFrame:
    return pl.DataFrame({"id": values, "day": [date(2013, number, 1)] * len(values)})


def part(number: int) -> Slice:
    return month(f"2013-{number:02}")


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_slices_go_together(tmp_path: Path, mode: str) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "mode": mode})
    assert isinstance(lake.store, Batching)
    staged = [lake.stage(rows(number, number), part(number)) for number in range(1, 13)]
    lake.store.publish_all(staged)
    assert lake.table.version() == 1, "one that makes the table, one for all others"
    assert everyone_reads(lake.path, "id")["id"].to_list() == list(range(1, 13))
    held = lake.store.held(lake.dataset, [one.slice for one in staged])
    assert held == {one.slice.key: Held(one.state) for one in staged}
    lake.store.publish_all(staged)
    lake.store.publish_all(staged[3:5])
    lake.store.publish_all([])
    assert lake.table.version() == 1


def test_slices_that_are_there_already_are_replaced_together(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    lake.store.publish_all([lake.stage(rows(number, number), part(number)) for number in range(1, 5)])
    again = [lake.stage(rows(number, number + 10), part(number), fingerprint="f2", run="r2") for number in (2, 3, 5)]
    again.append(lake.stage(rows(4, 4).clear(), part(4), fingerprint="f2", run="r2"))
    lake.store.publish_all(again)
    assert lake.table.version() == 2
    assert everyone_reads(lake.path, "id")["id"].to_list() == [1, 12, 13, 15]
    assert lake.held(part(1)).changed is None
    assert lake.held(part(4)).state == again[-1].state


def test_what_cannot_go_together_goes_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "schema_change": "add"})
    write_deltalake(lake.path, pl.concat([rows(1, 1), rows(2, 2)]))  # both in one file
    staged = [
        lake.stage(rows(3, 3), part(3)),
        lake.stage(rows(2, 20), part(2)),
        lake.stage(rows(4, 4).with_columns(late=True), part(4)),
        lake.stage(rows(5, 5), part(5)),
        lake.stage(rows(3, 30), part(3), fingerprint="f2"),
    ]
    lake.store.publish_all(staged)
    assert everyone_reads(lake.path, "id")["id"].to_list() == [1, 4, 5, 20, 30]
    held = lake.store.held(lake.dataset, [part(number) for number in (2, 3, 4, 5)])
    assert [one.state for one in held.values()] == [staged[1].state, staged[4].state, staged[2].state, staged[3].state]
    assert all(one.changed is None for one in held.values())


@pytest.mark.parametrize("mode", ["overwrite", "merge", "snapshot"])
def test_other_modes_publish_one_after_the_other(tmp_path: Path, mode: str) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "mode": mode, "key": ["id"]})
    at = [pl.lit(date(2013, 1, 1)).alias("valid_from"), pl.lit(None, pl.Date).alias("valid_to")]
    extra = [*at, pl.lit(value=True).alias("is_current")] if mode == "snapshot" else []
    staged = [lake.stage(rows(number, number).with_columns(*extra), part(number)) for number in range(1, 4)]
    lake.store.publish_all(staged)
    assert everyone_reads(lake.path, "id")["id"].to_list() == ([3] if mode == "overwrite" else [1, 2, 3])
    assert [lake.held(one.slice).state for one in staged] == [one.state for one in staged]


def test_one_that_is_refused_leaves_every_slice_old_or_new(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "mode": "append"})
    lake.publish(rows(1, 1), part(1))
    staged = [lake.stage(rows(2, 2), part(2)), lake.stage(rows(1, 10), part(1), fingerprint="f2", run="r2")]
    with pytest.raises(PublishError, match="was already appended by run r1"):
        lake.store.publish_all(staged)
    assert everyone_reads(lake.path, "id")["id"].to_list() == [1]
    narrow = Lake(tmp_path / "narrow", MONTHLY)
    with pytest.raises(DataError, match="column late is not in the table"):
        narrow.store.publish_all(
            [narrow.stage(rows(1, 1), part(1)), narrow.stage(rows(2, 2).with_columns(late=True), part(2))]
        )
    assert everyone_reads(narrow.path, "id")["id"].to_list() == [1]


def test_all_transactions_are_those_that_delta_rs_knows(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    for number in range(1, 13):
        lake.publish(rows(number, number), part(number), fingerprint=f"f{number}")
        lake.publish(rows(number, number), part(number), fingerprint=f"g{number}")
    write_deltalake(lake.path, rows(1, 99), mode="append")
    names = [app_id("flights", f"2013-{number:02}") for number in range(1, 14)]
    for version in (3, 10, 15, 24):
        table = lake.store._folder(lake.dataset).open(version)
        assert table is not None
        at_once = Transactions(table, lake.store._folder(lake.dataset))
        assert [at_once.version(name) for name in names] == [table.transaction_version(name) for name in names]
        assert at_once._all is not None
    entry = lake.path / "_delta_log" / f"{22:020}.json"
    entry.unlink()
    for checkpoint in (lake.path / "_delta_log").glob("*20.checkpoint.parquet"):
        checkpoint.unlink()
    assert transactions(lake.store._folder(lake.dataset), 24) is None, "delta-rs is asked where the log is not whole"


def test_a_whole_dataset_among_slices(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {})
    staged = [lake.stage(rows(1, 1), WHOLE), lake.stage(rows(1, 2), WHOLE, fingerprint="f2")]
    lake.store.publish_all(staged)
    assert everyone_reads(lake.path, "id")["id"].to_list() == [2]


def test_hive_partitions_go_together(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "partition_by": ["day"]})
    for fingerprint, plus in (("f1", 0), ("f2", 10)):
        staged = [
            lake.stage(rows(number, number + plus), part(number), fingerprint=fingerprint) for number in (1, 2, 3)
        ]
        lake.store.publish_all(staged)
    assert lake.table.version() == 2
    assert everyone_reads(lake.path, "id")["id"].to_list() == [11, 12, 13]
    assert len(lake.table.partitions()) == 3
