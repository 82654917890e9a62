"""Publishing to and reading from Delta tables: modes, states, added columns, refusals."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from delta_lake import MONTHLY, Lake, everyone_reads, month
from deltalake import DeltaTable, write_deltalake
from polars.testing import assert_frame_equal

from flowpipe.adapters import Dataset, Held
from flowpipe.adapters.delta import Delta, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError, PublishError
from flowpipe.partition import of_key
from flowpipe.testing.suite import AdapterSuite, Store


class TestDelta(AdapterSuite):
    changed = "version 1 (DELETE) is not flowpipe's"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(Delta(Options(url="lake"), tmp_path), tmp_path)

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        return Dataset(name, DatasetConfig.model_validate({"store": "lake", "table": name, **config}))

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        DeltaTable(store.folder / "lake" / str(dataset.config.table)).delete("id = 1")

    def drop(self, store: Store, dataset: Dataset) -> None:
        shutil.rmtree(store.folder / "lake" / str(dataset.config.table))

    def _held_when_gone(self) -> Held:
        return Held()

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        return config.model_copy(update={"table": f"delays_{mode}"})


JANUARY = pl.DataFrame({"id": [1, 2], "day": [date(2013, 1, 1), date(2013, 1, 31)]})
FEBRUARY = pl.DataFrame({"id": [3, 4], "day": [date(2013, 2, 1), date(2013, 2, 28)]})


def ids(lake: Lake) -> list[Any]:
    return everyone_reads(lake.path, "id")["id"].to_list()


def test_overwrite_replaces_everything_in_one_commit(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.publish(JANUARY)
    lake.publish(FEBRUARY, fingerprint="f2")
    assert ids(lake) == [3, 4]
    assert lake.table.version() == 1


@pytest.mark.parametrize("mode", ["overwrite", "replace", "append", "merge"])
def test_publishing_again_changes_nothing(tmp_path: Path, mode: str) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "mode": mode, "key": ["id"]})
    part = month("2013-01")
    first = lake.publish(JANUARY, part)
    second = (
        lake.publish(JANUARY.with_columns(pl.col("id") + 10), part, fingerprint="f2") if mode != "append" else first
    )
    version, files = lake.table.version(), lake.data_files()
    lake.store.publish(second)
    lake.store.publish(second)
    assert (lake.table.version(), lake.data_files()) == (version, files)
    assert lake.held(part) == Held(second.state)


def test_the_first_publish_of_every_mode_makes_the_table(tmp_path: Path) -> None:
    for mode in ("overwrite", "replace", "append", "merge"):
        lake = Lake(tmp_path / mode, {**MONTHLY, "mode": mode, "key": ["id"]})
        lake.publish(JANUARY, month("2013-01"))
        assert ids(lake) == [1, 2]
        assert lake.table.version() == 0


def test_replace_names_whole_files_in_one_commit_without_writing_rows_anew(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    lake.publish(JANUARY, month("2013-01"))
    lake.publish(FEBRUARY, month("2013-02"))
    again = lake.publish(FEBRUARY.with_columns(pl.col("id") * 10), month("2013-02"), fingerprint="f2", run="r2")
    assert ids(lake) == [1, 2, 30, 40]
    assert lake.table.file_uris()[0].startswith(str(lake.path / "flowpipe-r"))
    assert again.staged.files[0].path in lake.table.file_uris()


def test_replace_of_an_emptied_slice_removes_its_rows(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    lake.publish(JANUARY, month("2013-01"))
    lake.publish(FEBRUARY, month("2013-02"))
    lake.publish(FEBRUARY.clear(), month("2013-02"), fingerprint="f2")
    assert ids(lake) == [1, 2]
    assert lake.store.is_empty(lake.dataset, month("2013-02"))
    assert not lake.store.is_empty(lake.dataset, month("2013-01"))


def moments(frame: pl.DataFrame, zone: str | None) -> pl.DataFrame:
    return frame.with_columns(pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone(zone))


@pytest.mark.parametrize("kind", ["date", "naive", "aware"])
def test_replace_keeps_other_rows_and_nulls_of_files_that_straddle(tmp_path: Path, kind: str) -> None:
    def typed(frame: pl.DataFrame) -> pl.DataFrame:
        return frame if kind == "date" else moments(frame, "UTC" if kind == "aware" else None)

    lake = Lake(tmp_path, MONTHLY)
    unknown = pl.DataFrame({"id": [5], "day": [None]}, schema=JANUARY.schema)
    write_deltalake(lake.path, typed(pl.concat([JANUARY, FEBRUARY, unknown])))
    for fingerprint in ("f1", "f2"):
        lake.publish(typed(FEBRUARY.with_columns(pl.col("id") * 10)), month("2013-02"), fingerprint=fingerprint)
        assert ids(lake) == [1, 2, 5, 30, 40]
    lake.publish(typed(FEBRUARY.clear()), month("2013-02"), fingerprint="f3")
    assert ids(lake) == [1, 2, 5]
    assert lake.held(month("2013-02")).state.rows == 0
    assert not [name for name in lake.data_files() if name.startswith("flowpipe-") and "r1" not in name]


def test_a_window_cuts_wall_clock_times_or_instants_in_its_time_zone(tmp_path: Path) -> None:
    february = month("2013-02", timezone="Europe/Berlin")
    for zone, first in ((None, datetime(2013, 2, 1)), ("UTC", datetime(2013, 1, 31, 23))):
        lake = Lake(
            tmp_path / str(zone),
            {"mode": "replace", "partition": {"column": "at", "every": "month", "timezone": "Europe/Berlin"}},
        )
        before = pl.DataFrame({"id": [1], "at": [first.replace(microsecond=0)]}).with_columns(
            (pl.col("at") - pl.duration(microseconds=1)).dt.replace_time_zone(zone)
        )
        inside = pl.DataFrame({"id": [2], "at": [first]}).with_columns(pl.col("at").dt.replace_time_zone(zone))
        write_deltalake(lake.path, pl.concat([before, inside]))
        assert lake.read(february)["id"].to_list() == [2]
        lake.publish(inside.with_columns(id=pl.lit(3, pl.Int64)), february)
        assert ids(lake) == [1, 3]


AWKWARD = ["all", "a b/é%=:?#'\"&+", "*", "2013-01", "~x", "%25", "."]


def test_slices_by_key_are_hive_partitions_whatever_their_text(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "partition": {"column": "slice", "every": "day"}, "partition_by": ["slice"]})
    for fingerprint in ("f1", "f2"):
        for number, key in enumerate(AWKWARD):
            rows = pl.DataFrame({"id": [number], "slice": [key]})
            lake.publish(rows, of_key(key), fingerprint=fingerprint)
    assert everyone_reads(lake.path, "id").rows() == list(enumerate(AWKWARD))
    for number, key in enumerate(AWKWARD):
        assert lake.read(of_key(key)).rows() == [(number, key)]
        assert lake.held(of_key(key)).changed is None


def test_hive_columns_of_several_types_and_null(tmp_path: Path) -> None:
    rows = pl.DataFrame({
        "id": [1, 2, 3, 4], "day": [date(2013, 2, 1), date(2013, 1, 1), None, date(2013, 2, 1)],
        "code": [7, None, 8, 7], "late": [True, False, None, True]})  # fmt: skip
    lake = Lake(tmp_path, {**MONTHLY, "partition_by": ["day", "code", "late"]})
    lake.publish(rows)
    assert ids(lake) == [1, 2, 3, 4]
    lake.publish(rows.filter(id=4).with_columns(late=None).cast(dict(rows.schema)), month("2013-02"))
    assert ids(lake) == [2, 3, 4]
    assert everyone_reads(lake.path, "id").row(2) == (4, date(2013, 2, 1), 7, None)


def test_append_adds_each_slice_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "mode": "append"})
    lake.publish(JANUARY, month("2013-01"))
    lake.publish(FEBRUARY, month("2013-02"))
    with pytest.raises(PublishError) as caught:
        lake.publish(JANUARY, month("2013-01"), fingerprint="f2", run="r2")
    assert str(caught.value) == (
        "flights (2013-01) was already appended by run r1; a slice is never appended twice\n"
        "  hint: delete its rows and append under another slice, or use `mode: replace`"
    )
    assert ids(lake) == [1, 2, 3, 4]


def test_merge_updates_and_inserts_by_key_and_keeps_newer_rows(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"mode": "merge", "key": ["id", 'na"me'], "order_by": "at"})
    columns = {"id": pl.Int64, 'na"me': pl.String, "at": pl.Int64, "value": pl.String}

    def rows(*values: tuple[int, str, int | None, str]) -> pl.DataFrame:
        return pl.DataFrame(values, columns, orient="row")

    lake.publish(rows((1, "a", 5, "old"), (2, "a", None, "old"), (3, "a", 5, "old")))
    lake.publish(rows((1, "a", 4, "x"), (2, "a", 0, "new"), (3, "a", 5, "new"), (3, "b", 1, "new")), fingerprint="f2")
    assert everyone_reads(lake.path, "id").sort("id", 'na"me')["value"].to_list() == ["old", "new", "new", "new"]
    staged = [name for name in lake.data_files() if name.startswith("flowpipe-")]
    assert len(staged) == 1, "the second publish's staged file was dropped"


def test_a_merge_that_changes_no_row_still_publishes_its_state(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"mode": "merge", "key": ["id"]})
    lake.publish(JANUARY)
    published = lake.publish(JANUARY.clear(), fingerprint="f2")
    assert lake.held() == Held(published.state)
    assert ids(lake) == [1, 2]


@pytest.mark.parametrize("mode", ["overwrite", "replace", "append", "merge"])
def test_columns_are_added_and_missing_ones_become_null(tmp_path: Path, mode: str) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "mode": mode, "key": ["id"], "schema_change": "add"})
    lake.publish(JANUARY.with_columns(gone=pl.lit("x")), month("2013-01"))
    at = pl.lit(datetime(2013, 2, 1)).alias("at")  # naive: needs a newer protocol than the table has
    lake.publish(FEBRUARY.with_columns(at), month("2013-02"))
    after = everyone_reads(lake.path, "id")
    assert after.columns == ["id", "day", "gone", "at"]
    assert after.filter(pl.col("id") > 2).select("gone", "at").rows() == [(None, datetime(2013, 2, 1))] * 2
    assert after.filter(pl.col("id") <= 2)["gone"].to_list() == ([] if mode == "overwrite" else ["x", "x"])
    assert lake.held(month("2013-02")).changed is None
    assert (lake.held(month("2013-01")).changed is None) == (mode != "overwrite")


def test_a_straddled_file_gets_the_added_column_too(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {**MONTHLY, "schema_change": "add"})
    write_deltalake(lake.path, pl.concat([JANUARY, FEBRUARY]).with_columns(gone=pl.lit(1)))
    lake.publish(FEBRUARY.with_columns(late=True), month("2013-02"))
    assert everyone_reads(lake.path, "id").rows() == [
        (1, date(2013, 1, 1), 1, None), (2, date(2013, 1, 31), 1, None),
        (3, date(2013, 2, 1), None, True), (4, date(2013, 2, 28), None, True)]  # fmt: skip


def test_changed_columns_are_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path, MONTHLY)
    lake.publish(JANUARY, month("2013-01"))
    with pytest.raises(DataError) as caught:
        lake.publish(FEBRUARY.select("day", late=True), month("2013-02"))
    assert str(caught.value) == (
        "column late is not in the table; column id of the table is not in the new rows\n"
        "  hint: write `schema_change: add` to add columns and leave missing ones NULL"
    )
    with pytest.raises(DataError) as caught:
        lake.publish(FEBRUARY.cast({"id": pl.String}), month("2013-02"))
    assert str(caught.value) == (
        "column id is Int64 in the table and String in the new rows\n  hint: cast the columns, or drop the table"
    )
    assert ids(lake) == [1, 2]


def test_an_overwrite_may_replace_the_columns(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"schema_change": "replace"})
    lake.publish(JANUARY)
    at = pl.lit(datetime(2013, 2, 1)).alias("at")  # naive: needs a newer protocol than the table has
    changed = FEBRUARY.select(pl.col("day").cast(pl.String), pl.col("id").cast(pl.Int32), at, nested=pl.struct(a="id"))
    published = lake.publish(changed, fingerprint="f2", run="r2")
    assert lake.table.version() == 1
    assert_frame_equal(everyone_reads(lake.path, "id"), changed)
    assert lake.held() == Held(published.state)
    assert not [name for name in lake.data_files() if "r2" in name], "delta-rs wrote the rows"
    again = lake.publish(changed.head(1), fingerprint="f3", run="r3")
    assert_frame_equal(everyone_reads(lake.path, "id"), changed.head(1))
    assert again.staged.files[0].path in lake.table.file_uris(), "the same columns: the staged file is the table's"
    lake.publish(JANUARY.clear(), fingerprint="f4")
    assert lake.read().schema == JANUARY.schema


def test_a_partitioned_table_may_get_other_columns_but_not_other_partitions(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"schema_change": "replace", "partition_by": ["day"]})
    lake.publish(JANUARY)
    lake.publish(FEBRUARY.with_columns(pl.col("id").cast(pl.String)), fingerprint="f2")
    assert ids(lake) == ["3", "4"]
    other = Lake(tmp_path, {"schema_change": "replace", "partition_by": ["id"]})
    with pytest.raises(PublishError, match="is partitioned by"):
        other.publish(JANUARY, fingerprint="f3")


def test_partition_columns_are_checked(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"partition_by": ["share"]})
    with pytest.raises(DataError) as caught:
        lake.publish(pl.DataFrame({"id": [1], "share": [0.5]}))
    assert str(caught.value) == (
        'cannot partition by "share" of type Float64\n'
        "  hint: partition by a column of type String, Date, Boolean or a signed integer"
    )
    with pytest.raises(DataError) as caught:
        lake.publish(pl.DataFrame({"id": [1], "share": [""]}))
    assert str(caught.value) == (
        'the partition column "share" holds "", which Delta reads as NULL\n  hint: use another value'
    )
    lake.publish(pl.DataFrame({"id": [1], "share": ["x"]}))
    with pytest.raises(PublishError) as caught:
        Lake(tmp_path).publish(pl.DataFrame({"id": [1], "share": ["x"]}), fingerprint="f2")
    assert str(caught.value) == (
        f"{lake.path} is partitioned by ['share'], the dataset says []\n"
        "  hint: make `partition_by` the same, or drop the table"
    )
    with pytest.raises(DataError) as caught:
        Lake(tmp_path, MONTHLY).read(month("2013-01"))
    assert str(caught.value) == 'there is no partition column "day"\n  hint: see `partition:` of the dataset'
    by_id = Lake(tmp_path, {**MONTHLY, "partition": {"column": "id", "every": "month"}})
    with pytest.raises(DataError) as caught:
        by_id.read(month("2013-01"))
    assert str(caught.value) == 'the partition column "id" is Int64, not a Date or Datetime'
    with pytest.raises(DataError) as caught:
        by_id.read(of_key("x"))
    assert str(caught.value) == 'the partition column "id" is Int64, not a String'


def test_tables_with_rules_that_flowpipe_does_not_keep_are_refused(tmp_path: Path) -> None:
    def refusal(name: str, settings: dict[str, str] | None = None) -> str:
        lake = Lake(tmp_path / name)
        write_deltalake(lake.path, JANUARY, configuration=settings)
        if name == "feature":
            from deltalake import TableFeatures

            lake.table.alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)
        with pytest.raises(PublishError) as caught:
            lake.publish(JANUARY)
        return str(caught.value).replace(str(lake.path), "TABLE")

    rest = "\n  hint: neither flowpipe nor delta-rs implements this; write to a table without it"
    assert refusal("feature") == f"cannot write TABLE: the table uses deletionVectors{rest}"
    assert refusal("append", {"delta.appendOnly": "true"}) == (
        "TABLE only takes appends (delta.appendOnly), the dataset's mode is overwrite\n"
        "  hint: use `mode: append`, or change the table's property"
    )


def test_null_is_refused_where_the_table_does_not_allow_it(tmp_path: Path) -> None:
    from deltalake import Field, Schema

    lake = Lake(tmp_path, {"mode": "append"})
    DeltaTable.create(lake.path, Schema([Field("id", "long", nullable=False), Field("day", "date")]))
    lake.publish(JANUARY, month("2013-01"))
    with pytest.raises(DataError) as caught:
        lake.publish(JANUARY.with_columns(id=pl.lit(None, pl.Int64)), month("2013-02"))
    assert str(caught.value) == 'column "id" holds NULL, which the table does not allow'
    assert ids(lake) == [1, 2]


def test_times_are_instants_in_utc(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.publish(
        pl.DataFrame({"id": [1], "at": [datetime(2013, 1, 1, tzinfo=UTC)]}).with_columns(
            pl.col("at").dt.convert_time_zone("Europe/Berlin")
        )
    )
    assert everyone_reads(lake.path, "id")["at"].to_list() == [datetime(2013, 1, 1, tzinfo=UTC)]
