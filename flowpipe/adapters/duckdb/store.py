"""What is asked of a DuckDB file: versions, rows, states, publishes, upkeep."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import duckdb
import polars as pl
from pydantic import BaseModel, Field
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from flowpipe import partition, probing
from flowpipe.adapters import Dataset, Finding, Held, Missing, Pin, Publication, sql, tables
from flowpipe.adapters.abilities import Upkeep
from flowpipe.adapters.duckdb import contents, fitting, selection, transaction, types
from flowpipe.adapters.duckdb.contents import Contents
from flowpipe.adapters.duckdb.opening import File, schemes
from flowpipe.adapters.duckdb.transaction import Remembered
from flowpipe.adapters.duckdb.upkeep import tidy
from flowpipe.adapters.tables import Database, Flaw
from flowpipe.errors import FlowpipeError, PublishError, nearest
from flowpipe.findings import tried
from flowpipe.partition import Slice
from flowpipe.terminal import counted
from flowpipe.validation import Model

_ATTEMPTS = 8


class Options(Model):
    """Which file, and how the URLs in queries are reached."""

    database: str = Field(
        description="the DuckDB file; relative to the project, made when first written",
        examples=["data/warehouse.duckdb"],
    )
    options: dict[str, Any] = Field(
        {},
        repr=False,
        description="for the URLs that queries read, as of s3://: key, secret, endpoint_url, region, ...",
        examples=[{"region": "eu-central-1"}],
    )


class DuckDB(Database):
    """One DuckDB file."""

    Options: type[BaseModel] = Options
    driver_only = True  # one process at a time has the file open for writing

    @classmethod
    def temporary(cls, folder: Path) -> Mapping[str, Any]:
        """A file."""
        return {"database": str(folder / "test.duckdb")}

    def __init__(self, options: BaseModel, root: Path) -> None:
        assert isinstance(options, Options)
        self._file = File(root / options.database, options.database, options.options)
        self._publishing = threading.Lock()

    def check(self, dataset: Dataset, *, written: bool) -> Iterable[Flaw]:
        """What is wrong with a dataset's configuration here."""
        yield from tables.check(dataset, "duckdb")
        if dataset.config.query:
            yield from selection.check(dataset)
        if written:
            yield from selection.check_written(dataset)

    def pin(self, dataset: Dataset, part: Slice) -> Pin:
        """The states of the slices read, and their rows; queries and tables of somebody else have no version."""
        with self._reading(dataset, part) as (cursor, columns):
            if dataset.config.query:
                return Pin(None, "{}")
            condition = tables.condition(dataset, part, columns)
            rows = transaction.number(cursor, sql.count(selection.source(dataset), condition))
            held = {key: row.state for key, row in transaction.states(cursor, dataset).items()}
        return tables.pin(dataset, part, rows, held)

    def read(self, dataset: Dataset, part: Slice, pin: Pin, spool: Path) -> pl.LazyFrame:  # noqa: ARG002
        """The rows, copied to the spool by one statement, so that the file is free again while they are used."""
        return self.some(dataset, part, spool)

    def some(
        self, dataset: Dataset, part: Slice, spool: Path, columns: Sequence[str] | None = None, rows: int | None = None
    ) -> pl.LazyFrame:
        """The same of some columns, and no more than so many rows."""
        spool.mkdir(parents=True, exist_ok=True)
        target = spool / f"{dataset.name}-{uuid.uuid4().hex}.parquet"
        with self._reading(dataset, part) as (cursor, there):
            bounds = selection.parameters(dataset, part) | sql.bounds(part.new)
            _copy(cursor, selection.rows(dataset, part, there, rows, columns), bounds, target)
        return pl.scan_parquet(target, glob=False)

    def newest(self, dataset: Dataset, column: str) -> Any:
        """The greatest value of a column."""
        with self._reading(dataset, partition.WHOLE) as (cursor, _):
            query = sql.select(selection.source(dataset), [f"max({sql.quoted(column)})"])
            return cursor.execute(query, selection.parameters(dataset, partition.WHOLE)).fetchall()[0][0]

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

    def publish(self, publication: Publication) -> None:
        """Load the staged rows and remember their state in one transaction; once for the same run and fingerprint.

        Raises:
            DataError: the columns are not the table's.
            PublishError: the database refused.
        """
        self._file.make_folder()
        conflicts = Retrying(
            retry=retry_if_exception_type(duckdb.TransactionException),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=0.05, max=2) + wait_random(0, 0.05),
            reraise=True,
        )
        with self._publishing, tempfile.TemporaryDirectory() as folder, self._file.cursor(PublishError) as cursor:
            source = transaction.source_of(publication.staged, Path(folder))
            conflicts(transaction.publish, cursor, publication, source)

    def held(self, dataset: Dataset, parts: Sequence[Slice]) -> Mapping[str, Held]:
        """What the table of states says, and whether the rows still are those of then."""
        held = {part.key: Held() for part in parts}
        if not self._file.exists():
            return held
        with self._file.cursor() as cursor:
            cursor.execute("BEGIN TRANSACTION")
            rows = transaction.states(cursor, dataset)
            there = fitting.columns(cursor, str(dataset.config.table))
            number = transaction.number(cursor, sql.count(selection.source(dataset))) if there else None
            for part in parts:
                if row := rows.get(part.key):
                    now = contents.measure(cursor, dataset, part, there) if row.contents and there else None
                    held[part.key] = Held(row.state, _changed(dataset, row, number, now))
        return held

    def maintain(self, dataset: Dataset, upkeep: Upkeep) -> Sequence[str]:  # noqa: ARG002
        """Make the whole file smaller; staged files are the run's, and old versions there are none."""
        with self._publishing:
            return tidy(self._file, dry_run=upkeep.dry_run)

    def probe(self, *, written: bool) -> Iterable[Finding]:
        """Whether the file opens and takes a table; one that is not there yet is not made, its folder is tried."""
        read = tried("read", partial(self._told, written=written), "see `database:` of the store")
        yield read
        if written and read.outcome == "ok":
            there = self._file.exists()
            folder = self._file.path.parent
            yield tried("write", self._make_and_undo) if there else probing.writing(folder, str(folder))

    def _told(self, *, written: bool) -> str:
        if self._file.exists():
            with self._file.cursor() as cursor:
                number = transaction.number(cursor, sql.count(f"({sql.TABLES})"))
                return f"{self._file.shown}, {counted(number, 'table')}"
        if not written:
            raise FlowpipeError(f"there is no file {self._file.shown}", hint="see `database:` of the store")
        return f"{self._file.shown} is not there yet; the first publish makes it"

    def _make_and_undo(self) -> str:
        with self._file.cursor() as cursor:
            cursor.execute("BEGIN TRANSACTION")
            cursor.execute(f"CREATE TABLE {sql.quoted(f'_flowpipe_probe_{uuid.uuid4().hex}')} (x INTEGER)")
            cursor.execute("ROLLBACK")
        return "a table was made and rolled back"

    def close(self) -> None:
        """The file is closed whenever nothing is asked of it."""

    @contextlib.contextmanager
    def _reading(self, dataset: Dataset, part: Slice) -> Iterator[tuple[duckdb.DuckDBPyConnection, Mapping[str, str]]]:
        """A cursor for a dataset that should be there, and the SQL types of its columns.

        Raises:
            Missing: there is no such file, or no such table in it.
        """
        if dataset.config.query and schemes(dataset.config.query):
            self._file.make_folder()  # a query that reads elsewhere needs no table here
        elif not self._file.exists():
            folder = self._file.path.parent
            close = nearest(self._file.path.name, [path.name for path in folder.iterdir()] if folder.is_dir() else [])
            raise Missing(self._file.shown, str(Path(self._file.shown).parent / close) if close else None)
        with self._file.cursor(query=dataset.config.query) as cursor:
            # The wall-clock times of a query's $start and $end are those of the window.
            cursor.execute(f"SET TimeZone = {sql.literal(str(part.window.start.tzinfo) if part.window else 'UTC')}")
            cursor.execute("BEGIN TRANSACTION")
            if dataset.config.query:
                columns = transaction.described(cursor, selection.source(dataset), selection.parameters(dataset, part))
            else:
                columns = fitting.columns(cursor, str(dataset.config.table))
            if not columns:
                self._missing(cursor, str(dataset.config.table))
            yield cursor, columns

    def _missing(self, cursor: duckdb.DuckDBPyConnection, table: str) -> NoReturn:
        rows = cursor.execute(sql.TABLES).fetchall()
        tables = [name if schema == selection.SCHEMA else f"{schema}.{name}" for schema, name in rows]
        close = nearest(table, tables)
        raise Missing(f"table {table} in {self._file.shown}", f"table {close}" if close else None)


def _copy(cursor: duckdb.DuckDBPyConnection, rows: str, parameters: Mapping[str, object], target: Path) -> None:
    cursor.execute(f"COPY ({rows}) TO {sql.literal(str(target))} (FORMAT parquet)", parameters)


def _changed(dataset: Dataset, row: Remembered, rows: int | None, now: Contents | None) -> str | None:
    if rows is None:
        return "the table is gone"
    if now and row.contents:
        return now.changed(row.contents)
    if dataset.config.mode == "append" or rows == row.table_rows:
        return None  # what was appended once is not appended again, whoever has deleted from the table since
    if row.table_rows is None:
        return "the table was changed by somebody else"
    return f"its row count is {rows}, {row.table_rows} was published"
