"""The report: how the categories share each month's revenue."""

import polars as pl
from polars import col


def sales_report(monthly_sales: pl.LazyFrame) -> pl.LazyFrame:
    """One row for each month and category, the strongest first; the share is in percent."""
    share = 100 * col("revenue") / col("revenue").sum().over("month")
    return monthly_sales.with_columns(share=share.round(1)).sort("month", "revenue", descending=[False, True])
