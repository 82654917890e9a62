"""Row checks, coercion and barriers agree with Pandera's own eager verdict, and the source is computed once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors
from polars.testing import assert_frame_equal

from flowpipe.audit import NO_AUDIT, Audit, Audited, compile_schema
from flowpipe.checks import Counts
from flowpipe.rules import CHECKS

ROW = "row"


def audit_of(schema: object, on_invalid: Any = "quarantine") -> Audit:
    return compile_schema(schema, on_invalid=on_invalid)


def audited(schema: object, frame: pl.DataFrame) -> Audited:
    return audit_of(schema).apply(frame.lazy(), frame.schema)


def counted(schema: object, frame: pl.DataFrame) -> Counts:
    return Counts.of(audited(schema, frame).counts.collect())


def failing(schema: object, frame: pl.DataFrame) -> set[int]:
    """The rows that flowpipe rejects, row checks and barriers together, by their number."""
    numbered = frame.with_row_index(ROW)
    audit = audit_of(schema)
    assert audit.schema_problems(numbered.schema) == []
    found = audit.apply(numbered.lazy(), numbered.schema)
    held = audit.check_staged(found.all.collect().lazy())
    assert not held.whole_failures
    return {*found.bad.collect()[ROW], *held.bad.collect()[ROW]}


def failing_in_pandera(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> set[int]:
    try:
        schema.validate(frame.with_row_index(ROW), lazy=True)
    except SchemaErrors as errors:
        return {index for index in errors.failure_cases["index"] if index is not None}
    return set()


def one_column(dtype: Any, *checks: pa.Check, **options: Any) -> pa.DataFrameSchema:
    return pa.DataFrameSchema({"x": pa.Column(dtype, list(checks), **options)})


NUMBERS: list[Callable[..., pa.Check]] = [
    lambda **flags: pa.Check.equal_to(2, **flags),
    lambda **flags: pa.Check.not_equal_to(2, **flags),
    lambda **flags: pa.Check.greater_than(2, **flags),
    lambda **flags: pa.Check.greater_than_or_equal_to(2, **flags),
    lambda **flags: pa.Check.less_than(2, **flags),
    lambda **flags: pa.Check.less_than_or_equal_to(2, **flags),
    lambda **flags: pa.Check.in_range(1, 3, **flags),
    lambda **flags: pa.Check.in_range(1, 3, include_min=False, include_max=False, **flags),
]
WHOLE_NUMBERS: list[Callable[..., pa.Check]] = [
    lambda **flags: pa.Check.isin([1, 2], **flags),
    lambda **flags: pa.Check.notin([1, 2], **flags),
]
FRACTIONS: list[Callable[..., pa.Check]] = [
    lambda **flags: pa.Check.isin([1.0, math.nan], **flags),
    lambda **flags: pa.Check.notin([1.0, math.nan], **flags),
]
TEXTS: list[Callable[..., pa.Check]] = [
    lambda **flags: pa.Check.equal_to("ab", **flags),
    lambda **flags: pa.Check.isin(["ab", "b"], **flags),
    lambda **flags: pa.Check.notin(["ab", "b"], **flags),
    lambda **flags: pa.Check.str_matches("b", **flags),
    lambda **flags: pa.Check.str_contains("b", **flags),
    lambda **flags: pa.Check.str_startswith("a", **flags),
    lambda **flags: pa.Check.str_endswith("b", **flags),
    lambda **flags: pa.Check.str_length(1, 2, **flags),
    lambda **flags: pa.Check.str_length(min_value=2, **flags),
    lambda **flags: pa.Check.str_length(max_value=1, **flags),
    lambda **flags: pa.Check.str_length(exact_value=2, **flags),
]
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pl.Int64: st.none() | st.integers(0, 4),
    pl.Float64: st.none() | st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan, math.inf, -math.inf]),
    pl.String: st.none() | st.text("ab", max_size=3),
}
CASES = [
    *((pl.Int64, check) for check in [*NUMBERS, *WHOLE_NUMBERS]),
    *((pl.Float64, check) for check in [*NUMBERS, *FRACTIONS]),
    *((pl.String, check) for check in TEXTS),
]


@pytest.mark.parametrize(("dtype", "check"), CASES)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_every_built_in_check_rejects_the_rows_that_pandera_rejects(
    dtype: Any, check: Callable[..., pa.Check], data: st.DataObject
) -> None:
    values = data.draw(st.lists(VALUES[dtype], max_size=6))
    flags = {"ignore_na": data.draw(st.booleans())}
    options = {"nullable": data.draw(st.booleans()), "unique": data.draw(st.booleans())}
    schema = one_column(dtype, check(**flags), **options)
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype)})
    assert failing(schema, frame) == failing_in_pandera(schema, frame)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_frame_with_every_kind_of_check_rejects_what_pandera_rejects(data: st.DataObject) -> None:
    size = data.draw(st.integers(0, 8))
    frame = pl.DataFrame(
        {
            name: pl.Series(data.draw(st.lists(VALUES[dtype], min_size=size, max_size=size)), dtype=dtype)
            for name, dtype in {"i": pl.Int64, "f": pl.Float64, "g": pl.Float64}.items()
        }
    )
    schema = pa.DataFrameSchema(
        {
            "i": pa.Column(int, [pa.Check.ge(1), pa.Check(positive)], nullable=True),
            "f": pa.Column(float, pa.Check.lt(3, ignore_na=False)),
            "g": pa.Column(float, pa.Check(lambda x: x < 3, element_wise=True), nullable=True),
        },
        checks=[pa.Check(f_below_g)],
        unique=["i", "f"],
    )
    assert failing(schema, frame) == failing_in_pandera(schema, frame)


def positive(data: Any) -> Any:
    return data.lazyframe.select(pl.col(data.key) > 0)


def f_below_g(data: Any) -> Any:
    return data.lazyframe.select(pl.col("f") <= pl.col("g"))


def test_good_and_bad_split_the_rows_and_bad_names_every_failed_check() -> None:
    schema = one_column(int, pa.Check.ge(0), pa.Check.isin([1, 2], error="one or two"))
    found = audited(schema, pl.DataFrame({"x": [1, -1, None, 3]}))
    assert found.good.collect().to_dict(as_series=False) == {"x": [1]}
    assert found.bad.collect().to_dict(as_series=False) == {
        "x": [-1, None, 3],
        CHECKS: [["x: greater_than_or_equal_to(0)", "x: one or two"], ["x: not_nullable"], ["x: one or two"]],
    }
    assert found.all.collect()["x"].to_list() == [1, -1, None, 3]


def test_a_built_in_check_of_the_frame_is_one_of_every_column() -> None:
    schema = pa.DataFrameSchema({"x": pa.Column(int), "y": pa.Column(int)}, checks=pa.Check.ge(0))
    frame = pl.DataFrame({"x": [1, -1, 1], "y": [1, 1, -1]})
    assert counted(schema, frame).failed["every column: greater_than_or_equal_to(0)"] == 2
    assert failing_in_pandera(schema, frame) == {1, 2}


def test_a_check_that_only_warns_is_counted_and_rejects_nothing() -> None:
    schema = one_column(int, pa.Check.ge(0, raise_warning=True))
    frame = pl.DataFrame({"x": [-1, 2]})
    assert counted(schema, frame) == Counts(2, 0, {"x: not_nullable": 0, "x: greater_than_or_equal_to(0)": 1})
    assert audited(schema, frame).bad.collect().height == 0


def test_the_source_is_computed_once_for_good_bad_and_counts(tmp_path: Path) -> None:
    passes = []

    def source(frame: pl.DataFrame) -> pl.DataFrame:
        passes.append(frame.height)
        return frame

    lf = pl.LazyFrame({"x": range(1000)}).map_batches(source, schema=pl.Schema({"x": pl.Int64}))
    found = audit_of(one_column(float, pa.Check.lt(400), coerce=True)).apply(lf, lf.collect_schema())
    sinks = [
        found.good.sink_parquet(tmp_path / "good.parquet", lazy=True),
        found.bad.sink_parquet(tmp_path / "bad.parquet", lazy=True),
    ]
    *_, counts = pl.collect_all([*sinks, found.counts])
    assert Counts.of(counts).invalid == 600
    assert pl.read_parquet(tmp_path / "good.parquet").height == 400
    assert pl.read_parquet(tmp_path / "bad.parquet").height == 600
    assert passes == [1000]


def test_without_a_schema_every_row_is_good() -> None:
    frame = pl.DataFrame({"x": [1, None]})
    found = NO_AUDIT.apply(frame.lazy(), frame.schema)
    assert_frame_equal(found.good.collect(), frame)
    assert found.bad.collect().schema == {"x": pl.Int64, CHECKS: pl.List(pl.String)}
    assert Counts.of(found.counts.collect()) == Counts(2, 0, {})
    assert NO_AUDIT.schema_problems(frame.schema) == []
    assert NO_AUDIT.barriers(frame.columns) == ()


class TestCoercion:
    def test_a_value_that_does_not_fit_fails_once_and_keeps_its_own_value(self) -> None:
        frame = pl.DataFrame({"x": ["1", "two", None, "4"]})
        found = audited(one_column(int, pa.Check.ge(2, ignore_na=False), nullable=True, coerce=True), frame)
        assert found.good.collect().to_dict(as_series=False) == {"x": [4]}
        assert found.bad.collect().to_dict(as_series=False) == {
            "x": ["1", "two", None],
            CHECKS: [["x: greater_than_or_equal_to(2)"], ["x: coerce Int64"], ["x: greater_than_or_equal_to(2)"]],
        }
        assert found.all.collect()["x"].to_list() == [1, None, None, 4]

    @pytest.mark.parametrize(
        ("values", "dtype"),
        [
            (["1", "x", None, "2.5", ""], pl.Int64),
            ([1, 300, None, -1], pl.UInt8),
            ([1.0, 2.7, math.nan, 1e300, None], pl.Int64),
            (["1.5", "x", None], pl.Float64),
            (["a", "z", None], pl.Enum(["a", "b"])),
            (["1.25", "x", None], pl.Decimal(10, 2)),
            ([1, 2, None], pl.String),
        ],
    )
    def test_coercion_fails_where_pandera_fails(self, values: list[Any], dtype: Any) -> None:
        frame = pl.DataFrame({"x": values})
        # Pandera takes every NULL for a failure as soon as one value fails.
        nulls = {row for row, value in enumerate(values) if value is None}
        schema = one_column(dtype, nullable=True, coerce=True)
        assert failing(schema, frame) == failing_in_pandera(schema, frame) - nulls

    @pytest.mark.parametrize(
        ("values", "source", "target", "lost"),
        [
            ([["1", "x"], ["1", None], None, []], pl.List(pl.String), pl.List(pl.Int64), [0]),
            ([["1", "x"], ["1", "2"], None], pl.Array(pl.String, 2), pl.Array(pl.Int64, 2), [0]),
            (
                [{"a": "x"}, {"a": "1"}, {"a": None}, None],
                pl.Struct({"a": pl.String}),
                pl.Struct({"a": pl.Int64}),
                [0],
            ),
            (
                [[{"a": ["1"]}], [{"a": ["1", "x"]}], [None], None],
                pl.List(pl.Struct({"a": pl.List(pl.String)})),
                pl.List(pl.Struct({"a": pl.List(pl.Int64)})),
                [1],
            ),
        ],
    )
    def test_a_value_lost_inside_a_nested_one_fails_its_row(
        self, values: list[Any], source: Any, target: Any, lost: list[int]
    ) -> None:
        frame = pl.DataFrame({"x": pl.Series(values, dtype=source)})
        found = audited(one_column(target, nullable=True, coerce=True), frame.with_row_index(ROW))
        assert found.bad.collect()[ROW].to_list() == lost

    def test_the_whole_schema_can_coerce_and_a_type_that_fits_is_no_check(self) -> None:
        schema = pa.DataFrameSchema({"x": pa.Column(int), "y": pa.Column(float)}, coerce=True)
        found = audited(schema, pl.DataFrame({"x": [1], "y": [1]}))
        assert found.all.collect_schema() == {"x": pl.Int64, "y": pl.Float64}
        assert [check.name for check in found.checks] == ["x: not_nullable", "y: coerce Float64", "y: not_nullable"]


class TestColumns:
    def test_defaults_fill_null_and_nan_as_in_pandera(self) -> None:
        schema = pa.DataFrameSchema({"x": pa.Column(float, default=3.0), "^s_.*$": pa.Column(str, default="none")})
        frame = pl.DataFrame({"x": [1.0, None, math.nan], "s_1": ["a", None, "b"]})
        assert_frame_equal(audited(schema, frame).good.collect(), schema.validate(frame))

    def test_missing_columns_are_added_as_in_pandera(self) -> None:
        schema = pa.DataFrameSchema(
            {"b": pa.Column(int, pa.Check.lt(3), default=3), "a": pa.Column(int), "c": pa.Column(str, nullable=True)},
            add_missing_columns=True,
        )
        frame = pl.DataFrame({"q": [1, 2], "a": [2, 3]})
        assert audit_of(schema).schema_problems(frame.schema) == []
        assert_frame_equal(audited(schema, frame).good.collect(), schema.validate(frame, lazy=True))

    def test_strict_filter_drops_what_is_not_declared(self) -> None:
        schema = pa.DataFrameSchema({"x": pa.Column(int), "y": pa.Column(int, required=False)}, strict="filter")
        frame = pl.DataFrame({"x": [1, None], "z": [1, 2]})
        assert audit_of(schema).schema_problems(frame.schema) == []
        found = audited(schema, frame)
        assert_frame_equal(found.good.collect(), pl.DataFrame({"x": [1]}))
        assert found.bad.collect_schema().names() == ["x", CHECKS]

    def test_a_pattern_governs_the_columns_that_are_not_named(self) -> None:
        schema = pa.DataFrameSchema({"v_.*": pa.Column(int, pa.Check.gt(0), regex=True), "v_0": pa.Column(int)})
        frame = pl.DataFrame({"v_0": [-1], "v_1": [-1], "v_2": [1]})
        failed = {name: count for name, count in counted(schema, frame).failed.items() if count}
        assert failed == {"v_1: greater_than(0)": 1}
        assert audit_of(schema).schema_problems(frame.schema) == []
