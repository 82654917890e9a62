"""What a server's refusal means: whether to try again, whose fault it is, and how it is told; for both drivers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flowpipe.adapters.postgres.types import MARK
from flowpipe.errors import DataError, FlowpipeError

# A serialization failure, a deadlock, a shutdown or a start of the server, a full house, a lost connection.
_TRANSIENT = ("40001", "40P01", "57P01", "57P02", "57P03", "53300", "08")
# Who is not let in is told without a code.
_BUSY = re.compile(r"the database system is |too many (clients|connections)|remaining connection slots")
# Values that do not fit, broken constraints, values for generated columns: the same rows will never be taken.
_DATA = ("22", "23", "428C9")
_COLUMN = re.compile(r"COPY .*, line \d+, column ([^\n]*?)(: \"[^\n]*)?$", re.MULTILINE)
_ADBC = ("MESSAGE_PRIMARY", "MESSAGE_DETAIL", "MESSAGE_HINT", "CONTEXT")
_SEVERITY = re.compile(r"^\[libpq\][^\n]*?: (\w+:  )?")
_HINTS = {
    "08": "does the server run, and are the store's host, port, user and password right?",
    "22021": 'remove NUL characters, as by .str.replace_all("\\0", "")',
    "42601": "mend the dataset's `query:`",
    "42703": "mend the dataset's `query:`",
    "42P01": "make it, or mend the dataset's `table:` or `query:`",
    "42501": "grant it to the user that the store connects as",
    "55P03": "another transaction holds a lock on it; run again, or raise the store's `lock_timeout`",
    "57014": "raise the store's `statement_timeout`",
}


@dataclass(frozen=True)
class Refusal:
    """What a server said; `sqlstate` is empty where it gave no code, `place` is where in a statement."""

    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    place: str = ""

    @property
    def passes(self) -> bool:
        """Whether the same may succeed soon."""
        return self.sqlstate.startswith(_TRANSIENT) if self.sqlstate else _BUSY.search(self.message) is not None

    @property
    def text(self) -> str:
        """What was said, and of which column of the rows."""
        column = _COLUMN.search(self.place)
        return ": ".join(filter(None, (f'column "{column[1]}"' if column else "", self.message, self.detail)))

    def error(self, shown: str, failure: type[FlowpipeError], *, lost: bool) -> FlowpipeError:
        """It as an error of flowpipe."""
        if MARK in self.message:
            said = self.message.partition(MARK)[2].rstrip('"')
            return DataError(said, hint="Polars has no such value; read it by a `query:` that makes it NULL, or text")
        kind = DataError if self.sqlstate.startswith(_DATA) else failure
        return kind(f"{shown}: {self.text}", hint=self.hint or _HINTS.get("08" if lost else self.sqlstate))


def of_psycopg(error: Any) -> Refusal:
    """What psycopg raised."""
    said = error.diag
    message = said.message_primary or _first_line(str(error))
    return Refusal(error.sqlstate or "", message, said.message_detail or "", said.message_hint or "")


def of_adbc(error: Any) -> Refusal:
    """What ADBC raised."""
    details = {_text(key).removeprefix("PG_DIAG_"): _text(value) for key, value in error.details or ()}
    message, detail, hint, place = (details.get(key, "") for key in _ADBC)
    return Refusal(error.sqlstate or "", message or _first_line(str(error)), detail, hint, place)


class BrokenStream(Exception):
    """What came in place of the next rows; Arrow's streams know no codes."""

    @property
    def refusal(self) -> Refusal:
        said = _SEVERITY.sub("", str(self), count=1)
        return Refusal("", _first_line(said))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _first_line(text: str) -> str:
    return " ".join(text.strip().partition("\n")[0].split())
