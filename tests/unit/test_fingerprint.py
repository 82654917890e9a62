"""Fingerprints: what makes two slices the same, and what a plan says when they are not."""

from __future__ import annotations

import dataclasses
import enum
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, PrivateAttr

from flowpipe.fingerprint import difference, of_code, of_parts, of_value


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Shade(enum.IntEnum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    y: object = None

    @cached_property
    def norm(self) -> int:
        return self.x


@dataclasses.dataclass
class Labels(dict[str, int]):
    name: str = "a"


class Rate(BaseModel, extra="allow"):
    currency: str
    value: float = 1.0
    _seen: int = PrivateAttr(0)


NAN, OTHER_NAN = np.array([0x7FF8000000000000, 0xFFF8000000000001], np.uint64).view(np.float64)

# ---- code ------------------------------------------------------------------------------------------------------------

MODULE = """
import polars as pl


def daily(flights: pl.LazyFrame, late: int = 15) -> pl.LazyFrame:
    return flights.filter(pl.col("delay") > late)
"""


@pytest.mark.parametrize(
    "same",
    [
        '"""What it is."""' + MODULE,
        MODULE.replace("    return", '    """What it does."""\n    return'),
        MODULE.replace("    return", "    # why\n\n    return"),
        MODULE.replace('"delay"', "'delay'"),
        MODULE.replace('"delay"', '"de" "lay"'),
        MODULE.replace("flights.filter(", "(flights\n        .filter)("),
        MODULE.replace("\n", "\r\n"),
        "\ufeff" + MODULE,
    ],
)
def test_comments_formatting_and_docstrings_are_no_code(same: str) -> None:
    assert of_code(same) == of_code(MODULE)


@pytest.mark.parametrize(
    "other",
    [
        MODULE.replace("15", "20"),
        MODULE.replace("15", "15.0"),
        MODULE.replace("> late", ">= late"),
        MODULE.replace("late: int", "late: float"),
        MODULE.replace('"delay"', 'b"delay"'),
        MODULE.replace("def", "async def"),
        MODULE + "x = None\n",
    ],
)
def test_what_code_does_counts(other: str) -> None:
    assert of_code(other) != of_code(MODULE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = True", "x = 1"),
        ("x = 'None'", "x = None"),
        ("f(a=[1], b=2)", "f(a=[1, 2])"),
        ("f([a], b)", "f([a, b])"),
        ("{None: 1}", "{**1}"),
        ('x = f"{a}b"', 'x = f"{a}" + "b"'),
        ("def f(): 'text'\ndef g(): pass", "def f(): pass\ndef g(): pass"),
        ("class A:\n  'doc'\n  x = 1", "class A:\n  'doc'\n  x = 2"),
        ("if a: x\nelse: y", "if a:\n  x\n  y"),
    ],
)
def test_different_code_has_different_hashes(one: str, other: str) -> None:
    assert of_code(one) != of_code(other)


def test_long_and_strange_code_has_a_hash() -> None:
    assert of_code("x = " + "+".join("1" * 900)) != of_code("x = " + "+".join("1" * 899))
    assert of_code("x = 0x" + "f" * 6000) != of_code("x = 0x" + "f" * 6001)
    assert of_code(r"x = '\ud800'") != of_code(r"x = '\ud801'")


def test_a_module_that_warns_does_not_warn_again(recwarn: pytest.WarningsRecorder) -> None:
    of_code(r"x = '\d'")
    assert not recwarn.list


def test_broken_code_says_so() -> None:
    with pytest.raises(SyntaxError, match="was never closed"):
        of_code("f(")


def test_the_hash_of_code_is_the_same_on_every_python() -> None:
    # What `ast.dump` shows differently on 3.11, 3.12 and 3.13: empty lists, type parameters and texts in f-strings. The
    # 1,671 modules of the standard library that these three can read hash the same on them.
    source = "def f(a, *, b=1):\n  return f'{a!r:>{b}}' + f'{a:}', lambda: (), {**b}, '\U0001fae8'"
    assert of_code(source) == "946640f2caf22a08eec8805dd85d855b7322ef46a17d9110029667df8e326ff7"


# ---- values ----------------------------------------------------------------------------------------------------------

SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 2**70, 0.0, -0.0, 1.0, float("nan"), float("inf"), "", "1", "é", "\ud800", b"", b"1",
    Decimal(1), Decimal("1.0"), Decimal("NaN"), date(2013, 1, 1), datetime(2013, 1, 1), datetime(2013, 1, 1, fold=1),
    datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=ZoneInfo("UTC")),
    datetime(2013, 1, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2013, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    time(1), time(1, tzinfo=UTC), timedelta(1), timedelta(microseconds=1), UTC, ZoneInfo("UTC"), UUID(int=1), Path("1"),
    Color.RED, Color.BLUE, Shade.RED, (), [], set(), frozenset(), {}, (1,), [1], {1}, frozenset({1}), {1: 1}, [[1], 2],
    [1, [2]], [[1, 2]], ["ab"], ["a", "b"], {"a": {"b": 1}}, {"a": 1, "b": 1}, Point(1), Point(1, [2]),
    Rate(currency="EUR"), Rate(currency="EUR", value=1.0), Rate.model_validate({"currency": "EUR", "more": 1}),
    np.int64(1), np.int32(1), np.float64(1), np.float64("nan"), np.bool_(1), np.str_("1"), np.datetime64("2013-01-01"),
    np.datetime64("2013-01-01", "s"), np.array(1), np.array([1]), np.array([[1]]), np.array([1], np.int8),
    np.array([1.0]), np.array([-0.0]), np.array([1j]), np.array(["a"]), np.array([1, "a"], object),
    np.array([1], ">i8"),
]  # fmt: skip


def test_every_scalar_and_container_has_a_hash_of_its_own() -> None:
    hashes = [of_value(value) for value in SCALARS]
    assert None not in hashes
    assert len(set(hashes)) == len(SCALARS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x", "y", "z", 1}, {1, "z", "y", "x"}),
        (float(NAN), float(OTHER_NAN)),
        (NAN, OTHER_NAN),
        (np.array([NAN, 1]), np.array([OTHER_NAN, 1])),
        (np.array([complex(1, NAN)]), np.array([complex(1, OTHER_NAN)])),
        (np.arange(4)[::2], np.array([0, 2])),
        (np.asfortranarray([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]])),
    ],
)
def test_equal_values_hash_equal(one: object, other: object) -> None:
    assert of_value(one) is not None
    assert of_value(one) == of_value(other)


def test_a_value_that_occurs_twice_is_no_cycle() -> None:
    inner = [1]
    assert of_value([inner, inner]) == of_value([[1], [1]])


def cycle() -> list[object]:
    found: list[object] = []
    found.append({"a": (found,)})
    return found


def deep() -> list[object]:
    found: list[object] = []
    for _ in range(10_000):
        found = [found]
    return found


def with_a_private_object() -> Rate:
    rate = Rate(currency="EUR")
    rate._seen = object()  # type: ignore[assignment]  # what a user might do
    return rate


def with_an_attribute() -> Point:
    point = Point(1)
    assert point.norm == 1
    return point


@pytest.mark.parametrize(
    "value",
    [
        object(), print, lambda: 1, Point, Color, int, iter([1]), (i for i in [1]), sys, [object()], {"a": object()},
        {1: {2: print}}, Labels(), Point(1, print), cycle(), deep(), with_a_private_object(), with_an_attribute(),
        type("Text", (str,), {})("a"), type("Pairs", (dict,), {})(), np.longdouble(1), np.zeros(1, "i1,i8"),
        np.ma.array([1]), np.array([print]), pl.col("a"), pl.Series([object()], dtype=pl.Object), pd.NaT, pd.NA,
        pd.DataFrame({"a": [print]}), pd.Series(pd.arrays.SparseArray([0, 1])), pa.array([1]),
        pl.DataFrame({"a": [[object()]]}, schema={"a": pl.Object}), pl.Series([1], dtype=pl.Int128),
        pa.table({"a": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}),
        pa.table({"a": pc.run_end_encode(pa.array([1, 1]))}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_without_a_canonical_form_has_no_hash(value: object) -> None:
    assert of_value(value) is None


# ---- frames ----------------------------------------------------------------------------------------------------------


def flights() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "text": ["a", None, "", "é"],
            "category": pl.Series(["x", None, "y", "x"], dtype=pl.Categorical),
            "level": pl.Series(["low", None, "high", "low"], dtype=pl.Enum(["low", "high"])),
            "list": [[1, None], None, [], [2]],
            "struct": [{"a": 1.5, "b": "x"}, None, {"a": None, "b": None}, {"a": float("nan"), "b": ""}],
            "array": pl.Series([[1, 2], None, [3, 4], [5, 6]], dtype=pl.Array(pl.Int8, 2)),
            "float": [1.0, None, float("nan"), -0.0],
            "half": pl.Series([1.0, None, float("nan"), 2.0], dtype=pl.Float16),
            "flag": [True, None, False, True],
            "bytes": [b"a", None, b"", b"b"],
            "day": [date(2013, 1, 1), None, date(2013, 1, 2), date(1900, 1, 1)],
            "moment": [datetime(2013, 1, 1, tzinfo=UTC), None, datetime(2013, 1, 2, tzinfo=UTC), None],
            "clock": [time(1), None, time(2), time(3)],
            "length": [timedelta(1), None, timedelta(2), timedelta(3)],
            "price": [Decimal("1.5"), None, Decimal("2.5"), Decimal("3.5")],
            "nothing": [None] * 4,
        }
    )


@pytest.mark.parametrize(
    "same",
    [
        lambda frame: pl.concat([frame[:1], frame[1:3], frame[3:]], rechunk=False),
        lambda frame: pl.concat([frame, frame])[4:],
        lambda frame: frame.lazy(),
        lambda frame: frame.reverse().reverse(),
        lambda frame: pl.from_arrow(frame.to_arrow()),
        lambda frame: pl.read_ipc(frame.write_ipc(None).getvalue()),
    ],
    ids=["chunks", "slice", "lazy", "gather", "arrow", "ipc"],
)
def test_the_same_rows_of_polars_hash_the_same(same: Callable[[pl.DataFrame], object]) -> None:
    assert of_value(flights()) is not None
    assert of_value(same(flights())) == of_value(flights())


def test_every_cell_name_and_type_of_a_frame_counts() -> None:
    frame = flights()
    others = [
        frame.reverse(),
        frame[:3],
        frame.select(reversed(frame.columns)),
        frame.rename({"text": "words"}),
        frame.clear(),
        frame.drop("text"),
        *(frame.with_columns(pl.col(name).shift(1)) for name in frame.columns if name != "nothing"),
        *(frame.with_columns(pl.lit(None, frame.schema[name]).alias(name)) for name in frame.columns[:-1]),
        frame.with_columns(pl.col("day").cast(pl.Datetime)),
        frame.with_columns(pl.col("moment").dt.convert_time_zone("Europe/Berlin")),
        frame.with_columns(pl.col("level").cast(pl.Enum(["high", "low"]))),
        frame.with_columns(pl.Series("float", [1.0, None, float("nan"), 0.0])),
        frame["text"],
    ]
    hashes = [of_value(other) for other in [frame, *others]]
    assert None not in hashes
    assert len(set(hashes)) == len(hashes)


def test_where_a_text_or_list_ends_counts() -> None:
    assert of_value(pl.Series(["ab", "c"])) != of_value(pl.Series(["a", "bc"]))
    assert of_value(pl.Series([[1, 2], [3]])) != of_value(pl.Series([[1], [2, 3]]))
    assert of_value(pl.Series([[], None], dtype=pl.List(pl.Int64))) != of_value(
        pl.Series([None, []], dtype=pl.List(pl.Int64))
    )


def test_empty_frames_tell_their_columns() -> None:
    empty = [pl.DataFrame(), pl.DataFrame(schema={"a": pl.Int8}), pl.DataFrame(schema={"a": pl.Int16})]
    assert len({of_value(frame) for frame in empty}) == 3
    assert of_value(pa.table({"a": pa.chunked_array([], pa.int8())})) == of_value(
        pa.table({"a": pa.chunked_array([pa.array([], pa.int8())] * 2)})
    )


def with_garbage(garbage: int) -> pa.Table:
    valid = pa.py_buffer(bytes([0b101]))
    numbers = pa.Array.from_buffers(pa.int32(), 3, [valid, pa.py_buffer(np.array([1, garbage, 3], np.int32))])
    ends = pa.py_buffer(np.array([0, 1, 2, 3], np.int32))
    texts = pa.Array.from_buffers(pa.string(), 3, [valid, ends, pa.py_buffer(f"a{garbage}c".encode())])
    lists = pa.Array.from_buffers(pa.list_(pa.int64()), 3, [valid, ends], children=[pa.array([1, garbage, 3])])
    return pa.table({"number": numbers, "text": texts, "list": lists})


def test_garbage_under_nulls_does_not_count() -> None:
    assert with_garbage(7)["text"].to_pylist() == ["a", None, "c"]
    assert of_value(with_garbage(7)) == of_value(with_garbage(8))


def test_the_payload_of_a_nan_in_a_frame_does_not_count() -> None:
    assert of_value(pl.Series(np.array([NAN]))) == of_value(pl.Series(np.array([OTHER_NAN])))


def test_the_codes_of_a_dictionary_do_not_count() -> None:
    one = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["a", "b"]))
    other = pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int8()), pa.array(["b", "c", "a"]))
    assert of_value(pa.table({"a": one})) == of_value(pa.table({"a": other}))


ARROW_TYPES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.string_view(), ["a", None, "c"]),
    (pa.large_list(pa.string()), [["a"], None, []]),
    (pa.list_(pa.int8(), 2), [[1, 2], None, [3, 4]]),
    (pa.list_(pa.dictionary(pa.int8(), pa.string())), [["a"], None, ["b"]]),
    (pa.binary(2), [b"ab", None, b"cd"]),
    (pa.decimal256(50, 2), [Decimal("1.50"), None, Decimal("2.50")]),
    (pa.float16(), [np.float16(1), None, np.float16(2)]),
    (pa.month_day_nano_interval(), [(1, 2, 3), None, (4, 5, 6)]),
    (pa.uuid(), [b"0" * 16, None, b"1" * 16]),
    (pa.struct([("a", pa.bool_())]), [{"a": True}, None, {"a": None}]),
    (pa.time32("s"), [time(1), None, time(2)]),
]


@pytest.mark.parametrize(("kind", "values"), ARROW_TYPES, ids=[str(kind) for kind, _ in ARROW_TYPES])
def test_arrow_tables_hash_by_rows_not_chunks(kind: pa.DataType, values: list[Any]) -> None:
    whole = pa.table({"a": pa.array(values, kind)})
    chunks = pa.table({"a": pa.chunked_array([pa.array([None, *values[:1]], kind)[1:], pa.array(values[1:], kind)])})
    changed = pa.table({"a": pa.array([values[2], *values[1:]], kind)})
    assert of_value(whole) is not None
    assert of_value(whole) == of_value(chunks)
    assert of_value(whole) == of_value(whole.to_batches()[0])
    assert of_value(whole) != of_value(changed)
    assert of_value(whole) != of_value(whole[:2])


def pandas_frame() -> pd.DataFrame:
    nullable: list[Any] = [1, None]
    return pd.DataFrame(
        {
            "number": [1, 2],
            "text": ["x", None],
            "object": pd.Series([1, "a"], dtype=object),
            "category": pd.Categorical(["a", "b"]),
            "moment": pd.to_datetime(["2013-01-01", "2013-01-02"]).tz_localize("UTC"),
            "integer": pd.array(nullable, dtype="Int64"),
            "period": pd.period_range("2013-01", "2013-02", freq="M"),
            "arrow": pd.Series([1, 2], dtype="int8[pyarrow]").array,
        },
        index=pd.Index([10, 20], name="id"),
    )


def test_everything_of_a_pandas_frame_counts() -> None:
    frame = pandas_frame()
    others: list[Any] = [
        frame[::-1],
        frame.reset_index(),
        frame.rename_axis(None),
        frame.rename(columns={"number": "n"}),
        frame.assign(number=[1.0, 2.0]),
        frame.assign(text=["x", "y"]),
        frame.assign(object=pd.Series([1, "b"], dtype=object, index=frame.index)),
        frame.assign(category=pd.Categorical(["a", "b"], categories=["b", "a"])),
        frame.assign(category=pd.Categorical(["a", "b"], ordered=True)),
        frame.assign(moment=frame["moment"].dt.tz_convert("Europe/Berlin")),
        frame.assign(integer=pd.array([1, 2], dtype="Int64")),
        frame.set_index([[1, 2], ["a", "b"]]),
        frame["number"],
        frame["number"].rename("other"),
        pd.Timestamp("2013-01-01"),
        pd.Timestamp("2013-01-01", tz="UTC"),
        pd.Timedelta("1D"),
    ]
    hashes = [of_value(value) for value in [frame, *others]]
    assert None not in hashes
    assert len(set(hashes)) == len(hashes)
    assert of_value(frame[::-1][::-1]) == of_value(frame.copy()) == of_value(frame)


def test_a_lazy_frame_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        of_value(pl.scan_parquet(tmp_path / "absent.parquet"))


@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=20), st.integers(0, 20))
def test_no_cut_of_a_column_changes_its_hash(texts: list[str | None], cut: int) -> None:
    column = pl.Series("a", texts, dtype=pl.String)
    assert of_value(pl.concat([column[:cut], column[cut:]], rechunk=False)) == of_value(column)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def typed(value: object) -> str:
    """What tells two values apart: `==` does not see types, `repr` sees the order of keys."""
    if isinstance(value, dict):
        return f"{{{sorted((key, typed(member)) for key, member in value.items())}}}"
    return str([typed(member) for member in value]) if isinstance(value, list) else repr(value)


@given(json_values, json_values)
def test_two_values_hash_equal_only_when_they_are(one: object, other: object) -> None:
    assert (of_value(one) == of_value(other)) == (typed(one) == typed(other))


def test_hashes_are_the_same_in_every_process() -> None:
    program = textwrap.dedent("""
        from datetime import datetime
        from zoneinfo import ZoneInfo
        import pandas as pd, polars as pl, pyarrow as pa
        from flowpipe.fingerprint import of_code, of_parts, of_value
        for name in DIFFERENT: pl.Series([name], dtype=pl.Categorical)
        frame = pl.DataFrame({"c": pl.Series(["x", "y", None], dtype=pl.Categorical), "l": [["a"], None, []]})
        values = [
            {"a", "b", "c", 1, None, (1, 2)}, frozenset("abcdef"), {"b": {"x", "y"}, "a": [1.5, float("nan")]},
            datetime(2013, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), frame, frame.lazy(), frame.to_arrow(),
            frame.to_pandas(), pd.Series(["a", 1], dtype=object),
        ]
        print([of_value(value) for value in values], of_code("def f(): return {1, 2}"), of_parts({"b": "1", "a": "2"}))
    """)
    printed = {
        subprocess.run(
            [sys.executable, "-c", program.replace("DIFFERENT", names)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, names in (("1", "[]"), ("2", "['y', 'z', 'x']"))
    }
    assert len(printed) == 1
    assert "None" not in printed.pop()


# ---- parts -----------------------------------------------------------------------------------------------------------

BEFORE = {
    "code.daily_delays": "a" * 64,
    "config.region": '"eu"',
    "params.late_minutes": "15",
    "params.rules": '["' + "x" * 50 + '"]',
    "reads.flights": "12",
    "reads.weather": "b" * 64,
    "reads.airlines": '"v1"',
    "options.airlines": "c" * 64,
    "contract.airlines": "c" * 64,
    "values.exchange_rates": "c" * 64,
    "schema": "d" * 64,
    "write.mode": '"replace"',
    "write.key": '["carrier"]',
}


@pytest.mark.parametrize(
    ("name", "new", "words"),
    [
        ("code.daily_delays", "e" * 64, "code of daily_delays changed"),
        ("code.daily_delays", None, "code of daily_delays removed"),
        ("code.other", "e" * 64, "code of other added"),
        ("params.late_minutes", "20", "params.late_minutes changed 15 -> 20"),
        ("params.rules", "[]", "params.rules changed"),
        ("params.x", "1", "params.x added"),
        ("params.late_minutes", None, "params.late_minutes removed"),
        ("config.region", '"us"', 'config.region changed "eu" -> "us"'),
        ("reads.flights", "14", "flights: version 12 -> 14"),
        ("reads.airlines", '"v2"', "airlines: version v1 -> v2"),
        ("reads.weather", "e" * 64, "weather: version changed"),
        ("reads.flights", None, "reads no longer flights"),
        ("reads.holidays", "1", "now reads holidays"),
        ("options.airlines", "e" * 64, "options of airlines changed"),
        ("contract.airlines", None, "schema of airlines removed"),
        ("values.exchange_rates", "e" * 64, "value of exchange_rates changed"),
        ("schema", "e" * 64, "schema changed"),
        ("schema", None, "schema removed"),
        ("write.mode", '"merge"', 'mode changed "replace" -> "merge"'),
        ("write.key", None, "key removed"),
        ("write.order_by", '"at"', "order_by added"),
    ],
)
def test_a_plan_says_what_changed(name: str, new: str | None, words: str) -> None:
    after = {key: value for key, value in {**BEFORE, name: new}.items() if value is not None}
    assert difference(BEFORE, after) == (words,)
    assert of_parts(BEFORE) != of_parts(after)


def test_nothing_changed() -> None:
    assert difference(BEFORE, dict(reversed(BEFORE.items()))) == ()
    assert of_parts(BEFORE) == of_parts(dict(reversed(BEFORE.items())))


def test_changes_come_in_the_order_of_their_names() -> None:
    assert difference({"schema": "1", "params.b": "1", "params.a": "1"}, {}) == (
        "params.a removed",
        "params.b removed",
        "schema removed",
    )


def test_where_a_part_ends_counts() -> None:
    assert of_parts({"a": "b", "c": "d"}) != of_parts({"a": 'b", "c": "d'})


def test_long_values_are_not_shown() -> None:
    shown, hidden = '"' + "x" * 38 + '"', '"' + "x" * 39 + '"'
    assert difference({"params.a": "1"}, {"params.a": shown}) == (f"params.a changed 1 -> {shown}",)
    assert difference({"params.a": "1"}, {"params.a": hidden}) == ("params.a changed",)
