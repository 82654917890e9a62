"""Uniqueness and custom checks are run on staged rows, which they split."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pandera.polars as pa
import polars as pl
from polars.testing import assert_frame_equal

from flowpipe.audit import Audit, compile_schema
from flowpipe.rules import CHECKS


def audit_of(schema: object, on_invalid: Any = "quarantine") -> Audit:
    return compile_schema(schema, on_invalid=on_invalid)


def one_column(dtype: Any, *checks: pa.Check, **options: Any) -> pa.DataFrameSchema:
    return pa.DataFrameSchema({"x": pa.Column(dtype, list(checks), **options)})


class Daily(pa.DataFrameModel):
    carrier: str
    day: int
    delay: Annotated[pl.Decimal, 9, 2] = pa.Field(nullable=True)

    class Config:
        unique: ClassVar = ["carrier", "day"]

    @pa.check("day")
    @classmethod
    def is_odd(cls, data: Any) -> Any:
        return data.lazyframe.select(pl.col(data.key) % 2 == 1)

    @pa.dataframe_check
    @classmethod
    def has_two_carriers(cls, data: Any) -> Any:
        return data.lazyframe.select(pl.col("carrier").n_unique() >= 2)


def staged(carriers: list[str | None], days: list[int], folder: Path) -> pl.LazyFrame:
    frame = pl.DataFrame({"carrier": carriers, "day": days, "delay": [Decimal("1.50")] * len(days)})
    frame.with_columns(pl.col("delay").cast(pl.Decimal(9, 2))).write_parquet(folder / "staged.parquet")
    return pl.scan_parquet(folder / "staged.parquet")


class TestBarriers:
    def test_are_named_in_the_order_of_the_schema(self) -> None:
        names = [barrier.name for barrier in audit_of(Daily).barriers(["carrier", "day", "delay"])]
        assert names == ["day: is_odd", "unique(carrier, day)", "has_two_carriers"]

    def test_quarantine_splits_the_staged_rows_and_names_what_failed(self, tmp_path: Path) -> None:
        lf = staged(["AA", "UA", "AA", None, None, "B6"], [1, 2, 1, 4, 4, 3], tmp_path)
        found = audit_of(Daily).check_staged(lf)
        assert found.failed == {"day: is_odd": 3, "unique(carrier, day)": 4, "has_two_carriers": 0}
        assert (found.invalid, found.whole_failures) == (5, ())
        assert found.good.collect().select("carrier", "day").rows() == [("B6", 3)]
        both = ["day: is_odd", "unique(carrier, day)"]
        assert found.bad.collect().select("carrier", "day", CHECKS).rows() == [
            ("AA", 1, ["unique(carrier, day)"]),
            ("UA", 2, ["day: is_odd"]),
            ("AA", 1, ["unique(carrier, day)"]),
            (None, 4, both),
            (None, 4, both),
        ]

    def test_fail_and_warn_only_count(self, tmp_path: Path) -> None:
        lf = staged(["AA", "AA", "UA"], [2, 2, 1], tmp_path)
        found = audit_of(Daily, "warn").check_staged(lf)
        assert found.failed == {"day: is_odd": 2, "unique(carrier, day)": 2, "has_two_carriers": 0}
        assert found.invalid == 3
        assert found.good.collect().height == 3
        assert found.bad.collect().height == 0

    def test_nothing_failing_leaves_the_rows_as_they_are(self, tmp_path: Path) -> None:
        lf = staged(["AA", "UA"], [1, 1], tmp_path)
        found = audit_of(Daily).check_staged(lf)
        assert (found.invalid, set(found.failed.values())) == (0, {0})
        assert_frame_equal(found.good.collect(), lf.collect())
        assert found.bad.collect_schema() == {**lf.collect_schema(), CHECKS: pl.List(pl.String)}

    def test_a_check_of_the_frame_fails_the_rows_as_a_whole(self, tmp_path: Path) -> None:
        found = audit_of(Daily).check_staged(staged(["AA", "AA"], [1, 3], tmp_path))
        assert found.whole_failures == ("has_two_carriers: failed for the rows as a whole",)
        assert found.invalid == 0

    def test_a_check_of_the_frame_that_only_warns_counts_every_row(self) -> None:
        schema = one_column(int, pa.Check(lambda _: False, name="never", raise_warning=True))
        found = audit_of(schema).check_staged(pl.LazyFrame({"x": [1, 2]}))
        assert (found.failed, found.invalid, found.whole_failures) == ({"x: never": 2}, 0, ())

    def test_a_check_that_raises_fails_with_its_own_text(self) -> None:
        def broken(data: Any) -> bool:
            raise LookupError("no rates for 2013\nsecond line")

        found = audit_of(one_column(int, pa.Check(broken))).check_staged(pl.LazyFrame({"x": [1]}))
        assert found.whole_failures == ("x: broken: raised LookupError: no rates for 2013",)

    def test_a_check_of_another_height_says_so(self) -> None:
        halved = pa.Check(lambda data: data.lazyframe.head(2).select(pl.col("x") > 0), name="halved")
        found = audit_of(one_column(int, halved)).check_staged(pl.LazyFrame({"x": [1, 2, 3]}))
        assert found.whole_failures == ("x: halved: returned 2 values for 3 rows",)

    def test_unique_values_eq_is_of_the_whole_column(self) -> None:
        audit = audit_of(one_column(str, pa.Check.unique_values_eq(["a", "b"])))
        assert audit.check_staged(pl.LazyFrame({"x": ["a", "b", "a"]})).whole_failures == ()
        assert audit.check_staged(pl.LazyFrame({"x": ["a", "a"]})).whole_failures == (
            "x: unique_values_eq(['a', 'b']): failed for the rows as a whole",
        )

    def test_several_sets_of_columns_can_be_unique(self) -> None:
        schema = pa.DataFrameSchema({"x": pa.Column(int, unique=True), "y": pa.Column(int)}, unique=[["x", "y"], ["y"]])
        found = audit_of(schema).check_staged(pl.LazyFrame({"x": [1, 2, 2], "y": [1, 1, 2]}))
        assert found.failed == {"x: unique": 2, "unique(x, y)": 0, "unique(y)": 2}
