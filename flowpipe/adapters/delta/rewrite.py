"""Commits in which delta-rs itself writes the staged rows anew: windows inside files, merges, histories, rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.table import TableMerger

from flowpipe.adapters import Publication, versions
from flowpipe.adapters.delta import history
from flowpipe.adapters.delta import schema as types
from flowpipe.adapters.delta.actions import gone
from flowpipe.adapters.delta.bounds import Bounds, identifier
from flowpipe.adapters.delta.folder import Folder
from flowpipe.datasets import DatasetConfig
from flowpipe.fields import condition

_DELETES = "__flowpipe_deletes"


@dataclass(frozen=True)
class Rewrite:
    """One commit on the opened version; `columns` are the table's afterwards, `bounds` the rows that may go."""

    table: DeltaTable
    publication: Publication
    folder: Folder
    columns: Mapping[str, pl.DataType]
    bounds: Bounds | None
    properties: CommitProperties

    @property
    def config(self) -> DatasetConfig:
        return self.publication.dataset.config

    def commit(self) -> None:
        """Commit what the mode makes of the staged rows.

        Raises:
            DataError: `missing:` would take too many rows.
            PublishError: a staged file is not there.
        """
        for file in self.publication.staged.files:
            if not self.folder.exists(self.folder.path_of(file.path)):
                raise gone(self.publication, file.path)
        match self.config.mode:
            case "merge":
                self._merge()
            case "snapshot":
                self._snapshot()
            case "append":
                rows = _reader(self._rows(self.columns))
                write_deltalake(self.table, rows, mode="append", commit_properties=self.properties)
            case _:
                self._overwrite()

    def _overwrite(self) -> None:
        write_deltalake(
            self.table,
            _reader(self._rows(self.columns)),
            mode="overwrite",
            predicate=self.bounds.sql if self.bounds else None,
            schema_mode="overwrite" if self.config.schema_change == "replace" else None,
            commit_properties=self.properties,
        )

    def _merge(self) -> None:
        config, rows = self.config, self._rows(self.columns)
        if config.missing == "delete":
            self._refuse_too_many_deleted(rows)
        newer = stays = None
        if config.order_by:
            age = identifier(config.order_by)
            newer = f"(source.{age} >= target.{age} OR target.{age} IS NULL)"
        if config.delete_when:
            column, value = condition(config.delete_when)
            rows = rows.with_columns((pl.col(column).cast(pl.String) == value).fill_null(value=False).alias(_DELETES))
            stays = f"NOT source.{identifier(_DELETES)}"
        merger = self._merger(rows, config.key)
        if config.delete_when:
            merger = merger.when_matched_delete(_and(f"source.{identifier(_DELETES)}", newer))
        # A column that the rows lack keeps its values.
        absent = [name for name in self.columns if name not in self.publication.staged.schema]
        merger = merger.when_matched_update_all(_and(stays, newer), except_cols=[_DELETES, *absent])
        merger = merger.when_not_matched_insert_all(stays, except_cols=[_DELETES])
        if config.missing == "delete":
            merger = merger.when_not_matched_by_source_delete(self.bounds.qualified("target") if self.bounds else None)
        merger.execute()

    def _refuse_too_many_deleted(self, rows: pl.LazyFrame) -> None:
        there = self._there()
        there = there.filter(self.bounds.expression) if self.bounds else there
        gone = there.join(rows, on=self.config.key, how="anti")
        self._refuse_too_many(gone, there)

    def _snapshot(self) -> None:
        there, observed = self._there(), self._rows(self.publication.staged.schema)
        run_time = datetime.fromisoformat(self.publication.state.published_at)
        if self.config.missing == "close":
            gone = history.closing(there, observed, self.config, run_time)
            self._refuse_too_many(gone, there.filter(pl.col(versions.IS_CURRENT)))
        changed = history.changes(there, observed, self.config, run_time)
        stays = f"source.{identifier(history.STAYS)}"
        (
            self._merger(changed, [*self.config.key, versions.VALID_FROM])
            .when_matched_delete(f"NOT {stays}")
            .when_matched_update_all(except_cols=[history.STAYS])
            .when_not_matched_insert_all(stays, except_cols=[history.STAYS])
            .execute()
        )

    def _refuse_too_many(self, gone: pl.LazyFrame, among: pl.LazyFrame) -> None:
        taken, rows = (frame.item() for frame in pl.collect_all([gone.select(pl.len()), among.select(pl.len())]))
        versions.refuse_too_many(self.config, self.publication.dataset.name, taken, rows)

    def _there(self) -> pl.LazyFrame:
        return pl.scan_delta(self.table)

    def _rows(self, columns: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        """The staged rows with these columns in this order."""
        staged = replace(self.publication.staged, storage=self.folder.options)
        computed = types.generated(self.table)
        return staged.scan().select(
            pl.col(name) if name in staged.schema else pl.lit(None, dtype).alias(name)
            for name, dtype in columns.items()
            if name in staged.schema or name not in computed
        )

    def _merger(self, rows: pl.LazyFrame, key: list[str]) -> TableMerger:
        return self.table.merge(
            _reader(rows),
            " AND ".join(f"target.{identifier(name)} = source.{identifier(name)}" for name in key),
            source_alias="source",
            target_alias="target",
            commit_properties=self.properties,
        )


def _reader(rows: pl.LazyFrame) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_stream(rows.collect_batches(lazy=True))


def _and(*conditions: str | None) -> str | None:
    return " AND ".join(filter(None, conditions)) or None
