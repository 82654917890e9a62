"""What can go wrong, as one tree: every message says where, what, and what to do about it.

    FlowpipeError           1
    ├── UsageError          2   a flag, a name on the command line, a file that is not there
    ├── ConfigError         2   all problems of a check, together
    ├── NodeError           1   a node of the user's failed
    ├── DataError           3   the data is not what its schema, contract or window says
    ├── PublishError        4   audited data could not be made visible
    ├── LockedError        75   another run holds the lock
    └── Interrupted   130/143   SIGINT or SIGTERM
        └── OutOfTime       1   a step took longer than its timeout
            └── DeadlinePassed  the run took longer than its deadline

The number is the exit code of the command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, order=True)
class Where:
    """A place in a file; prints as `file:line:column`.

    >>> str(Where("conf/catalog.yml", 3, 7))
    'conf/catalog.yml:3:7'
    """

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what, where, and what to do.

    >>> print(Problem("port must be a number", Where("conf/a.yml", 1, 2), "write 5432"))
    conf/a.yml:1:2: port must be a number
      hint: write 5432
    """

    message: str
    where: Where | None = None
    hint: str | None = None

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}\n  hint: {self.hint}" if self.hint else head

    def hidden(self, redact: Callable[[str], str]) -> Problem:
        """The same without the secrets that `redact` takes out of a text."""
        where = self.where and replace(self.where, file=redact(self.where.file))
        return Problem(redact(self.message), where, self.hint and redact(self.hint))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each once, in the order of files and lines."""

    def place(problem: Problem) -> tuple[bool, str, int, int]:
        where = problem.where or Where("")
        return problem.where is not None, where.file, where.line or 0, where.column or 0

    return tuple(sorted(dict.fromkeys(problems), key=place))


class FlowpipeError(Exception):
    """The root of everything flowpipe raises on purpose."""

    exit_code = 1

    def __init__(self, message: str, *, where: Where | None = None, hint: str | None = None) -> None:
        self.redact: Callable[[str], str] = str
        self.problems: tuple[Problem, ...] = (Problem(message, where, hint),)
        super().__init__(str(self.problems[0]))

    def __reduce__(self) -> tuple[Callable[..., FlowpipeError], tuple[object, ...]]:
        # Each class is made of arguments of its own, and secrets do not travel.
        return _again, (type(self), self.args, {**self.__dict__, "redact": str})

    def hide(self, redact: Callable[[str], str]) -> None:
        """Take secrets out of all that it tells; a traceback of it must go through `redact`, too."""
        self.redact = redact
        self._tell(each.hidden(redact) for each in self.problems)

    def at(self, where: Where) -> Self:
        """The same, with a place for what has none."""
        self._tell(replace(each, where=each.where or where) for each in self.problems)
        return self

    def _tell(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        self.args = ("\n".join(str(each) for each in self.problems),)

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> Self:
        """One error of several problems, each told once."""
        told = tuple(dict.fromkeys(problems))
        error = cls(told[0].message, where=told[0].where, hint=told[0].hint)
        error.problems = told
        error.args = ("\n".join(str(problem) for problem in told),)
        return error


def _again(kind: type[FlowpipeError], arguments: tuple[object, ...], state: dict[str, object]) -> FlowpipeError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    return error


def unexpected(error: BaseException) -> FlowpipeError:
    """What flowpipe did not foresee, in a form that is told like all else.

    >>> print(unexpected(KeyError("a")))
    flowpipe itself failed: KeyError: 'a'
      hint: run again with --debug, and report what it prints
    """
    text = f"flowpipe itself failed: {type(error).__name__}: {error}"
    return FlowpipeError(text, hint="run again with --debug, and report what it prints")


class UsageError(FlowpipeError):
    """A flag or a name on the command line that cannot be."""

    exit_code = 2


class ConfigError(FlowpipeError):
    """Everything a check found, in the order of files and lines."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.redact = str
        self.problems = in_order(problems)
        Exception.__init__(self, "\n".join(str(problem) for problem in self.problems))


class NodeError(FlowpipeError):
    """A node of the user's failed; the message names it, its place and the cause."""

    exit_code = 1


class DataError(FlowpipeError):
    """Data that is not what its schema, contract, key or window says; nothing was published."""

    exit_code = 3


class PublishError(FlowpipeError):
    """Audited data could not be made visible; the next run publishes it without computing again."""

    exit_code = 4


class LockedError(FlowpipeError):
    """Another run of this project and profile holds the lock."""

    exit_code = 75


class Interrupted(FlowpipeError):
    """The run was stopped by SIGINT (130) or SIGTERM (143); nothing is half published."""

    def __init__(self, signal_number: int) -> None:
        self.exit_code = 128 + signal_number
        super().__init__("interrupted; nothing is half published", hint="run the same command again to go on")


class OutOfTime(Interrupted):
    """Something took longer than it may and was stopped as by a signal; nothing is half published."""

    exit_code = 1

    def __init__(self, message: str, *, where: Where | None = None, hint: str | None = None) -> None:
        FlowpipeError.__init__(self, message, where=where, hint=hint)


class DeadlinePassed(OutOfTime):
    """The run took longer than its deadline.

    `allowed` and `more`, twice as much, are durations as they are written in YAML.
    """

    def __init__(self, allowed: str, more: str, steps: tuple[int, int] | None = None) -> None:
        self._durations = allowed, more
        text = f"the deadline of {allowed} has passed"
        if steps:
            text += f"; {steps[0]} of {steps[1]} steps are done"
        hint = f"run the same command again to go on, or give it more time: --deadline {more}"
        super().__init__(text, hint=hint)

    def after(self, done: int, steps: int) -> DeadlinePassed:
        """The same, telling how far the run came."""
        return DeadlinePassed(*self._durations, (done, steps))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, if any is like it.

    >>> nearest("fligths", ["airlines", "flights"])
    'flights'
    """
    from difflib import get_close_matches  # only errors need it

    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(
    kind: str, name: str, known: Iterable[str], where: Where | None = None, *, add: str | None = None
) -> Problem:
    """The one way to say "Unknown X": names the nearest known X, and all of them while they are few.

    `add` is what else can be done, where a name is not like any that is known: how to make one.

    >>> print(unknown("store", "lakee", ["lake", "landing"]))
    unknown store "lakee"
      hint: did you mean "lake"? known: lake, landing
    """
    names: Sequence[str] = sorted(set(known))
    close = nearest(name, names)
    hints = [f'did you mean "{close}"?'] if close else []
    if not names:
        hints.append("there is none yet")
    elif len(names) <= 12:
        hints.append(f"known: {', '.join(names)}")
    elif not close:
        hints.append(f"known: {', '.join(names[:12])} and {len(names) - 12} more")
    if add and not close:
        hints[-1] += f"; or {add}" if names else f"; {add}"
    return Problem(f'unknown {kind} "{name}"', where, " ".join(hints) or None)


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret replaced by `***`, the longest first.

    Secrets of one to three characters stay: replacing each `5` or `on` would destroy the text and hide nothing.

    >>> redact("no route to postgres://me:hunter2@db", ["hunter2", "db"])
    'no route to postgres://me:***@db'
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    return text
