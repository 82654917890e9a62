"""One SQLite file as a store: a publish is one transaction, with its state in the same file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
from pydantic import BaseModel, Field

from flowpipe import partition
from flowpipe.adapters import (
    Dataset,
    Finding,
    Held,
    Missing,
    Pin,
    Publication,
    Staged,
    StagingPlace,
    State,
    refuse_append,
)
from flowpipe.adapters.sql import quoted
from flowpipe.adapters.versions import refuse_too_many
from flowpipe.errors import DataError, PublishError, nearest
from flowpipe.findings import tried
from flowpipe.partition import WHOLE, Slice
from flowpipe_sqlite import statements
from flowpipe_sqlite.statements import SOURCE

_KINDS: dict[pl.DataType, str] = {
    pl.Boolean(): "BOOLEAN", pl.Int64(): "BIGINT", pl.Float64(): "DOUBLE", pl.String(): "TEXT", pl.Binary(): "BLOB",
    pl.Date(): "DATE", pl.Datetime("us"): "TIMESTAMP", pl.Datetime("us", "UTC"): "TIMESTAMPTZ",
}  # fmt: skip
_TYPES = {kind: dtype for dtype, kind in _KINDS.items()}
# How the values of a type are kept where SQLite has no such type.
_KEPT = {"BOOLEAN": pl.Int64(), "DATE": pl.Int64(), "TIMESTAMP": pl.Int64(), "TIMESTAMPTZ": pl.Int64()}
_WIDER: dict[pl.DataType, pl.DataType] = dict.fromkeys(
    (pl.Int8(), pl.Int16(), pl.Int32(), pl.UInt8(), pl.UInt16(), pl.UInt32()), pl.Int64()
) | {pl.Float32(): pl.Float64()}
Flaw = tuple[tuple[str, ...], str, str | None]


class Options(BaseModel, extra="forbid", frozen=True):
    """Which file."""

    database: str = Field(description="the SQLite file; relative to the project")


class SQLite:
    """One SQLite file, opened anew for every question."""

    Options: type[BaseModel] = Options

    @classmethod
    def temporary(cls, folder: Path) -> Mapping[str, Any]:
        """What stands in for it while pipelines are tested: another file."""
        return {"database": str(folder / "test.sqlite")}

    def __init__(self, options: BaseModel, root: Path) -> None:
        assert isinstance(options, Options)
        self._shown, self._path = options.database, root / options.database

    def check(self, dataset: Dataset, *, written: bool) -> Iterable[Flaw]:
        config = dataset.config
        for name in ("path", "format", "options", "query", "partition_by", "swap", "after_publish"):
            if getattr(config, name):
                yield (name,), f'a dataset in an sqlite store has no "{name}"', "write `table: NAME`"
        if not config.table:
            yield (), "a dataset in an sqlite store needs a table", "table: NAME"
        if config.partition and not config.partition.column:
            yield ("partition",), "a partitioned table needs the column that tells a row's window", "column: NAME"
        if written and config.mode == "snapshot":
            yield ("mode",), "an sqlite store keeps no versions", "use `mode: merge`"
        if written and config.schema_change == "replace":
            yield ("schema_change",), "columns of an sqlite table stay", "use `schema_change: add`"

    def pin(self, dataset: Dataset, part: Slice) -> Pin:
        with self._reading(dataset) as (database, columns):
            rows = _count(database, dataset, statements.of_slice(dataset.config, part, columns))
            states = {key: state for key, (state, _) in _states(database, dataset).items()}
        wanted = sorted(states)
        if part.window and dataset.config.partition and dataset.config.mode != "merge":
            wanted = [one.key for one in partition.within(part.window, dataset.config.partition.every)]
        facts = [rows, [[key, states[key].fingerprint, states[key].run] for key in wanted if key in states]]
        token = json.dumps(facts)
        known = bool(wanted) and all(key in states for key in wanted)
        return Pin(hashlib.sha256(token.encode()).hexdigest()[:16] if known else None, token)

    def read(self, dataset: Dataset, part: Slice, pin: Pin, spool: Path) -> pl.LazyFrame:
        with self._reading(dataset) as (database, columns):
            where = statements.of_slice(dataset.config, part, columns)
            rows = database.execute(f"SELECT * FROM {quoted(str(dataset.config.table))} WHERE {where}").fetchall()
        kept = {name: _KEPT.get(kind, _TYPES[kind]) for name, kind in columns.items()}
        frame = pl.DataFrame(rows, kept, orient="row").cast({name: _TYPES[kind] for name, kind in columns.items()})
        spool.mkdir(parents=True, exist_ok=True)
        target = spool / f"{dataset.name}-{uuid.uuid4().hex}.parquet"
        frame.write_parquet(target)
        return pl.scan_parquet(target, glob=False)

    def schema(self, dataset: Dataset, part: Slice | None = None) -> Mapping[str, pl.DataType] | None:
        if not self._path.exists():
            return None
        with self._opened() as database:
            return {name: _TYPES[kind] for name, kind in _columns(database, dataset).items()} or None

    def storable(self, dataset: Dataset, schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:
        names = [name.lower() for name in schema]
        if clash := next((name for name in schema if names.count(name.lower()) > 1), None):
            raise DataError(f'column "{clash}" is there twice for SQLite, but for its case', hint="rename one of them")
        return {name: _stored(name, dtype) for name, dtype in schema.items()}

    def is_empty(self, dataset: Dataset, part: Slice) -> bool:
        if not self._path.exists():
            return True
        with self._opened() as database:
            columns = _columns(database, dataset)
            return not columns or not _count(database, dataset, statements.of_slice(dataset.config, part, columns))

    def place(self, dataset: Dataset, part: Slice, run: str, scratch: Path, state: State) -> StagingPlace:
        return StagingPlace(str(scratch), f"{dataset.name}-{quote(part.key, safe='')}-{run}")

    def widens(self, now: pl.DataType, new: pl.DataType) -> bool:
        return False

    def is_staged(self, staged: Staged) -> bool:
        return all(Path(file.path).exists() for file in staged.files)

    def publish(self, publication: Publication) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._opened() as database:
                database.execute("BEGIN IMMEDIATE")
                self._publish(database, publication)
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise PublishError(f"{self._shown}: {error}", hint="run again") from error

    def held(self, dataset: Dataset, parts: Sequence[Slice]) -> Mapping[str, Held]:
        held = {part.key: Held() for part in parts}
        if not self._path.exists():
            return held
        with self._opened() as database:
            states = _states(database, dataset)
            rows = _count(database, dataset) if _columns(database, dataset) else None
        for key in held.keys() & states.keys():
            state, table_rows = states[key]
            changed = None if rows == table_rows else f"its row count is {rows}, {table_rows} was published"
            held[key] = Held(state, "the table is gone" if rows is None else changed)
        return held

    def discard(self, staged: Staged) -> None:
        for file in staged.files:
            Path(file.path).unlink(missing_ok=True)

    def probe(self, *, written: bool) -> Iterable[Finding]:
        yield tried("read", self._look, "see `database:` of the store")
        if written and self._path.exists():
            yield tried("write", self._make_and_undo, "let this user write the file and its folder")

    def _look(self) -> str:
        if not self._path.exists():
            return f"{self._shown} is not there yet; the first publish makes it"
        with self._opened() as database:
            return f"{self._shown}, {database.execute('SELECT count(*) FROM sqlite_master').fetchone()[0]} entries"

    def _make_and_undo(self) -> str:
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(f"CREATE TABLE {quoted(f'_flowpipe_probe_{uuid.uuid4().hex}')} (x)")
            database.execute("ROLLBACK")
        return "a table was made and rolled back"

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _reading(self, dataset: Dataset) -> Iterator[tuple[sqlite3.Connection, Mapping[str, str]]]:
        """A connection, and the columns of a table that should be there."""
        if not self._path.exists():
            raise Missing(self._shown)
        with self._opened() as database:
            columns = _columns(database, dataset)
            if not columns:
                tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                near = nearest(str(dataset.config.table), tables)
                raise Missing(f"table {dataset.config.table} in {self._shown}", f"table {near}" if near else None)
            yield database, columns

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection that rolls back what was not committed."""
        database = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            yield database
        finally:
            database.close()

    def _publish(self, database: sqlite3.Connection, publication: Publication) -> None:
        dataset, part, state = publication.dataset, publication.slice, publication.state
        config = dataset.config
        database.execute(statements.CREATE_STATE)
        if config.was:
            database.execute(statements.RENAME_STATE, (dataset.name, config.was))
        there = _columns(database, dataset)
        before = _states(database, dataset).get(part.key) if there else None
        if before and (before[0].run, before[0].fingerprint) == (state.run, state.fingerprint):
            return
        refuse_append(publication, before[0] if before else None)
        staged = {name: _KINDS[dtype] for name, dtype in publication.staged.schema.items()}
        _load(database, publication.staged, staged)
        if not there:
            database.execute(statements.create(str(config.table), staged))
        elif config.schema_change == "add":
            for statement in statements.add_columns(str(config.table), there, staged):
                database.execute(statement)
        elif there != staged:
            raise DataError(f"the columns are not those of table {config.table}", hint="set `schema_change: add`")
        if not there or (part == WHOLE and config.mode in {"overwrite", "replace"}):
            database.execute(statements.FORGET_STATE, (dataset.name,))
        self._change(database, publication, {**staged, **there})
        values = asdict(state) | {"parts": json.dumps(dict(state.parts), sort_keys=True)}
        database.execute(statements.WRITE_STATE, (*values.values(), _count(database, dataset)))

    def _change(self, database: sqlite3.Connection, publication: Publication, columns: Mapping[str, str]) -> None:
        dataset, config, rows = publication.dataset, publication.dataset.config, _count(database, publication.dataset)
        if config.missing == "delete":
            among = statements.of_slice(config, publication.slice, columns)
            taken = _count(database, dataset, statements.absent(config, among))
            refuse_too_many(config, dataset.name, taken, _count(database, dataset, among))
        for statement in statements.changes(publication, columns):
            database.execute(statement)
        database.execute(statements.FOLLOW_STATE, (rows, _count(database, dataset), dataset.name))


def _stored(name: str, dtype: pl.DataType) -> pl.DataType:
    if dtype in _KINDS:
        return dtype
    if dtype in _WIDER:
        return _WIDER[dtype]
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return pl.String()
    raise DataError(f'column "{name}" is {dtype}, which SQLite cannot hold', hint="cast the column")


def _load(database: sqlite3.Connection, staged: Staged, columns: Mapping[str, str]) -> None:
    """Put the staged rows into a temporary table."""
    database.execute(statements.create(SOURCE, columns, temporary=True))
    insert = f"INSERT INTO {SOURCE} VALUES ({', '.join('?' * len(columns))})"
    for batch in staged.scan().collect_batches():
        for name in batch.select(pl.selectors.float()).columns:
            if batch[name].is_nan().any():
                raise DataError(f'column "{name}" holds NaN, which SQLite takes for NULL', hint="fill it")
        kept = [pl.col(name).cast(_KEPT[kind]) for name, kind in columns.items() if kind in _KEPT]
        database.executemany(insert, batch.with_columns(kept).iter_rows())


def _columns(database: sqlite3.Connection, dataset: Dataset) -> dict[str, str]:
    rows = database.execute("SELECT name, type FROM pragma_table_info(?)", (str(dataset.config.table),))
    return {str(name): str(kind) for name, kind in rows}


def _count(database: sqlite3.Connection, dataset: Dataset, where: str = "TRUE") -> int:
    table = quoted(str(dataset.config.table))
    return int(database.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0])


def _states(database: sqlite3.Connection, dataset: Dataset) -> dict[str, tuple[State, int | None]]:
    found: dict[str, tuple[State, Any]] = {}
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = '_flowpipe_state'").fetchone():
        return found
    for name in filter(None, (dataset.config.was, dataset.name)):
        for *values, table_rows in database.execute(statements.READ_STATE, (name,)):
            values[3] = json.loads(values[3])
            found[values[1]] = (State(*values), table_rows)
    return found
