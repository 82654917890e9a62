"""Frames come back from files as they were, or are refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from flowpipe import framefiles
from flowpipe.framefiles import NotTheSame

SERIES = {
    "categorical": pl.Series(["a", "b"], dtype=pl.Categorical),
    "enum": pl.Series(["a", None], dtype=pl.Enum(["b", "a"])),
    "wide": pl.Series([2**100], dtype=pl.Int128),
    "null": pl.Series([None, None]),
    "nested": pl.Series([{"a": [1], "b": None}, None]),
    "zoned": pl.Series([1, 2]).cast(pl.Datetime("ns", "Europe/Berlin")),
    "length": pl.Series([dt.timedelta(microseconds=1)]),
    "array": pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2)),
}


@pytest.mark.parametrize("name", SERIES)
def test_polars(name: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": SERIES[name]})
    framefiles.write(frame, "eager", tmp_path / "x.parquet")
    back = framefiles.read(tmp_path / "x.parquet", "eager", tmp_path)
    assert back.schema == frame.schema
    assert back.equals(frame)


PANDAS = {
    "index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="k")),
    "levels": pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, "a")], names=["p", "q"])),
    "gaps": pd.DataFrame({"a": [1, 2, 3]}).iloc[[0, 2]],
    "ordered": pd.DataFrame({"a": pd.Categorical(["x", "y"], categories=["y", "x"], ordered=True)}),
    "nullable": pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
}


@pytest.mark.parametrize("name", PANDAS)
def test_pandas(name: str, tmp_path: Path) -> None:
    framefiles.write(PANDAS[name], "pandas", tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(framefiles.read(tmp_path / "x.parquet", "pandas", tmp_path), PANDAS[name])


@pytest.mark.parametrize(
    ("kind", "value", "what"),
    [
        ("pandas", pd.DataFrame({"a": [{"x": 1}, {"y": 2}]}), "values"),
        ("pandas", pd.DataFrame({"a": pd.Series([float("nan"), "x", None], dtype=object)}), "types"),
        ("arrow", pa.table({"a": pa.array([1], pa.time32("s"))}), "columns"),
        ("eager", pl.DataFrame(), "columns"),
    ],
)
def test_what_would_come_back_as_another_is_refused(kind: Any, value: Any, what: str, tmp_path: Path) -> None:
    with pytest.raises(NotTheSame, match=f"its {what} would come back as others"):
        framefiles.write(value, kind, tmp_path / "x.parquet")


def test_a_stream_is_written_as_it_passes(tmp_path: Path) -> None:
    ends: list[BaseException | None] = []
    table = pa.table({"a": [1, 2, 3]})
    assert framefiles.teed(table.to_reader(), tmp_path / "x.parquet", ends.append).read_all() == table
    assert framefiles.read(tmp_path / "x.parquet", "reader", tmp_path).read_all() == table
    assert framefiles.teed(table.to_reader(), tmp_path / "no/x.parquet", ends.append).read_all() == table
    assert ends[0] is None
    assert isinstance(ends[1], OSError)
