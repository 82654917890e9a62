"""A few rows for each hour."""

from datetime import datetime

import polars as pl


def hours(partition: datetime) -> pl.LazyFrame:
    """What one hour holds."""
    start = partition.replace(tzinfo=None)
    return pl.LazyFrame({"at": [start] * 10, "number": range(10)})
