"""What is asked of a PostgreSQL database: versions, rows, states, publishes."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from pydantic import BaseModel

from flowpipe import partition
from flowpipe.adapters import Dataset, Finding, Held, Missing, Pin, Publication, sql, tables
from flowpipe.adapters.abilities import Upkeep
from flowpipe.adapters.postgres import loading, probe, selection, table, transaction, types
from flowpipe.adapters.postgres.connection import Server, Session
from flowpipe.adapters.postgres.options import Options
from flowpipe.adapters.postgres.table import Remembered, Table
from flowpipe.adapters.tables import Database, Flaw
from flowpipe.errors import PublishError, nearest
from flowpipe.partition import Slice

T = TypeVar("T")


class Postgres(Database):
    """One database, by one user."""

    Options: type[BaseModel] = Options

    @classmethod
    def temporary(cls, folder: Path) -> Mapping[str, Any]:
        """A DuckDB file, which needs no server and takes the same tables."""
        return {"adapter": "duckdb", "database": str(folder / "test.duckdb")}

    def __init__(self, options: BaseModel, root: Path) -> None:  # noqa: ARG002
        assert isinstance(options, Options)
        self._options = options
        self._schema = options.schema_
        self._server = Server(options)

    def check(self, dataset: Dataset, *, written: bool) -> Iterable[Flaw]:
        """What is wrong with a dataset's configuration here."""
        yield from tables.check(dataset, "postgres")
        if dataset.config.query:
            yield from selection.check(dataset)
        if dataset.config.table:
            yield from selection.check_names(dataset, self._schema)
        if written:
            yield from selection.check_written(dataset)

    def pin(self, dataset: Dataset, part: Slice) -> Pin:
        """The states of the slices read, and their rows; queries and tables of somebody else have no version."""

        def look(session: Session, found: Table) -> tuple[int, dict[str, Remembered]]:
            source = selection.source(dataset, self._schema)
            condition = tables.condition(dataset, part, found.columns)
            return found.mark(session, source, condition), table.states(session, dataset, self._schema)

        if dataset.config.query:
            self._ask(dataset, part, lambda *_: None)
            return Pin(None, "{}")
        rows, remembered = self._ask(dataset, part, look)
        return tables.pin(dataset, part, rows, {key: row.state for key, row in remembered.items()})

    def read(self, dataset: Dataset, part: Slice, pin: Pin, spool: Path) -> pl.LazyFrame:  # noqa: ARG002
        """The rows, streamed to the spool at one moment, so that no transaction is open while they are used."""
        return self.some(dataset, part, spool)

    def some(
        self, dataset: Dataset, part: Slice, spool: Path, columns: Sequence[str] | None = None, rows: int | None = None
    ) -> pl.LazyFrame:
        """The same of some columns, and no more than so many rows."""
        spool.mkdir(parents=True, exist_ok=True)
        target = spool / f"{dataset.name}-{uuid.uuid4().hex}.parquet"
        found = self._ask(dataset, part, lambda _, found: found)
        wanted = {name: found.columns[name] for name in (found.columns if columns is None else columns)}

        def stream(session: Session) -> None:
            session.rows("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if found.lockable:
                # Before the moment that is read: a table swapped in later would be empty then.
                session.rows(f"LOCK TABLE {selection.source(dataset, self._schema)} IN ACCESS SHARE MODE")
            session.rows(*selection.bounds(dataset, part))
            query = selection.rows(dataset, part, found.columns, self._schema, names=wanted, limit=rows)
            loading.copy(session, query, _frame(wanted), target)

        self._server.move(stream)
        return pl.scan_parquet(target, glob=False)

    def newest(self, dataset: Dataset, column: str) -> Any:
        """The greatest value of a column."""

        def look(session: Session, _: Table) -> Any:
            query = sql.select(selection.source(dataset, self._schema), [f"max({sql.quoted(column)})"])
            return session.rows(query)[0][0]

        return self._ask(dataset, partition.WHOLE, look)

    def schema(self, dataset: Dataset, part: Slice | None = None) -> Mapping[str, pl.DataType] | None:  # noqa: ARG002
        """The columns as they are read; all slices have the same."""
        with contextlib.suppress(Missing):
            return _frame(self._ask(dataset, partition.WHOLE, lambda _, found: found.columns))
        return None

    def filled(self, dataset: Dataset) -> Collection[str]:
        """Columns with a default, an identity or an expression of their own."""
        with contextlib.suppress(Missing):
            return self._ask(dataset, partition.WHOLE, lambda _, found: found.filled | found.computed)
        return ()

    def is_empty(self, dataset: Dataset, part: Slice) -> bool:
        """Whether a slice holds no row."""

        def look(session: Session, found: Table) -> bool:
            condition = tables.condition(dataset, part, found.columns)
            return not session.rows(sql.select(selection.source(dataset, self._schema), ["1"], condition, limit=1))

        with contextlib.suppress(Missing):
            return self._ask(dataset, part, look)
        return True

    def storable(self, dataset: Dataset, schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:  # noqa: ARG002
        """The type that each column is written as, and read back as.

        Raises:
            DataError: a column that PostgreSQL cannot hold.
        """
        return types.storable(schema)

    def publish(self, publication: Publication) -> None:
        """Load the staged rows and remember their state in one transaction; once for the same run and fingerprint.

        Raises:
            DataError: the rows do not fit the table or break its constraints.
            PublishError: the database refused.
        """
        self._server.move(lambda session: transaction.publish(session, publication, self._schema), PublishError)

    def held(self, dataset: Dataset, parts: Sequence[Slice]) -> Mapping[str, Held]:
        """What the table of states says, and whether the table still is as it was then."""

        def look(session: Session) -> tuple[dict[str, Remembered], int | None]:
            remembered = table.states(session, dataset, self._schema)
            found = table.find(session, str(dataset.config.table), self._schema) if remembered else None
            source = selection.source(dataset, self._schema)
            return remembered, found.mark(session, source) if found else None

        held = {part.key: Held() for part in parts}
        remembered, mark = self._server.ask(look)
        for key in held.keys() & remembered.keys():
            held[key] = Held(remembered[key].state, _changed(dataset, remembered[key], mark))
        return held

    def maintain(self, dataset: Dataset, upkeep: Upkeep) -> Sequence[str]:
        """Give the space of removed rows back, and let the planner know the rows that are there."""
        name = dataset.config.table
        if name is None or self.schema(dataset) is None:
            return []
        if upkeep.dry_run:
            return [f"table {name} would be vacuumed and analyzed"]
        self._server.alone(f"VACUUM (ANALYZE) {sql.qualified(name, self._schema)}")
        return [f"table {name} was vacuumed and analyzed"]

    def probe(self, *, written: bool) -> Iterable[Finding]:
        """Whether the server answers, its version and clock, and whether the schema can be read and written."""
        return probe.findings(self._server, self._options, written=written)

    def close(self) -> None:
        """Close all connections."""
        self._server.close()

    def _ask(self, dataset: Dataset, part: Slice, look: Callable[[Session, Table], T]) -> T:
        """What `look` finds out of a dataset that should be there.

        Raises:
            Missing: there is no such table.
        """

        def found(session: Session) -> T:
            session.rows(*selection.bounds(dataset, part))
            name = str(dataset.config.table)
            if dataset.config.query:
                return look(session, table.described(session, selection.source(dataset, self._schema)))
            there = table.find(session, name, self._schema)
            if there is None:
                close = nearest(name, table.names(session, self._schema))
                raise Missing(f"table {name} in {self._options.shown}", f"table {close}" if close else None)
            return look(session, there)

        return self._server.ask(found)


def _frame(columns: Mapping[str, str]) -> dict[str, pl.DataType]:
    return {name: types.polars(kind) for name, kind in columns.items()}


def _changed(dataset: Dataset, row: Remembered, mark: int | None) -> str | None:
    if mark is None:
        return "the table is gone"
    if dataset.config.mode == "append" or mark == row.mark:
        return None  # what was appended once is not appended again, whoever has deleted from the table since
    return "the table was changed by somebody else"
