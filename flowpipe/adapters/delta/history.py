"""What observations change in the history of a type 2 dimension: pure, from frames to one frame.

A key's history is what happened to it, in order: a version begins, is observed, or ends. Only what comes out of it
otherwise than it stands in the table is a change.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from flowpipe.adapters.versions import IS_CURRENT, VALID_FROM, VALID_TO, tracked
from flowpipe.datasets import DatasetConfig

# Whether a changed version is there afterwards.
STAYS = "__flowpipe_stays"
_KIND, _BEFORE = "__flowpipe_kind", "__flowpipe_before"
# In the order in which one at the same moment takes the other's place: the end of a version that no other follows, a
# version, an observation, and the end that `missing: close` brings.
_ENDED, _VERSION, _OBSERVED, _CLOSED = range(4)


def closing(there: pl.LazyFrame, observed: pl.LazyFrame, config: DatasetConfig, run_time: datetime) -> pl.LazyFrame:
    """The versions that `missing: close` ends; one that began after this run is not this run's to close."""
    moment = pl.lit(run_time).cast(there.collect_schema()[VALID_FROM])
    current = there.filter(pl.col(IS_CURRENT) & (pl.col(VALID_FROM) <= moment))
    return current.join(observed, on=config.key, how="anti")


def changes(there: pl.LazyFrame, observed: pl.LazyFrame, config: DatasetConfig, run_time: datetime) -> pl.LazyFrame:
    """The versions that begin, change or vanish, by key and `valid_from`, in the columns of the table and `STAYS`.

    `there` is the whole table, `observed` the staged rows in the table's types; columns may be missing in them.
    """
    schema = there.collect_schema()
    news = observed.collect_schema().names()
    latest = _latest(_happened(there, observed, config, run_time), list(schema), news, config.key)
    is_open = pl.col(_KIND).is_between(_VERSION, _OBSERVED)
    last = pl.col(_KIND).shift(1).over(config.key)
    differs = [
        pl.col(name).ne_missing(pl.col(name).shift(1).over(config.key)) for name in tracked(config, news)
    ]  # fmt: skip
    begins = pl.any_horizontal(
        ~last.is_between(_VERSION, _OBSERVED).fill_null(value=False),
        # Versions that stand side by side already stay, also when `track:` has become shorter since.
        (pl.col(_KIND) == _VERSION) & (last == _VERSION).fill_null(value=False),
        *differs,
    )
    bounds = pl.when(pl.col(STAYS) | ~is_open).then(pl.col(VALID_FROM))
    ends = bounds.shift(-1).backward_fill().over(config.key)
    is_change = (
        pl.when(pl.col(_KIND) == _VERSION)
        .then(
            ~pl.col(STAYS)
            | pl.col(VALID_TO).ne_missing(pl.col("__flowpipe_ends"))
            | pl.col(IS_CURRENT).ne_missing(pl.col("__flowpipe_ends").is_null())
        )
        .otherwise(pl.col(STAYS) | (pl.col(_BEFORE) == _VERSION).fill_null(value=False))
    )
    return (
        latest.with_columns((is_open & begins).alias(STAYS))
        .with_columns(ends.alias("__flowpipe_ends"))
        .filter(is_change)
        .with_columns(pl.col("__flowpipe_ends").alias(VALID_TO), pl.col("__flowpipe_ends").is_null().alias(IS_CURRENT))
        .select(*schema, STAYS)
    )


def _happened(there: pl.LazyFrame, observed: pl.LazyFrame, config: DatasetConfig, run_time: datetime) -> pl.LazyFrame:
    schema = there.collect_schema()
    versions = there.join(observed, on=config.key, how="semi")
    parts = []
    if config.missing == "close":
        gone = closing(there, observed, config, run_time)
        versions = pl.concat([versions, gone])
        parts.append(gone.with_columns(pl.lit(run_time).cast(schema[VALID_FROM]).alias(VALID_FROM)))
    begun = versions.select(*config.key, pl.col(VALID_FROM).alias(VALID_TO))
    ended = versions.filter(pl.col(VALID_TO).is_not_null()).join(begun, on=[*config.key, VALID_TO], how="anti")
    names = observed.collect_schema().names()
    seen = observed.select(
        pl.col(name) if name in names else pl.lit(None, dtype).alias(name) for name, dtype in schema.items()
    )
    kinds = [_VERSION, _ENDED, _OBSERVED, _CLOSED]
    every = [versions, ended.with_columns(pl.col(VALID_TO).alias(VALID_FROM)), seen, *parts]
    return pl.concat(
        [part.with_columns(pl.lit(kind, pl.Int8).alias(_KIND)) for part, kind in zip(every, kinds, strict=False)]
    )


def _latest(happened: pl.LazyFrame, columns: list[str], news: list[str], key: list[str]) -> pl.LazyFrame:
    """Of all that happened to a key at one moment the last; what it lacks comes from that whose place it takes."""
    moment, kind = [*key, VALID_FROM], pl.col(_KIND)
    of_version = (pl.col(_KIND) == _OBSERVED) & (pl.col(_BEFORE) == _VERSION)
    return (
        happened.sort(*moment, _KIND)
        .with_columns(kind.shift(1).over(moment).alias(_BEFORE), kind.shift(-1).over(moment).alias(STAYS))
        .with_columns(
            pl.when(of_version).then(pl.col(name).shift(1)).otherwise(pl.col(name)).alias(name)
            for name in columns
            if name not in news
        )
        .filter(pl.col(STAYS).is_null())
    )
