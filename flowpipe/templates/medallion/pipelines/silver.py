"""Silver: each order once, in its types."""

import polars as pl
from polars import col


def unique_orders(bronze_orders: pl.LazyFrame) -> pl.LazyFrame:
    """The orders without those that were delivered again."""
    return bronze_orders.unique(subset="order_id", keep="any")


def orders(unique_orders: pl.LazyFrame) -> pl.LazyFrame:
    """One row for each order, in the order of time.

    The schema of the catalog gives the columns their types, and rejects what does not fit them.
    """
    return unique_orders.drop("ordered_on").with_columns(col("ordered_at").str.to_datetime()).sort("ordered_at")
