"""Frames as people annotate them, turned into one lazy form and back, and the streaming pass that stages them.

Polars' partitioned sinks are flagged unstable; they are named in this file alone.
"""

from __future__ import annotations

import contextvars
import threading
import types
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import polars as pl

from flowpipe.partition import Window

_T = TypeVar("_T")
Kind = Literal["lazy", "eager", "pandas", "arrow", "reader", "relation"]

_KINDS: dict[tuple[str, str], Kind] = {
    ("polars", "LazyFrame"): "lazy",
    ("polars", "DataFrame"): "eager",
    ("pandas", "DataFrame"): "pandas",
    ("pyarrow", "Table"): "arrow",
    ("pyarrow", "RecordBatchReader"): "reader",
    ("duckdb", "DuckDBPyRelation"): "relation",
    ("_duckdb", "DuckDBPyRelation"): "relation",
}
_FILE_BYTES = 512 * 1024**2  # in memory; a quarter of that or less on disk


def kind_of(annotation: Any) -> Kind | None:
    """Which frame an annotation asks for; None when it is no frame.

    >>> kind_of(pl.LazyFrame), kind_of(pl.DataFrame | None), kind_of(int)
    ('lazy', 'eager', None)
    """
    if typing.get_origin(annotation) is typing.Annotated:
        return kind_of(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        kinds = {kind_of(part) for part in typing.get_args(annotation) if part is not type(None)}
        return kinds.pop() if len(kinds) == 1 else None
    module = getattr(annotation, "__module__", "").split(".")[0]
    return _KINDS.get((module, getattr(annotation, "__name__", "")))


def to_lazy(value: Any, spool: Path) -> pl.LazyFrame:
    """Any frame as a LazyFrame that can be read more than once; streams are written to `spool` first.

    Raises:
        TypeError: the value is no frame.
    """
    kind = kind_of(type(value))
    if kind == "lazy":
        return typing.cast("pl.LazyFrame", value)
    if kind == "eager":
        return typing.cast("pl.DataFrame", value).lazy()
    if kind == "pandas":
        return typing.cast("pl.DataFrame", pl.from_pandas(value)).lazy()
    if kind == "arrow":
        return typing.cast("pl.DataFrame", pl.from_arrow(value)).lazy()
    if kind == "reader":
        return pl.scan_parquet(_spool_reader(value, spool))
    if kind == "relation":
        path = _fresh(spool)
        value.write_parquet(str(path))
        return pl.scan_parquet(path)
    raise TypeError(f"{type(value).__name__} is not a frame")


def present(frame: pl.LazyFrame, kind: Kind, spool: Path) -> Any:
    """A LazyFrame as the kind an annotation asks for."""
    if kind == "lazy":
        return frame
    if kind == "eager":
        return collected(frame)
    if kind == "pandas":
        return collected(frame).to_pandas()
    if kind == "arrow":
        return collected(frame).to_arrow()
    if kind == "reader":
        import pyarrow as pa

        return pa.RecordBatchReader.from_stream(frame.collect_batches(lazy=True))
    import duckdb

    # A relation is read as often as its user likes, a stream only once: so it stands on a file.
    path = _fresh(spool)
    _interruptibly(lambda: frame.sink_parquet(path))
    return duckdb.connect().read_parquet(str(path))


def collected(frame: pl.LazyFrame) -> pl.DataFrame:
    """All rows, in memory."""
    return _interruptibly(frame.collect)


def rows_of(value: Any) -> int | None:
    """How many rows a value holds, when that costs nothing to know."""
    kind = kind_of(type(value))
    if kind in {"eager", "pandas"}:
        return len(value)
    return int(value.num_rows) if kind == "arrow" else None


@dataclass(frozen=True)
class StagingPlace:
    """Where a slice's staged Parquet files go.

    `folder` is a path or URL. `single` asks for exactly one file, named `prefix`; else `prefix` begins every file name.
    `hive` names the columns that become `col=value` folders and leave the files. `metadata` goes into the Parquet
    key-value metadata.
    """

    folder: str
    prefix: str
    single: bool = False
    hive: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StagedFile:
    """One staged Parquet file; `hive` are its partition values by column, in the text form of Hive (None for NULL)."""

    path: str
    rows: int
    bytes: int
    hive: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Staged:
    """The staged files of one output, and the schema of the rows in them (hive columns included)."""

    files: tuple[StagedFile, ...]
    schema: Mapping[str, pl.DataType]

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
        rows = pl.scan_parquet(paths, hive_partitioning=bool(hive), hive_schema=hive or None, glob=False)
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
        return Staged(tuple(self._files), self._schema)

    def begun(self) -> Staged:
        """All files that were begun, to be removed where the pass failed; their sizes are not known."""
        return Staged(tuple(StagedFile(path, 0, 0) for path in self._begun), self._schema)

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
                place.folder, file_path_provider=self._flat_path, approximate_bytes_per_file=_FILE_BYTES
            )
        return frame.select(self._schema.keys()).sink_parquet(
            target,
            lazy=True,
            mkdir=True,
            compression="snappy",
            metadata=dict(place.metadata) or None,
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


def run_plans(plans: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
    """Run sinks and aggregates as one streaming query: what they share is computed once."""
    return _interruptibly(lambda: pl.collect_all(plans))


def _interruptibly(work: Callable[[], _T]) -> _T:
    """Wait for work in a thread of its own: a signal is heard while waiting, but not while Polars works."""
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    return outcome.result()


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


def _fresh(spool: Path) -> Path:
    spool.mkdir(parents=True, exist_ok=True)
    return spool / f"{uuid.uuid4().hex}.parquet"


def _spool_reader(reader: Any, spool: Path) -> Path:
    import pyarrow.parquet as pq

    path = _fresh(spool)
    with pq.ParquetWriter(path, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    return path


def in_window(column: str, dtype: pl.DataType, window: Window) -> pl.Expr:
    """Whether a Date, naive Datetime (wall clock of the window's zone) or aware Datetime column is in a window.

    Raises:
        TypeError: the column has another type.
    """
    start, end = window.start, window.end
    bounds: tuple[date, date]
    if dtype == pl.Date:
        bounds = (start.date(), end.date())
    elif isinstance(dtype, pl.Datetime):
        bounds = (start, end) if dtype.time_zone else (start.replace(tzinfo=None), end.replace(tzinfo=None))
    else:
        raise TypeError(f"column {column} is {dtype}; a window needs a Date or Datetime")
    low, high = (pl.lit(bound).cast(dtype) for bound in bounds)
    return (pl.col(column) >= low) & (pl.col(column) < high)
