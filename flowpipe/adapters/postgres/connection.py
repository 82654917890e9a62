"""When a server is connected to, by which driver, and what is tried again: questions go by psycopg, rows by ADBC."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from flowpipe.adapters import sql
from flowpipe.adapters.postgres import faults
from flowpipe.adapters.postgres.options import Options
from flowpipe.errors import FlowpipeError

T = TypeVar("T")
# Together about half a minute: a server that is restarted is back by then.
_ATTEMPTS, _LONGEST_WAIT = 12, 4


class Session:
    """One transaction; statements name their parameters `$1`, `$2`, whichever driver runs them."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a statement gives; nothing where it is no query."""
        self.cursor.execute(statement, list(parameters) or None)
        return list(self.cursor.fetchall()) if self.cursor.description else []

    def number(self, statement: str) -> int:
        """The one number that a statement gives."""
        return int(self.rows(statement)[0][0])


class _Refused(Exception):
    """What a server said, on its way through the retries."""

    def __init__(self, refusal: faults.Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class _Driver(Protocol):
    def connect(self, options: Options) -> Any: ...

    def cursor(self, connection: Any) -> Any: ...

    def refusal(self, error: Exception) -> faults.Refusal | None: ...


class _Psycopg:
    def connect(self, options: Options) -> Any:
        import psycopg

        connection = psycopg.connect(options.conninfo, cursor_factory=psycopg.RawCursor)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return connection

    def cursor(self, connection: Any) -> Any:
        return connection.cursor()

    def refusal(self, error: Exception) -> faults.Refusal | None:
        import psycopg

        return faults.of_psycopg(error) if isinstance(error, psycopg.Error) else None


class _Adbc:
    def connect(self, options: Options) -> Any:
        from adbc_driver_postgresql import dbapi

        return dbapi.connect(options.conninfo)

    def cursor(self, connection: Any) -> Any:
        return connection.cursor()

    def refusal(self, error: Exception) -> faults.Refusal | None:
        from adbc_driver_postgresql import dbapi

        return faults.of_adbc(error) if isinstance(error, dbapi.Error) else None


class Server:
    """One server as one user; connections are kept for as long as the store is."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._asking, self._moving = _Psycopg(), _Adbc()
        self._idle: dict[_Driver, deque[Any]] = {self._asking: deque(), self._moving: deque()}
        self._answered = False

    def ask(self, work: Callable[[Session], T]) -> T:
        """What `work` finds out, all of it at one moment."""
        return self._tried(self._asking, work, FlowpipeError)

    def move(self, work: Callable[[Session], T], failure: type[FlowpipeError] = FlowpipeError) -> T:
        """Commit what `work` does, which may be done again where the server did not say that it had."""
        return self._tried(self._moving, work, failure)

    def alone(self, statement: str) -> None:
        """Run a statement that is no part of a transaction.

        Raises:
            FlowpipeError: the server refused.
        """
        with self._connected(self._asking) as connection:
            connection.autocommit = True
            try:
                connection.execute(statement)
            finally:
                connection.autocommit = False

    def close(self) -> None:
        """Let go of all connections; the next question connects again."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _tried(self, driver: _Driver, work: Callable[[Session], T], failure: type[FlowpipeError]) -> T:
        retried = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, _Refused) and self._may_pass(error.refusal)),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=0.05, max=_LONGEST_WAIT) + wait_random(0, 0.05),
            reraise=True,
        )
        try:
            return retried(self._once, driver, work)
        except _Refused as refused:
            raise refused.refusal.error(self._options.shown, failure) from refused.__cause__

    def _may_pass(self, refusal: faults.Refusal) -> bool:
        """A server that never answered is told at once: its address or the password is wrong."""
        return refusal.transient and (self._answered or bool(refusal.sqlstate))

    def _once(self, driver: _Driver, work: Callable[[Session], T]) -> T:
        with self._connected(driver) as connection:
            cursor = driver.cursor(connection)
            try:
                result = work(Session(cursor))
                cursor.close()
                connection.commit()
            except BaseException:
                with contextlib.suppress(Exception):
                    cursor.close()
                connection.rollback()
                raise
        return result

    @contextlib.contextmanager
    def _connected(self, driver: _Driver) -> Iterator[Any]:
        """A connection that is nobody else's; one that failed is not used again."""
        try:
            try:
                connection = self._idle[driver].pop()
            except IndexError:
                connection = self._connect(driver)
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(Exception):
                    connection.close()
                raise
            self._idle[driver].append(connection)
        except Exception as error:
            refusal = driver.refusal(error)
            if refusal is None:
                raise
            raise _Refused(refusal) from error

    def _connect(self, driver: _Driver) -> Any:
        connection = driver.connect(self._options)
        self._answered = True
        session = Session(driver.cursor(connection))
        for name, value in self._options.settings.items():
            session.rows("SELECT set_config($1, $2, false)", [name, value])
        # The store's tables come first where a query or `after_publish:` names no schema.
        path = "quote_ident($1) || ', ' || current_setting('search_path')"
        session.rows(f"SELECT set_config('search_path', {path}, false)", [self._options.schema_])
        session.cursor.close()
        connection.commit()
        return connection
