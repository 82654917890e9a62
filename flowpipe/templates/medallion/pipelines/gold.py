"""Gold: what the shop sold, by month and category."""

from datetime import date

import polars as pl
from polars import col


def sold(orders: pl.LazyFrame, products: pl.LazyFrame) -> pl.LazyFrame:
    """The paid orders, with their category and revenue."""
    return (
        orders.filter(col("status") == "paid")
        .join(products, on="product_id", how="left", validate="m:1")
        .with_columns(revenue=col("quantity") * col("unit_price"))
    )


def monthly_sales(sold: pl.LazyFrame, partition: date) -> pl.LazyFrame:
    """One row for each category in the month of the step; `partition` is its first day."""
    return (
        sold.group_by("category")
        .agg(
            orders=pl.len(),
            customers=col("customer_id").n_unique(),
            revenue=col("revenue").sum().round(2),
        )
        .select(pl.lit(partition).alias("month"), pl.all())
    )
