"""When the DuckDB file is open, and what is asked of it: versions, rows, states, publishes.

The file is open only while something is asked of it, once in this process, and never touched by anything but DuckDB
while it is: closing a second descriptor would drop the lock that keeps other processes out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import duckdb
import polars as pl
from pydantic import BaseModel, Field
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from flowpipe import memory, partition
from flowpipe.adapters import Dataset, Held, Missing, Pin, Publication, Staged, StagingPlace, State, sql
from flowpipe.adapters.duckdb import selection, transaction, types
from flowpipe.adapters.duckdb.transaction import Remembered
from flowpipe.errors import FlowpipeError, PublishError, nearest
from flowpipe.partition import Slice
from flowpipe.validation import Model

_ATTEMPTS = 8


class Options(Model):
    """Which file."""

    database: str = Field(description="the DuckDB file; relative to the project, made when first written")


class DuckDB:
    """One DuckDB file."""

    Options: type[BaseModel] = Options

    def __init__(self, options: BaseModel, root: Path) -> None:
        assert isinstance(options, Options)
        self._shown = options.database
        # DuckDB opens a second instance for another name of the same file.
        self._path = (root / options.database).resolve()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._users = 0
        self._opening = threading.Lock()
        self._publishing = threading.Lock()

    def check(self, dataset: Dataset, *, written: bool) -> Iterable[selection.Finding]:
        """What is wrong with a dataset's configuration here."""
        config = dataset.config
        for name in ("path", "format", "options"):
            if getattr(config, name):
                yield (name,), f'a dataset in a duckdb store has no "{name}"', "write `table: NAME`"
        if bool(config.table) == bool(config.query):
            yield (), "a dataset in a duckdb store needs either a table or a query", "table: carrier_rank"
        if config.query:
            yield from selection.check(dataset)
        elif config.partition and not config.partition.column:
            yield ("partition",), "a partitioned table needs the column that tells a row's window", "column: date"
        if not written:
            return
        if config.query:
            yield ("query",), "a query is only read", "write `table: NAME`"
        if config.mode == "replace" and config.partition is None:
            yield ("mode",), "`mode: replace` needs a partition", "write `partition: {column: date, every: month}`"
        if config.mode == "merge" and not config.key:
            yield ("mode",), "merge needs a key", "add `key: [NAME]`"

    def pin(self, dataset: Dataset, part: Slice) -> Pin:
        """The states of the slices read, and their rows; queries and tables of somebody else have no version."""
        with self._reading(dataset, part) as (cursor, columns):
            if dataset.config.query:
                return Pin(None, "{}")
            rows = transaction.number(
                cursor, sql.count(selection.source(dataset), selection.condition(dataset, part, columns))
            )
            held = {key: row.state for key, row in transaction.states(cursor, dataset).items()}
        wanted = _slices_read(dataset, part, held)
        facts = {"rows": rows, "slices": [[key, held[key].fingerprint, held[key].run] for key in wanted if key in held]}
        token = json.dumps(facts)
        known = bool(wanted) and all(key in held for key in wanted)
        return Pin(hashlib.sha256(token.encode()).hexdigest()[:16] if known else None, token)

    def read(self, dataset: Dataset, part: Slice, pin: Pin, spool: Path) -> pl.LazyFrame:  # noqa: ARG002
        """The rows, copied to the spool by one statement, so that the file is free again while they are used."""
        spool.mkdir(parents=True, exist_ok=True)
        target = spool / f"{dataset.name}-{uuid.uuid4().hex}.parquet"
        with self._reading(dataset, part) as (cursor, columns):
            _copy(cursor, selection.rows(dataset, part, columns), selection.parameters(dataset, part), target)
        return pl.scan_parquet(target, glob=False)

    def schema(self, dataset: Dataset, part: Slice | None = None) -> Mapping[str, pl.DataType] | None:  # noqa: ARG002
        """The columns as they are read; all slices have the same."""
        with contextlib.suppress(Missing), tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "columns.parquet"
            with self._reading(dataset, partition.WHOLE) as (cursor, columns):
                none = selection.rows(dataset, partition.WHOLE, columns, limit=0)
                _copy(cursor, none, selection.parameters(dataset, partition.WHOLE), target)
            return pl.scan_parquet(target, glob=False).collect_schema()
        return None

    def is_empty(self, dataset: Dataset, part: Slice) -> bool:
        """Whether a slice holds no row."""
        with contextlib.suppress(Missing), self._reading(dataset, part) as (cursor, columns):
            one = selection.rows(dataset, part, columns, limit=1)
            return not cursor.execute(sql.count(f"({one})"), selection.parameters(dataset, part)).fetchall()[0][0]
        return True

    def storable(self, dataset: Dataset, schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:  # noqa: ARG002
        """The type that each column is written as, and read back as.

        Raises:
            DataError: a column that DuckDB cannot hold.
        """
        return types.storable(schema)

    def place(self, dataset: Dataset, part: Slice, run: str, scratch: Path, state: State) -> StagingPlace:  # noqa: ARG002
        """In the run's scratch folder: rows are loaded when they are published."""
        return StagingPlace(str(scratch), f"{dataset.name}-{quote(part.key, safe='')}-{run}")

    def publish(self, publication: Publication) -> None:
        """Load the staged rows and remember their state in one transaction; once for the same run and fingerprint.

        Raises:
            DataError: the columns are not the table's.
            PublishError: the database refused.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        conflicts = Retrying(
            retry=retry_if_exception_type(duckdb.TransactionException),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=0.05, max=2) + wait_random(0, 0.05),
            reraise=True,
        )
        with self._publishing, tempfile.TemporaryDirectory() as folder, self._cursor(PublishError) as cursor:
            source = transaction.source_of(publication.staged, Path(folder))
            conflicts(transaction.publish, cursor, publication, source)

    def held(self, dataset: Dataset, parts: Sequence[Slice]) -> Mapping[str, Held]:
        """What the table of states says, and whether the table still has as many rows as it had then."""
        held = {part.key: Held() for part in parts}
        if not self._path.exists():
            return held
        with self._cursor() as cursor:
            rows = transaction.states(cursor, dataset)
            there = transaction.columns(cursor, str(dataset.config.table))
            number = transaction.number(cursor, sql.count(selection.source(dataset))) if there else None
        for key in held.keys() & rows.keys():
            held[key] = Held(rows[key].state, _changed(dataset, rows[key], number))
        return held

    def widens(self, now: pl.DataType, new: pl.DataType) -> bool:  # noqa: ARG002
        """No column changes its type in place."""
        return False

    def is_staged(self, staged: Staged) -> bool:
        """Whether every staged file still is there."""
        return all(Path(file.path).exists() for file in staged.files)

    def discard(self, staged: Staged) -> None:
        """Remove the staged files; the database has its own copy of published rows."""
        for file in staged.files:
            Path(file.path).unlink(missing_ok=True)

    def close(self) -> None:
        """The file is closed whenever nothing is asked of it."""

    @contextlib.contextmanager
    def _cursor(self, failure: type[FlowpipeError] = FlowpipeError) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of the one connection, which the last user closes."""
        try:
            with self._opening:
                if self._connection is None:
                    self._connection = duckdb.connect(str(self._path))
                    memory.bound(self._connection)
                cursor = self._connection.cursor()
                self._users += 1
            try:
                yield cursor
            finally:
                with self._opening:
                    cursor.close()
                    self._users -= 1
                    if not self._users:
                        self._connection.close()
                        self._connection = None
        except duckdb.Error as error:
            raise self._said(error, failure) from error

    def _said(self, error: duckdb.Error, failure: type[FlowpipeError]) -> FlowpipeError:
        text = str(error)
        if "Could not set lock" in text:
            holder = text.partition("(PID ")[2].partition(")")[0]
            who = f"process {holder}" if holder else "another process"
            return failure(f"{self._shown} is held open by {who}", hint="close it there, then run again")
        lines = [line for line in text.splitlines() if line.strip()]
        return failure(
            f"{self._shown}: {lines[0]}", hint=lines[1] if len(lines) > 1 and "Did you" in lines[1] else None
        )

    @contextlib.contextmanager
    def _reading(self, dataset: Dataset, part: Slice) -> Iterator[tuple[duckdb.DuckDBPyConnection, Mapping[str, str]]]:
        """A cursor for a dataset that should be there, and the SQL types of its columns.

        Raises:
            Missing: there is no such file, or no such table in it.
        """
        if not self._path.exists():
            folder = self._path.parent
            close = nearest(self._path.name, [path.name for path in folder.iterdir()] if folder.is_dir() else [])
            raise Missing(self._shown, str(Path(self._shown).parent / close) if close else None)
        with self._cursor() as cursor:
            # The wall-clock times of a query's $start and $end are those of the window.
            cursor.execute(f"SET TimeZone = {sql.literal(str(part.window.start.tzinfo) if part.window else 'UTC')}")
            cursor.execute("BEGIN TRANSACTION")
            if dataset.config.query:
                columns = transaction.described(cursor, selection.source(dataset), selection.parameters(dataset, part))
            else:
                columns = transaction.columns(cursor, str(dataset.config.table))
            if not columns:
                self._missing(cursor, str(dataset.config.table))
            yield cursor, columns

    def _missing(self, cursor: duckdb.DuckDBPyConnection, table: str) -> NoReturn:
        rows = cursor.execute(sql.TABLES).fetchall()
        tables = [name if schema == selection.SCHEMA else f"{schema}.{name}" for schema, name in rows]
        close = nearest(table, tables)
        raise Missing(f"table {table} in {self._shown}", f"table {close}" if close else None)


def _copy(cursor: duckdb.DuckDBPyConnection, rows: str, parameters: Mapping[str, object], target: Path) -> None:
    cursor.execute(f"COPY ({rows}) TO {sql.literal(str(target))} (FORMAT parquet)", parameters)


def _slices_read(dataset: Dataset, part: Slice, held: Mapping[str, State]) -> list[str]:
    """The keys of the published slices that a read sees; a merge may have changed the rows of any."""
    config = dataset.config
    if part.window is None or config.partition is None or config.mode == "merge":
        return [part.key] if part.kind == "key" else sorted(held)
    return [window.key for window in partition.within(part.window, config.partition.every, config.partition.timezone)]


def _changed(dataset: Dataset, row: Remembered, rows: int | None) -> str | None:
    if rows is None:
        return "the table is gone"
    if dataset.config.mode == "append" or rows == row.table_rows:
        return None  # what was appended once is not appended again, whoever has deleted from the table since
    if row.table_rows is None:
        return "the table was changed by somebody else"
    return f"its row count is {rows}, {row.table_rows} was published"
