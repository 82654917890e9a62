"""How work is killed with SIGKILL at one chosen instant, in a child that is forked from a warm process.

Forking costs milliseconds where a new interpreter costs a second, so that tests can afford hundreds of kills. Instants
are counted while the work says that it is watched: calls and returns of every function of the watched files, and of
every call that these make to anything else, the operating system and native libraries included. What happens inside a
native call has no instants: there the kill comes by the clock.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

_PATIENCE = 120.0
# Calls that change nothing outside the process are no instants of their own.
_PURE = frozenset(
    {"_abc", "_collections_abc", "_datetime", "_functools", "_hashlib", "_json", "_operator", "_random", "_sre"}
    | {"_struct", "_thread", "binascii", "builtins", "collections", "dataclasses", "datetime", "functools", "itertools"}
    | {"json", "math", "re", "time", "types", "typing"}
)


@dataclass(frozen=True)
class At:
    """When to kill: at the instant of that number, or so many seconds after the watched work began; else never."""

    instant: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        return f"instant {self.instant}" if self.instant else f"{self.seconds or 0:.3f} s into it"


NEVER = At()


@dataclass(frozen=True)
class Ended:
    """How the work ended; what it counted is known only of work that was not killed.

    `boundaries` are the numbers of those instants at which a verb of the work begins or ends.
    """

    killed: bool
    value: Any = None
    error: str | None = None
    instants: int = 0
    boundaries: tuple[int, ...] = ()
    seconds: float = 0.0


@dataclass
class Instants:
    """Counts the instants of watched work in the process where it runs, and dies at the chosen one.

    `files` are parts of the paths of the watched files, `verbs` names of functions in them that are boundaries.
    """

    at: int | None
    tell: Callable[[], None] = lambda: None
    files: tuple[str, ...] = ()
    verbs: frozenset[str] = frozenset()
    number: int = 0
    boundaries: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count while the block runs, in this thread."""
        if not self.seconds:
            self.tell()
        began, before = time.perf_counter(), sys.getprofile()
        sys.setprofile(self._on_event)
        try:
            yield
        finally:
            sys.setprofile(before)
            self.seconds += time.perf_counter() - began

    def count(self, *, boundary: bool = False) -> None:
        """One instant more."""
        self.number += 1
        if boundary:
            self.boundaries.append(self.number)
        if self.number == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _on_event(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event.startswith("c_"):
            if self._is_watched(frame):
                owner = argument.__module__ or type(argument.__self__).__module__
                if owner.partition(".")[0] not in _PURE:
                    self.count()
        elif not code.co_name.startswith("<"):
            mine = self._is_watched(frame)
            if mine or (frame.f_back is not None and self._is_watched(frame.f_back)):
                self.count(boundary=mine and code.co_name in self.verbs)

    def _is_watched(self, frame: FrameType) -> bool:
        return any(part in frame.f_code.co_filename for part in self.files)


def boundary_calls(instants: Instants, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its call and its return counted as boundaries; for verbs that nobody watches inside."""

    @functools.wraps(function)
    def counted(*given: Any, **named: Any) -> Any:
        instants.count(boundary=True)
        value = function(*given, **named)
        instants.count(boundary=True)
        return value

    return counted


def in_child(
    work: Callable[[Instants], Any],
    *,
    at: At = NEVER,
    strike: Callable[[], None] | None = None,
    files: Sequence[str] = (),
    verbs: Sequence[str] = (),
    output: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run picklable work in a child to its end or to its kill; `output` takes what it prints.

    `strike` comes instead of a kill by the clock, for what is to be killed is something else.

    Raises:
        RuntimeError: it neither ended nor died.
    """
    warm = _warm()
    reading, writing = warm.Pipe(duplex=False)
    settings = _Settings(at.instant, tuple(files), frozenset(verbs), output, {**os.environ, **(environment or {})})
    process = warm.Process(target=_child, args=(work, settings, writing), daemon=True)
    process.start()
    writing.close()
    try:
        return _follow(process, reading, at, strike or process.kill)
    finally:
        process.kill()
        process.join()
        reading.close()


@functools.cache
def _warm() -> multiprocessing.context.ForkServerContext:
    """The warm process, from which all children of this one are forked."""
    warm = multiprocessing.get_context("forkserver")
    warm.set_forkserver_preload(["flowpipe.testing.warm"])
    return warm


@dataclass(frozen=True)
class _Settings:
    at: int | None
    files: tuple[str, ...]
    verbs: frozenset[str]
    output: Path | None
    environment: dict[str, str]


def _child(work: Callable[[Instants], Any], settings: _Settings, channel: Connection) -> None:
    os.environ.clear()
    os.environ.update(settings.environment)
    if settings.output:
        file = os.open(settings.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
    instants = Instants(settings.at, lambda: channel.send("began"), settings.files, settings.verbs)
    code = 0
    try:
        value, error = work(instants), None
    except BaseException:  # noqa: BLE001 - the parent tells it
        value, error, code = None, traceback.format_exc(), 1
    sys.stdout.flush()
    sys.stderr.flush()
    channel.send(Ended(False, value, error, instants.number, tuple(instants.boundaries), instants.seconds))
    # The end of the interpreter would wait for threads of libraries.
    os._exit(code)


def _follow(process: Any, reading: Connection, at: At, strike: Callable[[], None]) -> Ended:
    """What a child tells until it ends; it is killed by the clock if that was asked."""
    timer: threading.Timer | None = None
    until = time.monotonic() + _PATIENCE
    try:
        while reading.poll(max(0.0, until - time.monotonic())):
            message = reading.recv()
            if isinstance(message, Ended):
                return message
            if at.seconds is not None and timer is None:
                timer = threading.Timer(at.seconds, strike)
                timer.start()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGKILL:
            return Ended(killed=True)
        return Ended(killed=False, error=f"the child ended with {process.exitcode}")
    finally:
        if timer:
            timer.cancel()
            timer.join()
    raise RuntimeError(f"the child neither ended nor died within {_PATIENCE:.0f} s")
