"""Whether a failed attempt is tried again, and when."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from flowpipe.config import RetryConfig
from flowpipe.errors import FlowpipeError, unknown
from flowpipe.executors import WorkerLost
from flowpipe.fields import duration
from flowpipe.validation import MalformedError

# A process that dies is seldom its node's fault, so it is tried again even where `retry:` asks for nothing; but what
# kills every process that it meets must end some time.
LOST = 3


@dataclass(frozen=True)
class Policy:
    """Whether an error is tried again, and after how long."""

    config: RetryConfig

    def wait(self, error: BaseException, attempts: int) -> float | None:
        """Seconds until the next attempt after so many; None: there is none.

        >>> policy = Policy(RetryConfig(attempts=2, wait="2s", errors=["OSError"]))
        >>> policy.wait(ConnectionError(), 1), policy.wait(ConnectionError(), 2), policy.wait(KeyError(), 1)
        (2.0, None, None)
        """
        if isinstance(error, WorkerLost):
            return 0.0 if attempts < max(LOST, self.config.attempts) else None
        if attempts >= self.config.attempts or isinstance(error, FlowpipeError):
            return None
        if not isinstance(error, errors_named(self.config.errors)):
            return None
        return duration(self.config.wait).total_seconds()


def errors_named(names: Sequence[str]) -> tuple[type[BaseException], ...]:
    """The exception classes that names stand for: builtins, or dotted as in `requests.exceptions.Timeout`.

    >>> errors_named(["ConnectionError", "json.JSONDecodeError"])
    (<class 'ConnectionError'>, <class 'json.decoder.JSONDecodeError'>)

    Raises:
        ValueError: there is no such exception.
    """
    return tuple(_error_named(name) for name in names)


def _error_named(name: str) -> type[BaseException]:
    module_name, _, own = name.rpartition(".")
    try:
        module = importlib.import_module(module_name) if module_name else builtins
    except ImportError as error:
        raise MalformedError(f'unknown exception "{name}"', str(error)) from None
    found = vars(module).get(own)
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    errors = [key for key, entry in vars(module).items() if isinstance(entry, type) and issubclass(entry, Exception)]
    problem = unknown("exception", name, [f"{module_name}.{key}".lstrip(".") for key in errors])
    raise MalformedError(problem.message, problem.hint or "name a builtin exception, or module.Name")
