"""Customers, from the shop's database into the warehouse."""

import polars as pl


def customers(shop_customers: pl.LazyFrame) -> pl.LazyFrame:
    """What is known of each customer, and since when: the table keeps the history."""
    return shop_customers.select("customer_id", "city", "tier", "updated_at")
