"""Items with their orders: what was sold, what came late, who bought."""

import polars as pl
from polars import col


def priced_items(lineitem: pl.LazyFrame, orders: pl.LazyFrame) -> pl.LazyFrame:
    """Every item with its order; `revenue` after the discount."""
    return lineitem.join(orders, left_on="l_orderkey", right_on="o_orderkey").select(
        order="l_orderkey",
        line="l_linenumber",
        customer="o_custkey",
        ordered="o_orderdate",
        shipped="l_shipdate",
        mode="l_shipmode",
        days_late=(col("l_receiptdate") - col("l_commitdate")).dt.total_days().cast(pl.Int32),
        quantity=col("l_quantity").cast(pl.Float64),
        revenue=(col("l_extendedprice") * (1 - col("l_discount"))).cast(pl.Float64),
    )


def sales(priced_items: pl.LazyFrame) -> pl.LazyFrame:
    """Every item."""
    return priced_items.drop("days_late")


def late_items(priced_items: pl.LazyFrame) -> pl.LazyFrame:
    """The items that arrived after the day that was promised."""
    return priced_items.filter(col("days_late") > 0).select("order", "line", "customer", "mode", "days_late")


def customers(priced_items: pl.LazyFrame) -> pl.LazyFrame:
    """What each customer bought."""
    return priced_items.group_by("customer").agg(
        items=pl.len().cast(pl.Int64), revenue=col("revenue").sum(), last_order=col("ordered").max()
    )
