"""Statistics and types: every reader finds exactly the right rows at every bound, and skips the files it can."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from delta_lake import Lake, everyone_reads, month
from deltalake import DeltaTable, QueryBuilder
from polars.testing import assert_frame_equal

from flowpipe.adapters.delta.files import statistics
from flowpipe.adapters.delta.schema import storable, to_delta
from flowpipe.errors import DataError

LONG = "é" * 40  # 80 bytes: its bound in the footer is cut
VALUES: dict[str, tuple[pl.DataType, list[list[Any]]]] = {
    "int64": (pl.Int64(), [[-(2**63), -1, None], [0, 2**53 + 1], [2**63 - 1, 2**63 - 2]]),
    "int8": (pl.Int8(), [[-128, None], [0, 1], [127]]),
    "date": (pl.Date(), [[date(1, 1, 1), None], [date(1969, 12, 31), date(1970, 1, 1)], [date(9999, 12, 31)]]),
    "naive": (pl.Datetime("us"), [
        [datetime(1, 1, 1), None], [datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(1970, 1, 1, 0, 0, 0, 1)],
        [datetime(2013, 1, 1, 0, 0, 0, 999499), datetime(2013, 1, 1, 0, 0, 0, 999501)]]),
    "aware": (pl.Datetime("us", "UTC"), [
        [datetime(1900, 1, 1, tzinfo=UTC), None], [datetime(2013, 1, 1, 0, 0, 0, 1, tzinfo=UTC)],
        [datetime(2013, 1, 1, 0, 0, 0, 1999, tzinfo=UTC), datetime(2013, 1, 1, 0, 0, 0, 1001, tzinfo=UTC)]]),
    "decimal9": (pl.Decimal(9, 2), [[Decimal("-9999999.99"), None], [Decimal("0.01")], [Decimal("1.10")]]),
    "decimal38": (pl.Decimal(38, 3), [
        [Decimal("-12345678901234567890123456789012345.123")], [Decimal("12345678901234567890123456789012345.122")],
        [Decimal("12345678901234567890123456789012345.123"), None]]),
    "string": (pl.String(), [["", "a", None], ["b\"\\\n", "é"], [LONG, LONG + "x"]]),
    "float": (pl.Float64(), [[float("-inf"), -0.0, None], [0.0, float("nan"), 1.5], [float("inf"), 1e300]]),
    "bool": (pl.Boolean(), [[False, None], [True], [True, False]]),
}  # fmt: skip
COMPARISONS = ("__eq__", "__lt__", "__le__", "__gt__", "__ge__")


def three_files(tmp_path: Path, dtype: pl.DataType, values: list[list[Any]]) -> tuple[Lake, pl.DataFrame]:
    lake = Lake(tmp_path, {"mode": "append", "partition": {"column": "day", "every": "month"}})
    frames = [
        pl.DataFrame({"value": part}, {"value": dtype})
        .with_row_index("n")
        .with_columns(pl.col("n").cast(pl.Int64) + 10 * number)
        for number, part in enumerate(values)
    ]
    for number, frame in enumerate(frames, 1):
        lake.publish(frame, month(f"2013-{number:02}"))
    return lake, pl.concat(frames)


@pytest.mark.parametrize("kind", VALUES)
def test_every_reader_finds_the_rows_at_every_bound(tmp_path: Path, kind: str) -> None:
    dtype, values = VALUES[kind]
    lake, expected = three_files(tmp_path, dtype, values)
    dataset = lake.table.to_pyarrow_dataset()
    column = pl.col("value")
    for value in {item for part in values for item in part if item is not None}:
        for name in COMPARISONS:
            want = expected.filter(getattr(column, name)(pl.lit(value, dtype)))["n"].to_list()
            got = pl.scan_delta(str(lake.path)).filter(getattr(column, name)(pl.lit(value, dtype))).collect()
            assert sorted(got["n"]) == want, (name, value)
            if kind != "float":  # PyArrow orders NaN in its own way
                scalar = pl.DataFrame({"v": [value]}, {"v": dtype}).to_arrow()["v"][0]
                rows = dataset.to_table(filter=getattr(pc.field("value"), name)(scalar))
                assert sorted(rows["n"].to_pylist()) == want, (name, value)
    nulls = expected.filter(column.is_null())["n"].to_list()
    assert sorted(pl.scan_delta(str(lake.path)).filter(column.is_null()).collect()["n"]) == nulls
    assert sorted(dataset.to_table(filter=pc.field("value").is_null())["n"].to_pylist()) == nulls


def test_delta_rs_answers_least_and_greatest_from_the_rows(tmp_path: Path) -> None:
    lake, _ = three_files(tmp_path, *VALUES["naive"])
    rows = QueryBuilder().register("t", lake.table).execute("SELECT min(value) a, max(value) b FROM t").read_all()
    assert pl.DataFrame(rows).row(0) == (datetime(1, 1, 1), datetime(2013, 1, 1, 0, 0, 0, 999501))


@pytest.mark.parametrize("kind", ["int64", "int8", "date", "naive", "aware", "decimal9", "decimal38", "string"])
def test_files_that_cannot_match_are_not_opened(tmp_path: Path, kind: str) -> None:
    dtype, values = VALUES[kind]
    lake, _ = three_files(tmp_path, dtype, values)
    first = pl.lit(values[0][0], dtype)
    middle = next(uri for uri in lake.table.file_uris() if 10 in pl.read_parquet(uri)["n"])
    Path(middle).unlink()
    found = pl.scan_delta(str(lake.path)).filter(pl.col("value") == first).collect()
    assert found["n"].to_list() == [0]
    scalar = pl.DataFrame({"v": [values[0][0]]}, {"v": dtype}).to_arrow()["v"][0]
    if kind != "decimal9":  # PyArrow gets no bounds of small decimals from delta-rs
        assert lake.table.to_pyarrow_dataset().to_table(filter=pc.field("value") == scalar)["n"].to_pylist() == [0]
    with pytest.raises(FileNotFoundError):
        pl.scan_delta(str(lake.path)).collect()


def test_a_slice_is_read_without_opening_the_files_of_others(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"mode": "replace", "partition": {"column": "day", "every": "month"}})
    for number in (1, 2):
        lake.publish(pl.DataFrame({"n": [number], "day": [date(2013, number, 1)]}), month(f"2013-{number:02}"))
    other = next(uri for uri in lake.table.file_uris() if pl.read_parquet(uri)["n"][0] == 2)
    Path(other).unlink()
    assert lake.read(month("2013-01"))["n"].to_list() == [1]


def test_statistics_are_those_of_the_tracked_columns(tmp_path: Path) -> None:
    rows = pl.DataFrame({
        "st": [{"x": 1, "y": {"z": 1}}, {"x": 3, "y": None}, None], "li": [[1], [], None], "st.x": [10, 20, None],
        "bool": [True, None, False], "long": ["a", LONG, None], "float": [1.0, float("nan"), 2.0],
        "none": [None, None, None],
        "at": [datetime(1969, 12, 31, 23, 59, 59, 999999), None, datetime(2013, 1, 1, 0, 0, 0, 1)],
        "cost": [Decimal("12345678901234567.89"), None, Decimal("-0.01")],
    }, schema_overrides={"none": pl.Int64, "cost": pl.Decimal(38, 2)})  # fmt: skip
    tracked = ["st.x", "bool", "long", "none", "at", "cost", "elsewhere"]
    for groups in (1, 3):
        rows.write_parquet(tmp_path / "x.parquet", row_group_size=3 // groups)
        footer = pq.read_metadata(tmp_path / "x.parquet")
        assert json.loads(statistics(footer, tracked), parse_float=Decimal) == {
            "numRecords": 3,
            "minValues": {
                "st.x": 10, "bool": False, "long": "a", "at": "1969-12-31T23:59:59.999", "cost": Decimal("-0.01")},
            "maxValues": {
                "st.x": 20, "bool": True, "long": "é" * 31 + "ê", "at": "2013-01-01T00:00:00.001",
                "cost": Decimal("12345678901234567.89")},
            "nullCount": {"st.x": 1, "bool": 1, "long": 1, "none": 3, "at": 1, "cost": 1},
        }  # fmt: skip
        for column in ("float", "st", "li"):
            assert statistics(footer, [*tracked, column]) == '{"numRecords":3}', "half the bounds are worse than none"


def test_a_new_table_tracks_the_columns_whose_bounds_are_always_known(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"partition_by": ["day"]})
    lake.publish(
        pl.DataFrame({"n": [1], "day": [date(2013, 1, 1)], "f": [0.5], "a b": [1], "b": [b""], "l": [[1]], "s": ["x"]})
    )
    assert lake.table.metadata().configuration == {
        "delta.dataSkippingStatsColumns": "n,s", "delta.checkpointInterval": "10"}  # fmt: skip
    assert pl.DataFrame(lake.table.get_add_actions())["min"].to_list() == [{"n": 1, "s": "x"}]


def test_a_table_that_tracks_nothing_is_still_read_right(tmp_path: Path) -> None:
    lake, _ = three_files(tmp_path, *VALUES["float"])
    plain = Lake(tmp_path / "plain")
    plain.publish(pl.DataFrame({"f": [1.0, float("nan")]}))
    assert plain.table.metadata().configuration["delta.dataSkippingStatsColumns"] == ""
    found = lake.table.to_pyarrow_dataset().to_table(filter=pc.field("value") > 1)
    assert sorted(found["n"].to_pylist()) == [12, 20, 21]


@pytest.mark.parametrize("by", ["flowpipe", "others"])
def test_filters_on_added_columns_and_on_tables_of_others_lose_no_row(tmp_path: Path, by: str) -> None:
    lake = Lake(tmp_path, {"mode": "append", "schema_change": "add", "partition": {"column": "day", "every": "month"}})
    day = date(2013, 1, 1)
    if by == "others":
        DeltaTable.create(lake.path, to_delta({"n": pl.Int64(), "f": pl.Float64(), "day": pl.Date()}))
    lake.publish(pl.DataFrame({"n": [1], "f": [0.5], "day": [day]}), month("2013-01"))
    lake.publish(pl.DataFrame({"n": [2], "f": [1.5], "day": [day], "new": [7]}), month("2013-02"))
    dataset = lake.table.to_pyarrow_dataset()
    assert dataset.to_table(filter=pc.field("f") > 1)["n"].to_pylist() == [2]
    assert dataset.to_table(filter=pc.field("n") > 1)["n"].to_pylist() == [2]
    assert dataset.to_table(filter=pc.field("new") > 1)["n"].to_pylist() == [2]
    assert dataset.to_table(filter=pc.field("new").is_null())["n"].to_pylist() == [1]
    assert pl.scan_delta(str(lake.path)).filter(pl.col("new").is_null()).collect()["n"].to_list() == [1]


def test_days_and_moments_beyond_the_calendar_have_no_bound(tmp_path: Path) -> None:
    rows = pl.select(
        day=pl.lit(2932897).cast(pl.Date), early=pl.lit(-719163).cast(pl.Date),
        at=pl.lit(2**62).cast(pl.Datetime("us")), zoned=pl.lit(1, pl.Int64).cast(pl.Datetime("us", "UTC")))  # fmt: skip
    rows.write_parquet(tmp_path / "x.parquet")
    footer = pq.read_metadata(tmp_path / "x.parquet")
    for column in ("day", "early", "at"):
        assert statistics(footer, [column]) == '{"numRecords":1}'
    assert json.loads(statistics(footer, ["zoned"])) == {
        "numRecords": 1, "minValues": {"zoned": "1970-01-01T00:00:00.000Z"},
        "maxValues": {"zoned": "1970-01-01T00:00:00.001Z"}, "nullCount": {"zoned": 0}}  # fmt: skip


def test_types_make_the_round_trip(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "n": [1, 2], "i8": [-128, None], "i16": [1, 2], "i32": [1, 2], "i64": [2**63 - 1, None], "u8": [255, 0],
            "u16": [65535, None], "u32": [2**32 - 1, 0], "u64": [2**63 - 1, 0], "i128": [2**100, None],
            "f32": [1.5, None],
            "f64": [float("nan"), float("inf")], "bool": [True, None], "text": ["é\0", ""], "binary": [b"\0", None],
            "day": [date(1, 1, 1), date(9999, 12, 31)], "ns": [datetime(2013, 1, 1), None],
            "ms": [datetime(2013, 1, 1), None],
            "berlin": [datetime(2013, 7, 1), None], "decimal": [Decimal("1.230"), None], "cat": ["a", None],
            "enum": ["x", "y"],
            "time": [time(1, 2, 3, 4), None], "list": [[1, None], None], "array": [[1, 2], None],
            "struct": [{"a": [{"b": 1}], "c": "x"}, None],
        },
        schema_overrides={
            "i8": pl.Int8, "i16": pl.Int16, "i32": pl.Int32, "u8": pl.UInt8, "u16": pl.UInt16, "u32": pl.UInt32,
            "u64": pl.UInt64, "i128": pl.Int128, "f32": pl.Float32, "ns": pl.Datetime("ns"), "ms": pl.Datetime("ms"),
            "berlin": pl.Datetime("us", "Europe/Berlin"), "decimal": pl.Decimal(9, 3), "cat": pl.Categorical,
            "enum": pl.Enum(["x", "y"]), "array": pl.Array(pl.UInt8, 2),
            "struct": pl.Struct({"a": pl.List(pl.Struct({"b": pl.UInt16})), "c": pl.Categorical}),
        },
    ).with_columns(half=pl.col("f32").cast(pl.Float16))  # fmt: skip
    lake = Lake(tmp_path)
    lake.publish(rows)
    expected = rows.cast(storable(rows.schema))
    assert lake.store.schema(lake.dataset) == expected.schema
    assert_frame_equal(everyone_reads(lake.path, "n"), expected)


@pytest.mark.parametrize("mode", ["overwrite", "replace", "merge"])
def test_all_types_pass_through_delta_rs_own_writer(tmp_path: Path, mode: str) -> None:
    lake = Lake(tmp_path, {"mode": mode, "key": ["n"], "partition": {"column": "day", "every": "month"}})
    rows = pl.DataFrame({
        "n": [1, 2], "day": [date(2013, 1, 1), date(2013, 2, 1)], "text": ["é", None], "binary": [b"\0", None],
        "at": [datetime(2013, 1, 1, 0, 0, 0, 1), None], "zoned": [datetime(2013, 1, 1, tzinfo=UTC), None],
        "cost": [Decimal("1.23"), None], "list": [["a"], None], "struct": [{"a": [{"b": "x"}]}, None]})  # fmt: skip
    lake.publish(rows)
    lake.publish(rows.tail(1).with_columns(text=pl.lit("new")), month("2013-02"), fingerprint="f2")
    after = everyone_reads(lake.path, "n")
    assert after.schema == rows.schema
    assert after["text"].to_list() == (["new"] if mode == "overwrite" else ["é", "new"])
    if mode != "overwrite":
        assert after.row(0) == rows.row(0)


@pytest.mark.parametrize(
    ("dtype", "shown", "hint"),
    [
        (pl.Null(), "Null", "cast it to the type it has when it is not empty, such as pl.String"),
        (pl.Duration("us"), "Duration(time_unit='us')", "store a number, such as dt.total_seconds()"),
        (pl.List(pl.Duration("us")), "Duration(time_unit='us')", "store a number, such as dt.total_seconds()"),
        (pl.Object(), "Object", "cast it, or leave it out"),
        (pl.Struct({}), "Struct({})", "cast it, or leave it out"),
    ],
)
def test_types_that_delta_cannot_store_are_named(dtype: pl.DataType, shown: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        storable({"n": pl.Int64(), "wait": dtype})
    assert str(caught.value) == f'column "wait" is {shown}, which Delta cannot store\n  hint: {hint}'


def test_columns_that_differ_only_in_case_are_named() -> None:
    with pytest.raises(DataError) as caught:
        storable({"Day": pl.Int64(), "day": pl.Int64()})
    assert str(caught.value) == (
        'columns "Day" and "day" differ only in case, which Delta does not tell apart\n  hint: rename one of them'
    )


def test_many_files_of_one_publish_are_all_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path, {"partition_by": ["day"]})
    first = date(2013, 1, 1)
    rows = pl.DataFrame({"n": range(300), "day": [first + timedelta(i) for i in range(300)]})
    lake.publish(rows)
    assert everyone_reads(lake.path, "n")["day"].to_list() == rows["day"].to_list()
    assert len(DeltaTable(lake.path).file_uris()) == 300
