"""How frames become staged Parquet files: sinks of one streaming query, and the files that they wrote.

Polars' partitioned sinks are flagged unstable; they are named in this file alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

import polars as pl

from flowpipe.stop import interruptibly

_FILE_BYTES = 512 * 1024**2  # in memory; a quarter of that or less on disk


@dataclass(frozen=True)
class StagingPlace:
    """Where a slice's staged Parquet files go.

    `folder` is a path or URL. `single` asks for exactly one file, named `prefix`; else `prefix` begins every file name,
    and a file ends where its rows take `file_bytes` of memory.
    `hive` names the columns that become `col=value` folders and leave the files. `metadata` goes into the Parquet
    key-value metadata. `storage` are Polars' options for a URL, credentials among them: never to be shown or kept.
    """

    folder: str
    prefix: str
    single: bool = False
    hive: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage: Mapping[str, str] | None = field(default=None, repr=False, compare=False)
    file_bytes: int = _FILE_BYTES


@dataclass(frozen=True)
class StagedFile:
    """One staged Parquet file; `hive` are its partition values by column, in the text form of Hive (None for NULL)."""

    path: str
    rows: int
    bytes: int
    hive: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Staged:
    """The staged files of one output, and the schema of the rows in them (hive columns included).

    A manifest does not keep `storage`; what is read from one gets it from its adapter.
    """

    files: tuple[StagedFile, ...]
    schema: Mapping[str, pl.DataType]
    storage: Mapping[str, str] | None = field(default=None, repr=False, compare=False)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def scan(self) -> pl.LazyFrame:
        """The staged rows, hive columns included, in the order of `schema`."""
        if not self.files:
            return pl.LazyFrame(schema=self.schema)
        hive = {name: self.schema[name] for name in self.files[0].hive}
        paths = [file.path for file in self.files]
        rows = pl.scan_parquet(
            paths,
            hive_partitioning=bool(hive),
            hive_schema=hive or None,
            glob=False,
            storage_options=dict(self.storage) if self.storage else None,
        )
        return rows.select(self.schema.keys())


class Sink:
    """One output on its way to Parquet files: its plan goes into a `collect_all`, `staged` is there after it.

    It keeps no plan: that would hold the sink by its callbacks, and with it all rows, where no garbage collector sees.
    """

    def __init__(self, schema: Mapping[str, pl.DataType], place: StagingPlace) -> None:
        self._schema = schema
        self._files: list[StagedFile] = []
        self._hive: dict[str, Mapping[str, str | None]] = {}
        self._begun: list[str] = []
        self._place = place

    def staged(self) -> Staged:
        return Staged(tuple(self._files), self._schema, self._place.storage)

    def begun(self) -> Staged:
        """All files that were begun, to be removed where the pass failed; their sizes are not known."""
        return Staged(tuple(StagedFile(path, 0, 0) for path in self._begun), self._schema, self._place.storage)

    def plan(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The writing of the rows, not begun."""
        place = self._place
        target: str | pl.PartitionBy
        if place.single:
            target = self._begin(place.prefix)
        elif place.hive:
            target = pl.PartitionBy(
                place.folder, key=list(place.hive), include_key=False, file_path_provider=self._hive_path
            )
        else:
            target = pl.PartitionBy(
                place.folder, file_path_provider=self._flat_path, approximate_bytes_per_file=place.file_bytes
            )
        return frame.select(self._schema.keys()).sink_parquet(
            target,
            lazy=True,
            mkdir=True,
            compression="snappy",
            metadata=dict(place.metadata) or None,
            storage_options=dict(place.storage) if place.storage else None,
            sinked_paths_callback=self._written,
        )

    def _flat_path(self, args: Any) -> str:
        path = f"{self._place.prefix}-{args.index_in_partition:05}.parquet"
        self._begin(path)
        return path

    def _hive_path(self, args: Any) -> str:
        values = {name: hive_text(args.partition_keys[name][0]) for name in self._place.hive}
        folder = "/".join(f"{name}={hive_folder(text)}" for name, text in values.items())
        path = f"{folder}/{self._place.prefix}-{args.index_in_partition:05}.parquet"
        self._hive[path] = values
        self._begin(path)
        return path

    def _begin(self, relative: str) -> str:
        self._begun.append(f"{self._place.folder}/{relative}")
        return self._begun[-1]

    def _written(self, args: Any) -> None:
        for file in args.paths:
            path = str(file.path)
            relative = path.removeprefix(self._place.folder).lstrip("/")
            hive = self._hive.get(relative, {})
            self._files.append(StagedFile(path, file.num_rows, file.num_bytes, hive))


def run_plans(plans: Sequence[pl.LazyFrame], seconds: float | None = None) -> list[pl.DataFrame]:
    """Run sinks and aggregates as one streaming query: what they share is computed once.

    Raises:
        TimeoutError: it takes longer than so many seconds; nothing can stop it.
    """
    return interruptibly(lambda: pl.collect_all(plans), seconds)


def hive_text(value: Any) -> str | None:
    """A partition value in Hive's text form.

    >>> hive_text(True), hive_text(date(2013, 1, 2)), hive_text(None)
    ('true', '2013-01-02', None)
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value.isoformat() if isinstance(value, date) else str(value)


def hive_folder(text: str | None) -> str:
    """The value part of a `col=value` folder name."""
    return "__HIVE_DEFAULT_PARTITION__" if text is None else quote(text, safe="")
