"""What the shop sells each day."""

import polars as pl
from polars import col


def paid_orders(orders: pl.LazyFrame) -> pl.LazyFrame:
    """The orders that were paid for, with what each brought in.

    `orders` is a dataset of conf/catalog.yml.
    """
    return orders.filter(col("status") == "paid").with_columns(revenue=col("quantity") * col("unit_price"))


def daily_sales(paid_orders: pl.LazyFrame, big_order: float) -> pl.LazyFrame:
    """One row for each day, in order: its orders, those of at least `big_order`, and its revenue.

    `paid_orders` is the function above; `big_order` is a param of conf/pipelines/daily_sales.yml.
    """
    return (
        paid_orders.group_by(date=col("ordered_at").dt.date())
        .agg(
            orders=pl.len(),
            big_orders=(col("revenue") >= big_order).sum(),
            revenue=col("revenue").sum().round(2),
        )
        .sort("date")
    )
