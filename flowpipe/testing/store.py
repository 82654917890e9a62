"""One adapter under test: where its store is, the way that rows take into it, and what its tests must say of it.

Rows go the way of a run: `storable`, `place`, a streaming sink, `publish`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flowpipe.adapters import Adapter, Dataset, Held, Publication, Staged, State, versions
from flowpipe.datasets import DatasetConfig
from flowpipe.partition import WHOLE, Slice, of_window, parse
from flowpipe.sinks import Sink, run_plans

RUN_TIME = "2013-12-01T00:00:00+00:00"
MONTHLY: dict[str, Any] = {"partition": {"every": "month", "column": "day"}}
TYPES = pl.DataFrame(
    {
        "flag": [True, None],
        "small": pl.Series([1, None], dtype=pl.Int16),
        "whole": [2**62, None],
        "real": [1.5, None],
        "money": pl.Series([Decimal("12.34"), None], dtype=pl.Decimal(10, 2)),
        "text": ['O\'Hare "ü"', None],
        "day": [date(2013, 1, 2), None],
        "at": pl.Series([datetime(2013, 1, 2, 3, 4, 5, 6), None], dtype=pl.Datetime("us")),
        "instant": pl.Series([datetime(2013, 1, 2, 3), None], dtype=pl.Datetime("us")).dt.replace_time_zone("UTC"),
        "list": [[1, 2], None],
        "struct": [{"x": 1, "y": "a"}, None],
    }
)


def month(key: str) -> Slice:
    return of_window(parse(key, "month"))


def rows(key: str, *values: int) -> pl.DataFrame:
    """Rows of one month: `id` and the month's first day."""
    day = parse(key, "month").start.date()
    return pl.DataFrame({"id": values, "day": [day for _ in values]}, schema={"id": pl.Int64, "day": pl.Date})


def state(
    dataset: str, part: Slice, number: int, fingerprint: str = "f1", run: str = "run1", *, published_at: str = RUN_TIME
) -> State:
    return State(dataset, part.key, fingerprint, {"params.a": "1"}, number, run, published_at)


@dataclasses.dataclass
class Store:
    """One adapter over a temporary folder, and the way rows take into it."""

    adapter: Adapter
    folder: Path

    def stage(self, dataset: Dataset, frame: pl.DataFrame, part: Slice = WHOLE, **named: str) -> Publication:
        wanted = state(dataset.name, part, len(frame), **named)
        if dataset.config.mode == "snapshot":
            run_time = datetime.fromisoformat(wanted.published_at)
            frame = versions.observed(frame.lazy(), dataset.config, run_time).collect()
        schema = self.adapter.storable(dataset, frame.schema)
        place = self.adapter.place(
            dataset, part, wanted.run, self.folder / "scratch" / wanted.run, dataclasses.replace(wanted, rows=-1)
        )
        sink = Sink(schema, place)
        run_plans([sink.plan(frame.cast(pl.Schema(schema)).lazy())])
        return Publication(dataset, part, sink.staged(), wanted)

    def publish(self, dataset: Dataset, frame: pl.DataFrame, part: Slice = WHOLE, **named: str) -> Publication:
        publication = self.stage(dataset, frame, part, **named)
        self.adapter.publish(publication)
        return publication

    def read(self, dataset: Dataset, part: Slice = WHOLE) -> pl.DataFrame:
        return self.adapter.read(dataset, part, self.adapter.pin(dataset, part), self.folder / "spool").collect()

    def ids(self, dataset: Dataset, part: Slice = WHOLE) -> list[int]:
        return sorted(self.read(dataset, part)["id"].to_list())

    def held(self, dataset: Dataset, part: Slice = WHOLE) -> Held:
        return self.adapter.held(dataset, [part])[part.key]


def staged_nothing(dataset: Dataset, part: Slice, schema: Mapping[str, pl.DataType]) -> Publication:
    """A publication whose pass wrote no file at all."""
    return Publication(dataset, part, Staged((), schema), state(dataset.name, part, 0))


class StoreTests:
    """What a subclass says of its store: `store`, `dataset` and what does harm; what the store cannot do; its words."""

    modes: tuple[str, ...] = ("overwrite", "replace", "append", "merge", "snapshot")
    schema_changes: tuple[str, ...] = ("add", "replace")
    types: pl.DataFrame = TYPES
    changed = "somebody changed it"
    gone = "it is gone"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        raise NotImplementedError

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        """A dataset of the store; `partition` in `config` asks for one file or condition per window."""
        raise NotImplementedError

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        """Take one row out of what was published whole, as somebody else would."""
        raise NotImplementedError

    def drop(self, store: Store, dataset: Dataset) -> None:
        """Remove what was published whole, as somebody else would."""
        raise NotImplementedError

    def monthly(self, mode: str) -> Dataset:
        return self.dataset(mode=mode, key=["id"] if mode in {"merge", "snapshot"} else [], **MONTHLY)

    def in_mode(self, mode: str) -> tuple[Dataset, Slice]:
        return (self.dataset(), WHOLE) if mode == "overwrite" else (self.monthly(mode), month("2013-01"))

    def _held_when_gone(self) -> Held:
        return Held(state("delays", WHOLE, 2), self.gone)

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        """The same configuration at another place, for tests of several datasets."""
        raise NotImplementedError
