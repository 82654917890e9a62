"""The job by hand, `together` in one query or `apart` in three; prints its seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from polars import col

from benchmarks.tpch.project.pipelines.shipping import customers, late_items, priced_items, sales

MODES = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]
RULES: Mapping[str, list[pl.Expr]] = {
    "sales": [col("quantity").is_between(1, 50), col("revenue") > 0, col("mode").is_in(MODES)],
    "late_items": [col("days_late") > 0],
    "customers": [col("items") > 0, col("revenue") > 0],
}


def outputs(priced: pl.LazyFrame) -> dict[str, pl.LazyFrame]:
    """The three outputs by name."""
    return {"sales": sales(priced), "late_items": late_items(priced), "customers": customers(priced)}


def branches(name: str, frame: pl.LazyFrame) -> list[pl.LazyFrame]:
    """The sink of an output, and the number of its rows that break each rule."""
    shared = frame.cache()
    sink = shared.sink_parquet(f"data/out/{name}.parquet", compression="snappy", lazy=True)
    return [sink, shared.select((~rule).sum().alias(str(number)) for number, rule in enumerate(RULES[name]))]


def run(mode: str) -> None:
    """Write all outputs.

    Raises:
        ValueError: a row breaks a rule.
    """
    priced = priced_items(
        pl.scan_parquet("data/landing/lineitem.parquet"), pl.scan_parquet("data/landing/orders.parquet")
    )
    if mode == "together":
        collected = [[query for name, frame in outputs(priced.cache()).items() for query in branches(name, frame)]]
    else:
        collected = [branches(name, frame) for name, frame in outputs(priced).items()]
    for queries in collected:
        for broken in pl.collect_all(queries)[1::2]:
            if any(broken.row(0)):
                raise ValueError(f"rows break the rules: {broken.to_dicts()}")


if __name__ == "__main__":
    Path("data/out").mkdir()
    started = time.perf_counter()
    run(sys.argv[1])
    print(time.perf_counter() - started)
