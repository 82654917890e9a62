"""Orders, from the shop's database into the warehouse."""

import polars as pl
from polars import col


def orders(shop_orders: pl.LazyFrame) -> pl.LazyFrame:
    """The orders that are new or changed, each with its revenue: nothing, if it was cancelled."""
    revenue = pl.when(col("status") == "paid").then(col("quantity") * col("unit_price")).otherwise(0.0)
    return shop_orders.with_columns(revenue=revenue.round(2))
