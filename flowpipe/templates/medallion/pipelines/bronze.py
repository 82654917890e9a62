"""Bronze: what landed, kept as it came."""

import polars as pl
from polars import col


def bronze_orders(raw_orders: pl.LazyFrame) -> pl.LazyFrame:
    """Every row of the month's files as text, with the day it was ordered on, by which the table is cut."""
    return raw_orders.with_columns(ordered_on=col("ordered_at").str.to_datetime().dt.date())
