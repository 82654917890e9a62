"""The year's ranking of carriers by punctuality."""

import polars as pl
from polars import col


def carrier_year(daily_delays: pl.LazyFrame) -> pl.LazyFrame:
    """The days of each carrier added up; its means weigh each day by the flights that departed."""
    departed = col("flights") - col("cancelled")
    return daily_delays.group_by("carrier").agg(
        flights=col("flights").sum(),
        cancelled=col("cancelled").sum(),
        mean_delay=(col("mean_delay") * departed).sum() / departed.sum(),
        late_share=(col("late_share") * departed).sum() / departed.sum(),
    )


def carrier_rank(carrier_year: pl.LazyFrame, airlines: pl.LazyFrame) -> pl.LazyFrame:
    """One row per carrier, in the order of rank: 1 has the smallest share of late departures.

    Columns: carrier, name (String), rank, flights, cancelled (Int32), mean_delay in minutes, late_share (Float64).
    """
    return (
        carrier_year.join(airlines, on="carrier", how="left", validate="1:1")
        .select(
            "carrier",
            "name",
            col("late_share").rank("min").cast(pl.Int32).alias("rank"),
            "flights",
            "cancelled",
            "mean_delay",
            "late_share",
        )
        .sort("rank", "carrier")
    )


def carrier_report(carrier_rank: pl.LazyFrame) -> pl.LazyFrame:
    """The ranking for people, in the order of rank: minutes with one decimal, shares in percent with two."""
    return carrier_rank.select(
        "rank",
        "name",
        "flights",
        cancelled_percent=(100 * col("cancelled") / col("flights")).round(2),
        late_percent=(100 * col("late_share")).round(2),
        mean_delay=col("mean_delay").round(1),
    )
