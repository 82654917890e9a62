"""Columns that differ from a schema, and checks that cannot run on them, are said before a row is read."""

from __future__ import annotations

from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

from flowpipe.audit import Audit, compile_schema


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


@pytest.mark.parametrize(
    ("columns", "problems"),
    [
        ({"carrier": pl.String(), "flights": pl.Int64(), "share": pl.String()}, []),
        (
            {"carier": pl.String(), "flights": pl.Int32(), "share": pl.List(pl.Float64())},
            [
                'carrier: expected String, it is missing; did you mean "carier"?',
                "flights: expected Int64, actual Int32",
                "share: expected Float64, actual List(Float64), which cannot be coerced value by value",
                'carier: not in the schema, which is strict; did you mean "carrier"?',
            ],
        ),
        (
            {"flights": pl.Int64(), "carrier": pl.String(), "share": pl.Float64()},
            ["columns are out of order: expected carrier, flights, share, actual flights, carrier, share"],
        ),
    ],
)
def test_columns_that_differ_from_the_schema_are_named(columns: dict[str, pl.DataType], problems: list[str]) -> None:
    assert audit_of(Carriers).schema_problems(columns) == problems


@pytest.mark.parametrize(
    ("schema", "columns", "problem"),
    [
        (
            pa.DataFrameSchema({"^v_.*$": pa.Column(int)}),
            {"x": pl.Int64()},
            "^v_.*$: expected columns of this pattern, there is none",
        ),
        (
            pa.DataFrameSchema({"x": pa.Column(int)}, unique=["x", "dya"]),
            {"x": pl.Int64(), "day": pl.Date()},
            'dya: expected by unique, it is missing; did you mean "day"?',
        ),
        (
            pa.DataFrameSchema({"x": pa.Column(int)}, add_missing_columns=True),
            {"y": pl.Int64()},
            "x: missing, and neither nullable nor with a default to add it with",
        ),
        (pa.DataFrameSchema({"x": pa.Column()}), {"y": pl.Int64()}, "x: expected a column, it is missing"),
        (
            one_column(pl.Date, coerce=True),
            {"x": pl.String()},
            "x: expected Date, actual String, which cannot be coerced value by value",
        ),
        (
            one_column(pl.Int64, coerce=True),
            {"x": pl.Struct({"a": pl.Int64})},
            "x: expected Int64, actual Struct({'a': Int64}), which cannot be coerced value by value",
        ),
        (
            one_column(pl.String, coerce=True),
            {"x": pl.Binary()},
            "x: expected String, actual Binary, which cannot be coerced value by value",
        ),
        (
            one_column(int, pa.Check.gt("a")),
            {"x": pl.Int64()},
            "x: greater_than(a) cannot be computed: cannot compare string with numeric type (i64)",
        ),
        (
            one_column(int, pa.Check.isin(["a"])),
            {"x": pl.Int64()},
            "x: isin(['a']) cannot be computed: 'is_in' cannot check for Int64 values in List(String) data",
        ),
    ],
)
def test_what_cannot_be_checked_is_said_before_a_row_is_read(
    schema: object, columns: dict[str, pl.DataType], problem: str
) -> None:
    assert audit_of(schema).schema_problems(columns) == [problem]


def test_every_type_of_column_can_be_sampled() -> None:
    types: list[Any] = [
        *(pl.Int8, pl.UInt64, pl.Int128, pl.Float32, pl.Boolean, pl.String, pl.Binary, pl.Null),
        *(pl.Date, pl.Time, pl.Duration("ms"), pl.Datetime("us"), pl.Datetime("ns", "Europe/Berlin")),
        *(pl.Categorical(), pl.Enum(["a"]), pl.Enum([]), pl.Decimal(9, 2)),
        pl.List(pl.Struct({"a": pl.Array(pl.Decimal(9, 2), 2)})),
    ]
    columns = pl.Schema({str(dtype): dtype for dtype in types})
    assert audit_of(pa.DataFrameSchema({"Int8": pa.Column(pl.Int8)})).schema_problems(columns) == []


def test_how_text_becomes_what_is_declared_is_said() -> None:
    declared = pa.DataFrameSchema(
        {
            "day": pa.Column(pl.Date),
            "at": pa.Column(pl.Datetime("us", "UTC")),
            "seen": pa.Column(pl.Datetime("us")),
            "amount": pa.Column(pl.Float64),
            "price": pa.Column(pl.Decimal(10, 2)),
            "name": pa.Column(pl.String),
            "count": pa.Column(pl.Int64, coerce=True),
        }
    )
    audit = compile_schema(declared, on_invalid="fail")
    texts = pl.Schema(dict.fromkeys(declared.columns, pl.String()))
    assert audit.way_out(texts) == (
        'return the columns that the schema declares; cast text: pl.col("day").str.to_date(), '
        'pl.col("at").str.to_datetime(time_zone="UTC"), pl.col("seen").str.to_datetime(), '
        'pl.col("amount").cast(pl.Float64), pl.col("price").cast(pl.Decimal(precision=10, scale=2))'
    )
    row = pl.DataFrame([dict.fromkeys(texts, "1")]).with_columns(
        day=pl.lit("2024-01-05"), at=pl.lit("2024-01-05 10:00")
    )
    row = row.with_columns(seen=pl.col("at"))
    casts = [eval(text, {"pl": pl}) for text in _expressions(audit.way_out(texts))]
    assert audit.schema_problems(row.with_columns(casts).schema) == []
    assert audit.way_out(pl.Schema()) == "return the columns that the schema declares"


def _expressions(told: str) -> list[str]:
    return [f"pl.col{each}" for each in told.partition("cast text: pl.col")[2].split(", pl.col")]
