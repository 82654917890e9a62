"""What a type 2 dimension is made of, and how much `missing:` may take: what all stores must agree on.

A snapshot's staged rows are observations in the shape of the table: `valid_from` is set, `valid_to` is NULL and
`is_current` true. A publish makes of a key's versions and its new observations one history:

1. In the order of `valid_from`; of two at one moment the new one stays, so that a repeated or corrected run is right.
2. An observation that equals the one before it in every tracked column begins no version and is left out; the version
   before it keeps its values. After a gap it begins one: the key has come back.
3. A version is valid until the next one begins; `valid_to` of the last is NULL and it alone `is_current`. A version
   that was closed (`missing: close`, or by hand) while nothing followed at that moment stays closed: a gap. What is
   put before a gap ends with it; an observation at the moment of closing undoes it.
4. Under `missing: close`, current versions whose key has no observation are closed at the run's time, which is the
   observations' `valid_from`. One that began at that very moment vanishes; one that began later stays.

So late rows are put where they belong, and a run that is repeated changes nothing. Keys that are neither observed nor
closed are not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import polars as pl

from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError, unknown
from flowpipe.fields import RowLimit

VALID_FROM, VALID_TO, IS_CURRENT = COLUMNS = ("valid_from", "valid_to", "is_current")


def tracked(config: DatasetConfig, columns: Iterable[str]) -> list[str]:
    """The columns whose change begins a new version: `track:`, else all but the key and what says since when.

    >>> tracked(DatasetConfig(store="s", table="t", mode="snapshot", key=["id"]), ["id", "city", *COLUMNS])
    ['city']
    """
    if config.track:
        return list(config.track)
    return [name for name in columns if name not in {*config.key, config.effective, *COLUMNS}]


def problems(config: DatasetConfig, columns: Mapping[str, pl.DataType]) -> list[str]:
    """Why rows of these columns cannot be observations of this snapshot."""
    found = [f"column {name} is added by mode: snapshot" for name in COLUMNS if name in columns]
    effective = config.effective
    if effective == "run_time":
        return found
    if effective not in columns:
        problem = unknown("column", effective, columns)
        found.append(f"effective: {problem.message}; {problem.hint}")
    elif not isinstance(columns[effective], (pl.Date, pl.Datetime)):
        found.append(f"effective: column {effective} is {columns[effective]}, not a Date or Datetime")
    return found


def observed(frame: pl.LazyFrame, config: DatasetConfig, run_time: datetime) -> pl.LazyFrame:
    """Rows without `problems` as observations: the three columns stand last, `valid_to` of the type of `valid_from`."""
    moment = pl.Datetime("us", "UTC")
    columns, at_run = frame.collect_schema(), config.effective == "run_time"
    return frame.with_columns(
        (pl.lit(run_time, moment) if at_run else pl.col(config.effective)).alias(VALID_FROM),
        pl.lit(None, moment if at_run else columns[config.effective]).alias(VALID_TO),
        pl.lit(value=True).alias(IS_CURRENT),
    )


def refuse_too_many(config: DatasetConfig, dataset: str, taken: int, rows: int) -> None:
    """Hold what `missing: delete` or `close` would take to `max_deleted`; `rows` are those that it may choose from.

    Raises:
        DataError: it is too many; nothing may be published.
    """
    if not taken or config.max_deleted is None or RowLimit.parse(config.max_deleted).allows(taken, rows):
        return
    verb = "closed" if config.missing == "close" else "deleted"
    raise DataError(
        f"dataset {dataset}: {taken:,} of {rows:,} rows have a key that is not in the new rows and would be {verb}, "
        f"more than max_deleted: {config.max_deleted}",
        hint="nothing was published; look at the input, or raise `max_deleted`",
    )
