"""What a server's refusal means: whether to try again, whose fault it is, and how it is told; for both drivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowpipe.adapters.postgres.types import MARK
from flowpipe.errors import DataError, FlowpipeError

# A serialization failure, a deadlock, a shutdown or a start of the server, a full house, a lost connection.
_TRANSIENT = ("40001", "40P01", "57P01", "57P02", "57P03", "53300", "08")
# Values that do not fit, broken constraints, values for generated columns: the same rows will never be taken.
_DATA = ("22", "23", "428C9")
_HINTS = {
    "55P03": "another transaction holds a lock on it; run again, or raise `lock_timeout`",
    "57014": "run again, or raise `statement_timeout`",
    "42501": "grant it to the user that the profile connects as",
}


@dataclass(frozen=True)
class Refusal:
    """What a server said; `sqlstate` is empty where there was no answer at all."""

    sqlstate: str
    message: str
    detail: str | None = None
    hint: str | None = None

    @property
    def transient(self) -> bool:
        """Whether the same may succeed soon."""
        return not self.sqlstate or self.sqlstate.startswith(_TRANSIENT)

    def error(self, shown: str, failure: type[FlowpipeError]) -> FlowpipeError:
        """It as an error of flowpipe."""
        if MARK in self.message:
            said = self.message.partition(MARK)[2].rstrip('"')
            hint = "Polars has no such value; read it by a `query:` that makes it NULL, or text"
            return DataError(said, hint=hint)
        kind = DataError if self.sqlstate.startswith(_DATA) else failure
        text = f"{self.message}: {self.detail}" if self.detail else self.message
        return kind(f"{shown}: {text}", hint=self.hint or _HINTS.get(self.sqlstate))


def of_psycopg(error: Any) -> Refusal:
    """What psycopg raised."""
    diagnosis = error.diag
    message = diagnosis.message_primary or _first_line(str(error))
    return Refusal(error.sqlstate or "", message, diagnosis.message_detail, diagnosis.message_hint)


def of_adbc(error: Any) -> Refusal:
    """What ADBC raised."""
    said = {key: value.decode("utf-8", "replace") for key, value in error.details or ()}
    message = said.get("PG_DIAG_MESSAGE_PRIMARY") or _first_line(str(error))
    detail, hint = said.get("PG_DIAG_MESSAGE_DETAIL"), said.get("PG_DIAG_MESSAGE_HINT")
    return Refusal(error.sqlstate or "", message, detail, hint)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
