"""A few rows for each day."""

from datetime import datetime

import polars as pl


def days(partition: datetime) -> pl.LazyFrame:
    """What one day holds."""
    start = partition.replace(tzinfo=None)
    return pl.LazyFrame({"at": [start] * 10, "number": range(10)})
