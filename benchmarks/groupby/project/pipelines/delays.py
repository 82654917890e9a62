"""Departure delays by carrier and day."""

import polars as pl
from polars import col


def delays(flights: pl.LazyFrame) -> pl.LazyFrame:
    """One row per carrier and day."""
    return flights.group_by("carrier", "month", "day").agg(
        flights=pl.len(),
        mean_delay=col("dep_delay").mean(),
        median_delay=col("dep_delay").median(),
        p95_delay=col("dep_delay").quantile(0.95, "linear"),
    )


def delay_table(delays: pl.LazyFrame) -> pl.LazyFrame:
    """The same rows, for the warehouse."""
    return delays
