"""When a server is connected to, by which driver, and what is tried again: questions go by psycopg, rows by ADBC."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from flowpipe.adapters.postgres import faults
from flowpipe.adapters.postgres.faults import Refusal
from flowpipe.adapters.postgres.options import Options
from flowpipe.errors import FlowpipeError

T = TypeVar("T")
# Together about 20 seconds: a server that is restarted is back by then.
_ATTEMPTS, _LONGEST_WAIT = 12, 4


class Session:
    """One transaction; statements name their parameters `$1`, `$2`, whichever driver runs them."""

    def __init__(self, cursor: Any, schema: str) -> None:
        self.cursor = cursor
        self.doing: tuple[str, str] | None = None
        self.spent = False
        self._schema = schema

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a statement gives; nothing where it is no query."""
        self.cursor.execute(statement, list(parameters) or None)
        return list(self.cursor.fetchall()) if self.cursor.description else []

    def number(self, statement: str) -> int:
        """The one number that a statement gives."""
        return int(self.rows(statement)[0][0])

    @contextlib.contextmanager
    def told_as(self, doing: str, hint: str) -> Iterator[None]:
        """What fails inside is told so: it is the user's statement, and not the fault of the rows.

        Whatever it sets ends with it, or with the connection.
        """
        self.doing, self.spent = (doing, hint), True
        yield
        self.doing = None
        self.at_home()

    def at_home(self) -> None:
        """The store's tables come first where a statement names no schema."""
        path = "quote_ident($1) || ', ' || current_setting('search_path')"
        self.rows(f"SELECT set_config('search_path', {path}, false)", [self._schema])


class Refused(Exception):
    """What a server said, before it is told or tried again; `doing` is at which statement of the user's."""

    def __init__(self, refusal: Refusal, doing: tuple[str, str] | None = None, *, lost: bool = False) -> None:
        super().__init__(refusal.message)
        self.refusal, self.doing, self.lost = refusal, doing, lost

    def error(self, shown: str, failure: type[FlowpipeError]) -> FlowpipeError:
        """It as an error of flowpipe."""
        if self.doing is None:
            return self.refusal.error(shown, failure, lost=self.lost)
        message, hint = self.doing
        return failure(f"{message}: {self.refusal.text}", hint=hint)


class _Driver(Protocol):
    def connect(self, options: Options) -> Any: ...

    def refusal(self, error: BaseException) -> Refusal | None: ...


class _Psycopg:
    def connect(self, options: Options) -> Any:
        import psycopg

        connection = psycopg.connect(options.conninfo, cursor_factory=psycopg.RawCursor)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        return connection

    def refusal(self, error: BaseException) -> Refusal | None:
        import psycopg

        return faults.of_psycopg(error) if isinstance(error, psycopg.Error) else None


class _Adbc:
    def connect(self, options: Options) -> Any:
        from adbc_driver_postgresql import dbapi

        return dbapi.connect(options.conninfo)

    def refusal(self, error: BaseException) -> Refusal | None:
        from adbc_driver_postgresql import dbapi

        if isinstance(error, faults.BrokenStream):
            return error.refusal
        return faults.of_adbc(error) if isinstance(error, dbapi.Error) else None


class Server:
    """One server as one user; connections are kept for as long as the store is."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._asking, self._moving = _Psycopg(), _Adbc()
        self._idle: dict[_Driver, deque[Any]] = {self._asking: deque(), self._moving: deque()}
        self._answered = False

    def ask(self, work: Callable[[Session], T]) -> T:
        """What `work` finds out, all of it at one moment.

        Raises:
            FlowpipeError: the server refused.
        """
        return self._tried(self._asking, work, FlowpipeError)

    def move(self, work: Callable[[Session], T], failure: type[FlowpipeError] = FlowpipeError) -> T:
        """Commit what `work` does; it is done again where the server did not say that it had been.

        Raises:
            DataError: a value or a row cannot be taken.
            FlowpipeError: the server refused; it is of the type `failure`.
        """
        return self._tried(self._moving, work, failure)

    def alone(self, statement: str) -> None:
        """Run a statement that is no part of a transaction.

        Raises:
            FlowpipeError: the server refused.
        """

        def run(session: Session) -> None:
            session.cursor.connection.commit()
            session.cursor.connection.autocommit = True
            try:
                session.rows(statement)
            finally:
                session.cursor.connection.autocommit = False

        self.ask(run)

    def close(self) -> None:
        """Let go of all connections; the next question connects again."""
        for idle in self._idle.values():
            while idle:
                _close(idle.pop())

    def _tried(self, driver: _Driver, work: Callable[[Session], T], failure: type[FlowpipeError]) -> T:
        retried = Retrying(
            retry=retry_if_exception(self._may_pass),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=0.05, max=_LONGEST_WAIT) + wait_random(0, 0.05),
            reraise=True,
        )
        try:
            result: T = retried(self._once, driver, work)
        except Refused as refused:
            raise refused.error(self._options.shown, failure) from refused.__cause__
        return result

    def _may_pass(self, error: BaseException) -> bool:
        """A server that never answered is told at once: its address or the password is wrong."""
        if not isinstance(error, Refused):
            return False
        return error.refusal.passes or (error.lost and self._answered)

    def _once(self, driver: _Driver, work: Callable[[Session], T]) -> T:
        """Work in a transaction of a connection that is nobody else's meanwhile."""
        try:
            connection = self._idle[driver].pop() if self._idle[driver] else self._connect(driver)
        except Exception as error:
            if refusal := driver.refusal(error):
                raise Refused(refusal, lost=True) from error
            raise
        cursor = connection.cursor()
        session = self._session(cursor)
        try:
            result = work(session)
            cursor.close()
            connection.commit()
        except BaseException as error:
            lost = not self._back_out(driver, connection, cursor)
            if refusal := driver.refusal(error):
                raise Refused(refusal, session.doing, lost=lost) from error
            raise
        if session.spent:
            _close(connection)
        else:
            self._idle[driver].append(connection)
        return result

    def _session(self, cursor: Any) -> Session:
        return Session(cursor, self._options.schema_)

    def _back_out(self, driver: _Driver, connection: Any, cursor: Any) -> bool:
        """Roll back, if the server is there: else all connections to it are gone."""
        try:
            cursor.close()
            connection.rollback()
            # Where no transaction had begun a rollback succeeds without a server, too.
            with contextlib.closing(connection.cursor()) as probe:
                self._session(probe).rows("SELECT 1")
            connection.rollback()
        except Exception:  # noqa: BLE001 - what has failed is told already
            for each in (connection, *self._idle[driver]):
                _close(each)
            self._idle[driver].clear()
            return False
        self._idle[driver].append(connection)
        return True

    def _connect(self, driver: _Driver) -> Any:
        connection = driver.connect(self._options)
        self._answered = True
        cursor = connection.cursor()
        session = self._session(cursor)
        for name, value in self._options.settings.items():
            session.rows("SELECT set_config(name, $2, false) FROM pg_settings WHERE name = $1", [name, value])
        session.at_home()
        cursor.close()
        connection.commit()
        return connection


def _close(connection: Any) -> None:
    """What is lost cannot always be closed, either."""
    with contextlib.suppress(Exception):
        connection.close()
