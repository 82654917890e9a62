"""Items as they are written to every store."""

import polars as pl
from polars import col


def items(lineitem: pl.LazyFrame) -> pl.LazyFrame:
    """The items of more than one piece; `revenue` is after the discount."""
    return lineitem.filter(col("l_quantity") > 1).select(
        order="l_orderkey",
        line="l_linenumber",
        part="l_partkey",
        supplier="l_suppkey",
        quantity=col("l_quantity").cast(pl.Float64),
        price=col("l_extendedprice").cast(pl.Float64),
        revenue=col("l_extendedprice").cast(pl.Float64) * (1 - col("l_discount").cast(pl.Float64)),
        tax=col("l_tax").cast(pl.Float64),
        flag="l_returnflag",
        shipped="l_shipdate",
        received="l_receiptdate",
        days_late=(col("l_receiptdate") - col("l_commitdate")).dt.total_days().cast(pl.Int32),
        mode="l_shipmode",
        comment="l_comment",
    )


def first_items(items: pl.LazyFrame, last_order: int = 10_000_000) -> pl.LazyFrame:
    """Items of the orders up to a number."""
    return items.filter(col("order") <= last_order)


def ordered_items(items: pl.LazyFrame, orders: pl.LazyFrame) -> pl.LazyFrame:
    """Items with what is known of their orders."""
    return items.join(
        orders.select("o_orderkey", customer="o_custkey", ordered="o_orderdate", priority="o_orderpriority"),
        left_on="order",
        right_on="o_orderkey",
    )


def items_of_years(items: pl.LazyFrame) -> pl.LazyFrame:
    """Items with the year in which they were shipped."""
    return items.with_columns(year=col("shipped").dt.year().cast(pl.Int32))
