"""Every value that leaves a process is the same on the other side, and takes no more along than it shows."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from flowpipe.errors import NodeError
from flowpipe.executors import values
from flowpipe.executors.values import CannotTravel, Packed, pack

WIDE = pl.DataFrame({"i": range(5000), "text": [f"{'x' * 50}{i}" for i in range(5000)]})


def travelled(packed: Packed) -> Any:
    """What another process gets: pickled with its memory outside, as Dask and Ray do, which give read-only memory."""
    outside = list[pickle.PickleBuffer]()
    data = pickle.dumps(packed, protocol=5, buffer_callback=outside.append)
    assert len(data) < 1000 + len(packed.warning or "") + 10 * len(packed.buffers)
    return pickle.loads(data, buffers=[bytes(buffer.raw()) for buffer in outside]).unpack()


def again(value: Any) -> Any:
    return travelled(pack(value))


class TestFrames:
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(frame=dataframes(max_cols=6, max_size=20))
    def test_polars_of_every_type(self, frame: pl.DataFrame) -> None:
        assert_frame_equal(again(frame), frame, categorical_as_str=True)
        assert again(frame).schema == frame.schema
        assert_frame_equal(again(frame[1:3]), frame[1:3], categorical_as_str=True)

    @pytest.mark.parametrize(
        "dtype",
        [pl.Int128, pl.UInt128, pl.List(pl.Int128), pl.Enum(["b", "a"]), pl.List(pl.Categorical), pl.Null, pl.Float16],
        ids=str,
    )
    @pytest.mark.parametrize("length", [0, 3])
    def test_types_that_arrow_lacks(self, dtype: Any, length: int) -> None:
        frame = pl.DataFrame({"x": pl.Series([None] * length, dtype=dtype)})
        assert again(frame).schema == frame.schema
        assert_frame_equal(again(frame), frame)

    def test_integers_of_128_bits(self) -> None:
        frame = pl.DataFrame({"x": pl.Series([2**100, None, -1], dtype=pl.Int128)})
        assert_frame_equal(again(frame), frame)

    def test_no_columns(self) -> None:
        assert (again(pl.DataFrame()).shape, again(pl.DataFrame(height=5)).shape) == ((0, 0), (5, 0))

    def test_objects(self) -> None:
        ids = [uuid.UUID(int=1), uuid.UUID(int=2)]
        found = again(pl.DataFrame({"id": pl.Series(ids, dtype=pl.Object), "n": [1, 2]}))
        assert (found["id"].to_list(), found.schema) == (ids, {"id": pl.Object, "n": pl.Int64})

    @pytest.mark.parametrize(
        "part", [WIDE.head(10), WIDE.slice(3000, 10), WIDE.filter(pl.col("i") > 4990), WIDE.to_arrow()[5:9]]
    )
    def test_a_slice_leaves_its_frame_behind(self, part: Any) -> None:
        assert pack(part).nbytes < 10_000
        assert again(part).equals(part)

    def test_many_chunks_become_one_buffer(self) -> None:
        frame = pl.concat([pl.DataFrame({"x": range(1000)})] * 100, rechunk=False)
        assert len(pack(frame).buffers) == 1
        assert_frame_equal(again(frame), frame)

    def test_nothing_is_copied_but_what_is_written(self) -> None:
        frame = pl.DataFrame({"x": np.arange(100_000)})
        (buffer,) = pack(frame).buffers
        address = frame["x"].to_numpy().__array_interface__["data"][0]
        assert np.frombuffer(buffer, np.int64).__array_interface__["data"][0] == address
        assert pack(frame).unpack()["x"].to_numpy().__array_interface__["data"][0] == address

    @pytest.mark.parametrize(
        "value",
        [
            WIDE,
            WIDE.to_arrow(),
            WIDE.to_arrow().to_batches()[0],
            pa.RecordBatch.from_pylist([], schema=pa.schema([("x", pa.int8())])),
            WIDE.to_pandas(),
            pd.DataFrame(
                {"when": pd.to_datetime(["2020-01-01"]).tz_localize("Europe/Berlin"), "c": pd.Categorical(["a"])}
            ),
            pl.Series("named", [1, None]),
        ],
        ids=lambda value: type(value).__module__ + type(value).__name__,
    )
    def test_eager_ones(self, value: Any) -> None:
        assert type(again(value)) is type(value)
        assert again(value).equals(value)

    def test_rows(self) -> None:
        assert [pack(each).rows for each in (WIDE, WIDE.to_arrow(), WIDE.to_pandas(), WIDE.lazy(), 5)] == [
            *[5000] * 3,
            None,
            None,
        ]

    def test_a_reader_can_be_read_by_each(self) -> None:
        packed = pack(WIDE.to_arrow().to_reader())
        for _ in range(2):
            assert isinstance(travelled(packed), pa.RecordBatchReader)
            assert travelled(packed).read_all().num_rows == 5000

    def test_a_relation_stands_on_a_connection_of_its_own(self) -> None:
        found = again(duckdb.connect().sql("select 7 as n, 'x' as t"))
        assert (type(found), found.fetchall()) == (duckdb.DuckDBPyRelation, [(7, "x")])


class TestLazyFrames:
    def test_a_plan_travels_as_a_plan(self, tmp_path: Path) -> None:
        WIDE.write_parquet(tmp_path / "wide.parquet")
        plan = pl.scan_parquet(tmp_path / "wide.parquet").filter(pl.col("i") < 3).select(pl.col("i") * 2)
        packed = pack(plan)
        assert (packed.warning, packed.nbytes < 5000) == (None, True)
        assert travelled(packed).explain() == plan.explain()
        assert travelled(packed).collect()["i"].to_list() == [0, 2, 4]

    def test_rows_in_memory_travel_as_rows(self) -> None:
        frame = pl.DataFrame({"x": np.arange(1_000_000)})
        packed = pack(frame.lazy().filter(pl.col("x") > 10))
        assert (packed.warning, packed.nbytes >= 8 * 999_989) == (None, True)
        assert isinstance(travelled(packed), pl.LazyFrame)
        assert travelled(packed).collect().height == 999_989

    def test_a_function_that_cannot_travel_is_run_here(self) -> None:
        lock = threading.Lock()

        def locked(frame: pl.DataFrame) -> pl.DataFrame:
            with lock:
                return frame

        packed = pack({"x": pl.LazyFrame({"a": [1]}).map_batches(locked)})
        assert packed.warning == (
            "its LazyFrame cannot travel as a plan (TypeError: cannot pickle '_thread.lock' object), "
            "so its rows were computed"
        )
        assert travelled(packed)["x"].collect()["a"].to_list() == [1]

    def test_a_function_of_main_is_run_here(self) -> None:
        code = """
            import sys; import polars as pl; from flowpipe.executors.values import pack
            def same(frame): return frame
            print(pack(pl.LazyFrame({"a": [1]}).map_batches(same)).warning)
            """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == (
            "its LazyFrame cannot travel as a plan (it has a function of __main__), so its rows were computed"
        )


@dataclass
class Held:
    frame: pl.DataFrame
    more: dict[str, list[Any]]


class TestOthers:
    @pytest.mark.parametrize("value", [None, 1, "text", [1, {"a": (2, 3)}], {1, 2}, Path("x")], ids=str)
    def test_plain_ones(self, value: Any) -> None:
        assert again(value) == value

    def test_frames_inside(self) -> None:
        found = again(Held(WIDE, {"x": [WIDE.to_arrow(), np.arange(10_000)]}))
        assert_frame_equal(found.frame, WIDE)
        assert found.more["x"][0].equals(WIDE.to_arrow())
        assert len(pack(Held(WIDE, {"x": [np.arange(10_000)]})).buffers) >= 3

    def test_the_same_frame_twice_is_packed_once(self) -> None:
        assert pack([WIDE, WIDE]).nbytes < 1.1 * pack(WIDE).nbytes

    def test_an_array_can_be_changed_and_a_read_only_one_not(self) -> None:
        fixed = np.arange(10_000)
        fixed.flags.writeable = False
        changed, still = again([np.arange(10_000), fixed])
        changed[0] = 7
        assert (changed[0], still.flags.writeable) == (7, False)

    def test_functions_of_all_kinds(self) -> None:
        three = 3
        assert pickle.loads(values.pack_function("a", lambda x: x + three))(1) == 4

    def test_pickled_in_an_old_way_it_is_whole(self) -> None:
        assert_frame_equal(pickle.loads(pickle.dumps(pack(WIDE), protocol=4)).unpack(), WIDE)


def numbers() -> Any:
    yield 1


class TestWhatCannotTravel:
    @pytest.mark.parametrize(
        ("value", "what"),
        [
            (numbers(), "a generator"),
            (threading.Lock(), "a lock"),
            ({"a": [threading.Lock()]}, "a dict with a lock"),
            (socket.socket(), "a socket"),
        ],
        ids=["generator", "lock", "inside", "socket"],
    )
    def test_it_says_what(self, value: Any, what: str) -> None:
        with pytest.raises(CannotTravel) as caught:
            pack(value)
        assert str(caught.value) == what

    @pytest.mark.parametrize(
        ("packs", "message", "hint"),
        [
            (
                lambda: values.pack_result("x", numbers()),
                "node x gives a generator, which cannot travel to another process",
                "return a list or a frame, or run it with `executor: {type: threads}`",
            ),
            (
                lambda: values.pack_argument("x", "rows", numbers()),
                "node x gets a generator as rows, which cannot travel to another process",
                "give it a list or a frame, or run it with `executor: {type: threads}`",
            ),
            (
                lambda: values.pack_function("x", functools_partial_of_a_lock()),
                "the function of node x is or holds a partial with a lock, which cannot travel to another process",
                "make it inside the function, or run it with `executor: {type: threads}`",
            ),
        ],
        ids=["result", "argument", "function"],
    )
    def test_the_node_is_named(self, packs: Callable[[], Any], message: str, hint: str) -> None:
        with pytest.raises(NodeError) as caught:
            packs()
        (problem,) = caught.value.problems
        assert (problem.message, problem.hint) == (message, hint)


def functools_partial_of_a_lock() -> Any:
    import functools

    return functools.partial(print, threading.Lock())
