"""What a look at one thing found: well, not well, or worth knowing; and how whatever goes wrong in a look is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from flowpipe.errors import FlowpipeError, Problem

_FAR, _NOTABLE = (
    60.0,
    5.0,
)  # seconds that a clock may be wrong; S3 refuses at 15 minutes


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. What is not well has a hint: what to do about it."""

    what: str
    outcome: Literal["ok", "note", "FAIL"]
    text: str
    hint: str | None = None

    def hidden(self, redact: Callable[[str], str]) -> Finding:
        """The same without the secrets that `redact` takes out of a text."""
        return replace(self, text=redact(self.text), hint=self.hint and redact(self.hint))


def tried(what: str, act: Callable[[], str], hint: str | None = None) -> Finding:
    """What comes of an act that tells how it went; whatever it raises is not well, and no reason to stop looking.

    >>> tried("read", lambda: "3 tables").outcome, tried("read", lambda: str(1 / 0)).text
    ('ok', 'ZeroDivisionError: division by zero')
    """
    try:
        return Finding(what, "ok", act())
    except Exception as error:  # noqa: BLE001 - that is what a look is for
        return failed(what, error, hint)


def guarded(what: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What is found, one by one; whatever is raised meanwhile is one more finding, the last.

    >>> [found.text for found in guarded("disk", lambda: [][0])]
    ['IndexError: list index out of range']
    """
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - that is what it guards
        yield failed(what, error)


def failed(what: str, error: Exception, hint: str | None = None) -> Finding:
    """An error as what was found; `hint` is for one that brings none."""
    hint = hint or "if this line does not tell what to mend, report it"
    if isinstance(error, FlowpipeError):
        return of_problem(what, error.problems[0], hint)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else None
    lines = str(error).strip().splitlines()
    return Finding(what, "FAIL", reason or ": ".join((type(error).__name__, *lines[:1])), hint)


def of_problem(what: str, problem: Problem, hint: str) -> Finding:
    """A problem, its place in front, as what was found."""
    text = f"{problem.where}: {problem.message}" if problem.where else problem.message
    return Finding(what, "FAIL", text, problem.hint or hint)


def of_clocks(theirs: datetime) -> Finding:
    """What a server's clock, just asked, says of ours."""
    ahead = (datetime.now(UTC) - theirs).total_seconds()
    # Some tell full seconds only.
    if abs(ahead) < _NOTABLE:
        return Finding("clock", "ok", "the same as here")
    size = f"{abs(ahead):,.0f} s" if abs(ahead) < 7200 else f"{abs(ahead) / 3600:,.1f} hours"
    text = f"ours is {size} {'ahead of' if ahead > 0 else 'behind'} the server's"
    outcome: Literal["note", "FAIL"] = "FAIL" if abs(ahead) > _FAR else "note"
    return Finding("clock", outcome, text, "let NTP set the clock that is wrong, as by `timedatectl set-ntp true`")
