"""A small Delta lake for tests: stage and publish frames as a step does, read them back as everybody may."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from deltalake import DeltaTable, QueryBuilder
from polars.testing import assert_frame_equal

from flowpipe.adapters import Dataset, Held, Publication, State
from flowpipe.adapters.delta import Delta, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.partition import WHOLE, Every, Slice, of_window, parse
from flowpipe.sinks import Sink, run_plans

MONTHLY: dict[str, Any] = {"mode": "replace", "partition": {"column": "day", "every": "month"}}


def month(key: str, every: Every = "month", timezone: str = "UTC") -> Slice:
    return of_window(parse(key, every, timezone))


@dataclass
class Lake:
    """One dataset `flights` in a Delta store below `root`."""

    root: Path
    settings: dict[str, Any] = field(default_factory=dict)
    name: str = "flights"

    @property
    def store(self) -> Delta:
        return Delta(Options(url="lake"), self.root)

    @property
    def dataset(self) -> Dataset:
        return Dataset(self.name, DatasetConfig.model_validate({"store": "lake", "table": "flights", **self.settings}))

    @property
    def path(self) -> Path:
        return self.root / "lake" / "flights"

    @property
    def table(self) -> DeltaTable:
        return DeltaTable(self.path)

    def stage(
        self, frame: pl.DataFrame | pl.LazyFrame, part: Slice = WHOLE, *, fingerprint: str = "f1", run: str = "r1"
    ) -> Publication:
        rows = frame.lazy()
        schema = self.store.storable(self.dataset, rows.collect_schema())
        empty = State(self.name, part.key, fingerprint, {"code": fingerprint}, -1, run, "2026-01-01T00:00:00+00:00")
        sink = Sink(schema, self.store.place(self.dataset, part, run, self.root, empty))
        run_plans([sink.plan(rows.cast(dict(schema)))])
        staged = sink.staged()
        state = State(self.name, part.key, fingerprint, {"code": fingerprint}, staged.rows, run, empty.published_at)
        return Publication(self.dataset, part, staged, state)

    def publish(self, frame: pl.DataFrame | pl.LazyFrame, part: Slice = WHOLE, **names: str) -> Publication:
        publication = self.stage(frame, part, **names)
        self.store.publish(publication)
        return publication

    def held(self, part: Slice = WHOLE) -> Held:
        return self.store.held(self.dataset, [part])[part.key]

    def read(self, part: Slice = WHOLE) -> pl.DataFrame:
        return self.store.read(self.dataset, part, self.store.pin(self.dataset, part), self.root).collect()

    def data_files(self) -> list[str]:
        """Every Parquet file of rows in the folder, named by the log or not."""
        return sorted(
            str(path.relative_to(self.path)) for path in self.path.rglob("*.parquet") if "_delta_log" not in path.parts
        )


def everyone_reads(path: Path, by: str) -> pl.DataFrame:
    """The rows of a table, which Polars, delta-rs, PyArrow and DuckDB must agree on."""
    found = pl.scan_delta(str(path)).collect().sort(by, maintain_order=True)
    table = DeltaTable(path)
    dataset = table.to_pyarrow_dataset()
    reader = QueryBuilder().register("rows", table).execute("SELECT * FROM rows").read_all()
    relation = duckdb.connect().from_arrow(dataset).to_arrow_table()
    for other in (reader, dataset.to_table(), relation):
        frame = pl.DataFrame(other).select(found.columns).cast(dict(found.schema)).sort(by, maintain_order=True)
        assert_frame_equal(found, frame)
    return found
