"""What a key must be before rows are published: never NULL, and once; `order_by` chooses between rows of one key."""

from __future__ import annotations

import polars as pl

from flowpipe.adapters import Staged, versions
from flowpipe.datasets import DatasetConfig
from flowpipe.sinks import run_plans

_EXAMPLES = 3
_NEWEST = "__flowpipe_newest"


def problems(staged: Staged, config: DatasetConfig) -> list[str]:
    """NULL and duplicate keys among staged rows, with examples."""
    key = config.key if config.mode == "merge" else [*config.key, versions.VALID_FROM]
    if config.mode not in {"merge", "snapshot"} or not staged.rows:
        return []
    keys = staged.scan().select(key)
    some = pl.any_horizontal(pl.col(name).is_null() for name in key)
    nulls, twice = run_plans(
        [_first(keys.filter(some), key), _first(keys.group_by(key).len().filter(pl.col("len") > 1), key)]
    )
    found = []
    if nulls.height:
        found.append(f"key {', '.join(key)} is NULL, as in {_examples(nulls)}")
    if twice.height:
        found.append(f"key {', '.join(key)} is not unique, as in {_examples(twice.drop('len'))}")
    return found


def newest(staged: Staged, config: DatasetConfig) -> pl.LazyFrame | None:
    """The newest row of each key by `order_by`; None where that is all rows.

    Rows of a key that are as new as one another all stay: they are duplicates, which `problems` tells.
    """
    key, age = config.key, config.order_by
    if config.mode != "merge" or not age or not staged.rows:
        return None
    rows = staged.scan()
    (repeated,) = run_plans([rows.group_by(key).len().filter(pl.col("len") > 1).head(1)])
    if repeated.is_empty():
        return None
    best = rows.group_by(key).agg(pl.col(age).max().alias(_NEWEST))
    kept = rows.join(best, on=key, nulls_equal=True).filter(pl.col(age).eq_missing(pl.col(_NEWEST)))
    return kept.drop(_NEWEST)


def _first(rows: pl.LazyFrame, key: list[str]) -> pl.LazyFrame:
    """A few rows, the same each time."""
    return rows.sort(key).head(_EXAMPLES)


def _examples(rows: pl.DataFrame) -> str:
    return "; ".join(", ".join(f"{name}={value!r}" for name, value in row.items()) for row in rows.to_dicts())
