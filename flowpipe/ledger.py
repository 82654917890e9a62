"""The history of runs: what is kept of the record stream, in one SQLite file.

The ledger decides nothing: without it every plan is the same. So a run does not start when its ledger cannot be
written, but from then on never fails because of it: the first record that is lost is a warning in the log, and later
ones no longer wait for other writers.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from flowpipe import history
from flowpipe.errors import UsageError, Where, unknown
from flowpipe.history import NodeRow, RunDetail, RunRow
from flowpipe.liveness import Liveness
from flowpipe.records import Record, RunEnded, RunStarted

_log = logging.getLogger(__name__)
_PATIENCE = 10.0


def new_run_id(now: datetime) -> str:
    """A name for a run that starts `now` (an aware datetime): names sort by time, in UTC.

    >>> new_run_id(datetime(2026, 11, 22, 14, 13, 9, tzinfo=UTC))[:-4]
    '20261122-141309-'
    """
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Ledger:
    """The ledger in the file `path`, which need not be there yet; may be used from several threads.

    As a block's resource it closes the file and lets go of the runs that did not end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._where = Where(str(path))
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._liveness = Liveness(path.with_name(f"{path.name}.running"))
        self._complete = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; runs that this object wrote and that have not ended count as crashed from now on."""
        with self._guard:
            self._liveness.let_all_go()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def write(self, record: Record) -> None:
        """Keep one record.

        Raises:
            UsageError: the record starts a run, and the ledger cannot be written, is damaged, or is a newer flowpipe's.
        """
        with self._guard:
            if isinstance(record, RunStarted):
                with self._explained("written"):
                    self._liveness.hold(record.run)
                    history.store(self._writing(), record)
                return
            try:
                history.store(self._writing(), record)
            except (sqlite3.Error, OSError, UsageError) as error:
                self._lost(error)
            if isinstance(record, RunEnded):
                self._liveness.let_go(record.run)

    def sweep(self) -> list[str]:
        """Mark the runs whose process died, and what they had begun, as crashed; returns their names.

        Does nothing where the ledger cannot be written.

        Raises:
            UsageError: the ledger is damaged, or a newer flowpipe's.
        """
        with self._reading() as connection:
            unfinished = history.names(connection, unfinished=True) if connection else []
            dead = [run for run in unfinished if self._liveness.is_dead(run)]
        if not dead:
            return []
        with self._guard, self._explained("written"):
            try:
                for run in dead:
                    history.crash(self._writing(), run)
            except (sqlite3.OperationalError, OSError):
                return []
        return dead

    def version(self) -> int | None:
        """The version of the file; None where nothing has been written yet.

        Raises:
            UsageError: the ledger cannot be read, is damaged, or is a newer flowpipe's.
        """
        with self._reading() as connection:
            return self._version(connection) if connection else None

    def runs(self, limit: int = 20) -> list[RunRow]:
        """The latest runs, newest first.

        Raises:
            UsageError: the ledger cannot be read, is damaged, or is a newer flowpipe's.
        """
        with self._reading() as connection:
            return history.latest(connection, limit) if connection else []

    def last_of_node(self, pipeline: str, node: str) -> tuple[str, str, NodeRow] | None:
        """The latest run and slice in which a node ran, and how that went; None: never.

        Raises:
            UsageError: the ledger cannot be read, is damaged, or is a newer flowpipe's.
        """
        with self._reading() as connection:
            return history.last_of_node(connection, pipeline, node) if connection else None

    def run(self, name: str) -> RunDetail:
        """One run by its name, the beginning of its name, or `last`.

        Raises:
            UsageError: no run or several runs have such a name, or the ledger cannot be read.
        """
        with self._reading() as connection:
            known = history.names(connection) if connection else []
            found = known[:1] if name == "last" else [run for run in known if run.startswith(name)]
            if connection is None or not found:
                problem = unknown("run", name, known[:12])
                raise UsageError(problem.message, hint=problem.hint)
            if len(found) > 1 and name not in found:
                shown = ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
                raise UsageError(f'"{name}" begins the names of {len(found)} runs', hint=f"give more of one: {shown}")
            return history.detail(connection, name if name in found else found[0])

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection that changes nothing; None where nothing has been written yet."""
        if not self._path.exists():
            yield None
            return
        with self._explained("read"), closing(self._open_to_read()) as connection:
            connection.row_factory = sqlite3.Row
            yield connection if self._version(connection) else None

    def _open_to_read(self) -> sqlite3.Connection:
        # Readers of a write-ahead log need a file beside it. Where none can be made, nobody writes either.
        failure: sqlite3.OperationalError | None = None
        for option in ("mode=ro", "immutable=1"):
            connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?{option}", uri=True, timeout=_PATIENCE)
            try:
                connection.execute("SELECT count(*) FROM sqlite_schema")
            except sqlite3.OperationalError as error:
                failure = failure or error
                connection.close()
            else:
                return connection
        raise failure or sqlite3.OperationalError

    def _writing(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                if self._version(connection) < history.VERSION:
                    self._create(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _create(self, connection: sqlite3.Connection) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have been first.
            version = self._version(connection)
            if version < history.VERSION:
                for statement in (history.ADDED[version] if version else history.TABLES).split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {history.VERSION}")

    def _version(self, connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > history.VERSION:
            raise UsageError(
                f"the run ledger has version {version}, this flowpipe knows version {history.VERSION}",
                where=self._where,
                hint="upgrade flowpipe, or delete the file: it is only history",
            )
        return int(version)

    @contextmanager
    def _explained(self, attempt: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
                raise UsageError(
                    "the run ledger is damaged", where=self._where, hint="delete the file: it is only history"
                ) from error
            raise UsageError(
                f"the run ledger cannot be {attempt}: {getattr(error, 'strerror', None) or error}",
                where=self._where,
                hint="check the folder's permissions and free space",
            ) from error

    def _lost(self, error: Exception) -> None:
        if self._complete:
            _log.warning("the history of this run is incomplete: %s", error)
            self._complete = False
            if self._connection is not None:
                self._connection.execute("PRAGMA busy_timeout = 0")
