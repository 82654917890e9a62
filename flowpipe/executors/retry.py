"""Whether a failed attempt is tried again, and when."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any

from flowpipe.errors import FlowpipeError, nearest, unknown
from flowpipe.executors import WorkerLost
from flowpipe.fields import duration
from flowpipe.modules import ProjectCode
from flowpipe.running import RetryConfig
from flowpipe.validation import MalformedError

# A process that dies is seldom its node's fault, so it is tried again even where `retry:` asks for nothing; but what
# kills every process that it meets must end some time.
LOST = 3


@dataclass(frozen=True)
class Policy:
    """Whether an error is tried again, and after how long; names of `code` may be among the exceptions."""

    config: RetryConfig
    code: ProjectCode | None = field(default=None, repr=False, compare=False)

    def wait(self, error: BaseException, attempts: int) -> float | None:
        """Seconds until the next attempt after so many; None: there is none.

        >>> policy = Policy(RetryConfig(attempts=3, wait="2s", exponential=True, errors=["OSError"]))
        >>> [policy.wait(ConnectionError(), made) for made in (1, 2, 3)], policy.wait(KeyError(), 1)
        ([2.0, 4.0, None], None)
        """
        if isinstance(error, WorkerLost):
            return 0.0 if attempts < max(LOST, self.config.attempts) else None
        if attempts >= self.config.attempts or is_any(error, self._never) or not is_any(error, self._errors):
            return None
        return self._seconds(attempts)

    @cached_property
    def _errors(self) -> tuple[type[BaseException], ...]:
        return errors_named(self.config.errors, self.code)

    @cached_property
    def _never(self) -> tuple[type[BaseException], ...]:
        return (FlowpipeError, *errors_named(self.config.not_errors, self.code))

    @cached_property
    def _seconds(self) -> Callable[[int], float]:
        """The wait after so many attempts, as Tenacity has it."""
        from tenacity import RetryCallState, Retrying, wait_exponential, wait_random

        config, base = self.config, 2 if self.config.exponential else 1
        most = {} if config.max_wait is None else {"max": duration(config.max_wait)}
        wait = wait_exponential(duration(config.wait).total_seconds(), exp_base=base, **most)
        retrying = Retrying(wait=wait + wait_random(0, duration(config.jitter)) if config.jitter else wait)

        def seconds(attempts: int) -> float:
            state = RetryCallState(retrying, None, (), {})
            state.attempt_number = attempts
            return float(retrying.wait(state))

        return seconds


def is_any(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether an error is of one of these classes.

    One that could not travel from a worker has a stand-in, whose `names` are the dotted ones of its classes.
    """
    names = getattr(error, "names", None)
    return isinstance(error, kinds) or (isinstance(names, tuple) and any(_dotted(kind) in names for kind in kinds))


def _dotted(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def errors_named(names: Sequence[str], code: ProjectCode | None = None) -> tuple[type[BaseException], ...]:
    """The exception classes that names stand for: builtins, or dotted, of the project's modules or of a library's.

    >>> errors_named(["ConnectionError", "json.JSONDecodeError"])
    (<class 'ConnectionError'>, <class 'json.decoder.JSONDecodeError'>)

    Raises:
        ValueError: there is no such exception.
        ConfigError: the project's module cannot be imported.
    """
    return tuple(_error_named(name, code) for name in names)


def _error_named(name: str, code: ProjectCode | None) -> type[BaseException]:
    module_name, _, own = name.rpartition(".")
    entries: dict[str, Any] = vars(_module(module_name, code, name))
    found = entries.get(own)
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    errors = [key for key, entry in entries.items() if isinstance(entry, type) and issubclass(entry, Exception)]
    known = [f"{module_name}.{key}".lstrip(".") for key in errors]
    problem = unknown("exception", name, known)
    is_clear = known and (module_name or nearest(name, known))
    raise MalformedError(problem.message, problem.hint if problem.hint and is_clear else _HINT)


_HINT = "name a builtin exception, or write module.Name"


def _module(module_name: str, code: ProjectCode | None, name: str) -> ModuleType:
    own = code.modules if code else ()
    if code and module_name in own:
        return code.load(module_name)
    try:
        return importlib.import_module(module_name) if module_name else builtins
    except Exception as error:  # noqa: BLE001 - whatever a library raises while it is imported
        close = nearest(module_name, own)
        hint = f'did you mean "{close}.{name.rpartition(".")[2]}"?' if close else str(error)
        raise MalformedError(f'unknown exception "{name}"', hint) from None
