"""The script one would write without flowpipe."""

from __future__ import annotations

from pathlib import Path

import duckdb
import hamilton.driver  # noqa: F401  (the comparison is with Polars and Hamilton's bare import)
import polars as pl
from polars import col

out = Path("data/out")
out.mkdir(parents=True)
delays = (
    pl.scan_csv("data/landing/flights.csv")
    .group_by("carrier", "month", "day")
    .agg(
        flights=pl.len(),
        mean_delay=col("dep_delay").mean(),
        median_delay=col("dep_delay").median(),
        p95_delay=col("dep_delay").quantile(0.95, "linear"),
    )
)
delays.sink_parquet(out / "delays.parquet")
with duckdb.connect(out / "delays.duckdb") as connection:
    connection.execute(f"CREATE TABLE delays AS FROM '{out}/delays.parquet'")
