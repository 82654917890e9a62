"""Makes the benchmark's one CSV file from the monthly Parquet files: `make_csv.py FOLDER FILE`."""

from __future__ import annotations

import sys

import polars as pl

if __name__ == "__main__":
    folder, file = sys.argv[1:]
    pl.scan_parquet(f"{folder}/*.parquet").sink_csv(file)
