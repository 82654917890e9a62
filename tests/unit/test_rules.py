"""What a schema may ask for, how its checks are named, and that Pandera is imported late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

from flowpipe.audit import Audit, compile_schema, unsupported
from flowpipe.checks import Counts
from flowpipe.errors import ConfigError


def audit_of(schema: object, on_invalid: Any = "quarantine") -> Audit:
    return compile_schema(schema, on_invalid=on_invalid)


def one_column(dtype: Any, *checks: pa.Check, **options: Any) -> pa.DataFrameSchema:
    return pa.DataFrameSchema({"x": pa.Column(dtype, list(checks), **options)})


class Carriers(pa.DataFrameModel):
    carrier: str = pa.Field(str_length=2)
    flights: int
    share: float = pa.Field(coerce=True)

    class Config:
        strict = True
        ordered = True


def test_checks_are_named_and_counted_each() -> None:
    class Flights(pa.DataFrameModel):
        dep_delay: float = pa.Field(in_range=(-60, 1500), nullable=True)
        tailnum: str = pa.Field(str_startswith="N", isin=["N1", "N2"])

    frame = pl.DataFrame({"dep_delay": [-70.0, None, 5.0, 2000.0], "tailnum": ["N1", None, "D1", "N2"]})
    assert Counts.of(audit_of(Flights).apply(frame.lazy(), frame.schema).counts.collect()) == Counts(
        rows=4,
        invalid=4,
        failed={
            "dep_delay: in_range(-60, 1500)": 2,
            "tailnum: not_nullable": 1,
            "tailnum: isin(['N1', 'N2'])": 1,
            "tailnum: str_startswith('N')": 1,
        },
    )


def test_checks_of_the_same_name_are_numbered_and_long_names_are_cut() -> None:
    schema = one_column(int, pa.Check.ge(0), pa.Check.ge(0), pa.Check.isin(list(range(100))))
    names = audit_of(schema).apply(pl.LazyFrame({"x": [1]}), {"x": pl.Int64()}).counts.collect().columns[2:]
    assert names == [
        "x: not_nullable",
        "x: greater_than_or_equal_to(0)",
        "x: greater_than_or_equal_to(0) (2)",
        "x: isin([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, …",
    ]


def positive(data: Any) -> Any:
    return data.lazyframe.select(pl.col(data.key) > 0)


def exclude_first() -> pa.DataFrameSchema:
    with pytest.warns(UserWarning, match="report_duplicates"):
        return pa.DataFrameSchema(report_duplicates="exclude_first")


class TestRefusals:
    @pytest.mark.parametrize(
        ("schema", "problem"),
        [
            (
                pa.DataFrameSchema(drop_invalid_rows=True),
                "drop_invalid_rows would lose rows in silence; use on_invalid: quarantine",
            ),
            (
                one_column(int, drop_invalid_rows=True),
                "x: drop_invalid_rows would lose rows in silence; use on_invalid: quarantine",
            ),
            (
                pa.DataFrameSchema({"x": pa.Column(int, pa.Check(positive, groupby="y")), "y": pa.Column(int)}),
                "x: positive groups by columns, which Pandera ignores on Polars; write a check of the frame",
            ),
            (
                pa.DataFrameSchema(checks=pa.Check(positive, groupby="y")),
                "positive groups by columns, which Pandera ignores on Polars; write a check of the frame",
            ),
            (
                one_column(int, parsers=[abs]),
                "x: parsers are not supported on Polars; transform in the pipeline",
            ),
            (
                pa.DataFrameSchema(parsers=[abs]),
                "parsers are not supported on Polars; transform in the pipeline",
            ),
            (
                pa.DataFrameSchema(index=pa.Column(int)),
                "an index means nothing on Polars; declare a column",
            ),
            (
                pa.DataFrameSchema(dtype=float),
                "a dtype for the whole frame is not supported; give each column its own",
            ),
            (
                pa.DataFrameSchema(on_missing_columns="warn"),
                "on_missing_columns has no effect on Polars; remove it",
            ),
            (
                exclude_first(),
                "report_duplicates has no effect; remove it: duplicates are all rejected",
            ),
            (one_column(Carriers), "x: PanderaSchema coerces in a way of its own; cast it in the pipeline"),
            (
                pa.DataFrameSchema({"x": pa.Column("category")}, coerce=True),
                "x: Category coerces in a way of its own; cast it in the pipeline",
            ),
            (
                {"x": int},
                (
                    "not a Pandera DataFrameModel or DataFrameSchema for Polars, it is of type dict; "
                    "name one that is made with pandera.polars"
                ),
            ),
            (
                Path,
                (
                    "not a Pandera DataFrameModel or DataFrameSchema for Polars, it is the class Path; "
                    "name one that is made with pandera.polars"
                ),
            ),
        ],
    )
    def test_what_would_be_ignored_is_refused(self, schema: object, problem: str) -> None:
        assert unsupported(schema) == [problem]
        with pytest.raises(ConfigError) as caught:
            compile_schema(schema, on_invalid="fail")
        assert str(caught.value) == "\n  hint: ".join(problem.split("; "))

    def test_a_model_for_pandas_is_named(self) -> None:
        import pandera.pandas as pandas_pandera

        class Frame(pandas_pandera.DataFrameModel):
            x: int

        (problem,) = unsupported(Frame)
        assert problem == (
            "not a Pandera DataFrameModel or DataFrameSchema for Polars, it is the class Frame; "
            "import pandera.polars instead"
        )

    def test_a_multi_index_is_refused(self) -> None:
        class Frame(pa.DataFrameModel):
            x: int

            class Config:
                multiindex_strict = True

        assert unsupported(Frame) == ["multiindex_strict means nothing on Polars; remove it"]

    def test_a_model_that_pandera_does_not_build_says_why(self) -> None:
        class Frame(pa.DataFrameModel):
            x: list[Carriers]

        (problem,) = unsupported(Frame)
        assert problem == (
            "Frame is not a usable schema: Error while parsing field 'x': nesting a DataFrameModel inside a list "
            "(`list[test_rules.Carriers]`) is not yet supported. Only a single nested DataFrameModel/DataFrameSchema "
            "per struct column is currently supported, e.g. `foo: Foo` instead of `foos: List[Foo]`; "
            "annotate each column with a type that Pandera knows"
        )

    def test_a_schema_that_asks_for_nothing_odd_is_accepted(self) -> None:
        assert unsupported(Carriers) == []


def test_importing_the_audit_does_not_import_pandera() -> None:
    code = "import sys, flowpipe.audit, flowpipe.checks; sys.exit('pandera' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
