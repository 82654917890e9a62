"""When the DuckDB file is open, which remote files it reaches, and how its errors are told.

The file is open only while something is asked of it, once in this process, and never touched by anything but DuckDB
while it is: closing a second descriptor would drop the lock that keeps other processes out.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from flowpipe import memory
from flowpipe.errors import FlowpipeError, PublishError

_URL = re.compile(r"'([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_LOCKED = "Could not set lock"
_PATIENCE = 3.0  # seconds


def schemes(query: str) -> set[str]:
    """How the URLs in a query begin.

    >>> schemes("FROM 's3://bucket/*.parquet' JOIN 'data/x.csv' USING (id)")
    {'s3'}
    """
    return {match.lower() for match in _URL.findall(query)} - {"file"}


class File:
    """One DuckDB file, opened for whoever asks and closed by the last."""

    def __init__(self, path: Path, shown: str, options: Mapping[str, Any]) -> None:
        # DuckDB opens a second instance for another name of the same file.
        self.path = path.resolve()
        self.shown = shown
        self._options = options
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._users = 0
        self._opening = threading.Lock()

    def exists(self) -> bool:
        """Whether the file is there.

        Raises:
            FlowpipeError: that may not be asked.
        """
        try:
            return self.path.exists()
        except PermissionError as error:
            raise self._denied(FlowpipeError) from error

    def make_folder(self) -> None:
        """For a file that is about to be made.

        Raises:
            PublishError: the folder cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except PermissionError as error:
            raise self._denied(PublishError) from error
        except (FileExistsError, NotADirectoryError) as error:
            text = f"{self.shown} cannot be made: a file is where its folder should be"
            raise PublishError(text, hint="see `database:` of the store") from error

    @contextlib.contextmanager
    def cursor(
        self, failure: type[FlowpipeError] = FlowpipeError, query: str | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of the one connection, which the last user closes; it reaches the URLs that a query names.

        Raises:
            FlowpipeError: the file cannot be opened, or DuckDB refuses; of the type `failure`.
        """
        try:
            with self._opening:
                if self._connection is None:
                    self._connection = self._connect()
                    memory.bound(self._connection)
                cursor = self._connection.cursor()
                self._users += 1
            try:
                if query:
                    self._reach(cursor, query)
                yield cursor
            finally:
                with self._opening:
                    cursor.close()
                    self._users -= 1
                    if not self._users:
                        self._connection.close()
                        self._connection = None
        except duckdb.Error as error:
            raise self._said(str(error), failure) from error

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """The file, opened; another run that publishes into it has it for a moment only, and is waited for."""
        tries = Retrying(
            retry=retry_if_exception(lambda error: _LOCKED in str(error)),
            stop=stop_after_delay(_PATIENCE),
            wait=wait_random_exponential(multiplier=0.02, max=0.3),
            reraise=True,
        )
        return tries(duckdb.connect, str(self.path))

    def _reach(self, cursor: duckdb.DuckDBPyConnection, query: str) -> None:
        """Not by DuckDB's own extensions, which would be downloaded."""
        from flowpipe import objectstore

        for scheme in schemes(query):
            with self._opening:
                if scheme not in cursor.list_filesystems():
                    fs, _ = objectstore.filesystem(f"{scheme}://", self._options)
                    cursor.register_filesystem(fs)

    def _said(self, text: str, failure: type[FlowpipeError]) -> FlowpipeError:
        if _LOCKED in text:
            holder = text.partition("(PID ")[2].partition(")")[0]
            who = f"process {holder}" if holder else "another process"
            return failure(f"{self.shown} is held open by {who}", hint="close it there, then run again")
        if "not a valid DuckDB database file" in text or text.endswith("Is a directory"):
            return failure(f"{self.shown} is not a DuckDB file", hint="see `database:` of the store")
        if "Permission denied" in text and str(self.path) in text:
            return self._denied(failure)
        lines = [line for line in text.splitlines() if line.strip()]
        if lines[0].startswith("Traceback"):  # of a remote file system
            return failure(f"{self.shown}: {_cause(lines)}", hint="see `options:` of the store")
        return failure(f"{self.shown}: {lines[0]}", hint=lines[1] if len(lines) > 1 and "Did you" in lines[1] else None)

    def _denied(self, failure: type[FlowpipeError]) -> FlowpipeError:
        hint = "DuckDB needs to read and write the file and its folder, also to read a table"
        return failure(f"{self.shown}: permission denied", hint=hint)


def _cause(lines: list[str]) -> str:
    """The exception of a traceback in a message."""
    return next(line for line in lines[1:] if not line.startswith(" "))
