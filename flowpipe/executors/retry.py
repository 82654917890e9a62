"""How a node's function is called on a worker: once, or again and again until it works."""

from __future__ import annotations

import builtins
import functools
import importlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flowpipe.errors import FlowpipeError, unknown
from flowpipe.executors import Call, Result
from flowpipe.fields import duration
from flowpipe.validation import MalformedError


def attempt(call: Call) -> Result:
    """Call a node's function as its retry settings say; what it raises is in the result."""
    started_at, clock = datetime.now(UTC), time.perf_counter()
    attempts, value, error = [1], None, None
    try:
        value = call.function(**call.arguments) if call.retry.attempts == 1 else _again(call, attempts)
    except BaseException as raised:  # noqa: BLE001 - a panic of Polars and sys.exit are a node's failures too
        error = raised
    return Result(value, error, attempts[0], started_at, time.perf_counter() - clock)


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


def _again(call: Call, attempts: list[int]) -> Any:
    """Call until it works; the number of the latest attempt is left in `attempts`."""
    import tenacity

    errors = errors_named(call.retry.errors)

    def is_transient(error: BaseException) -> bool:
        return isinstance(error, errors) and not isinstance(error, FlowpipeError)

    def count(state: tenacity.RetryCallState) -> None:
        attempts[0] = state.attempt_number

    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(call.retry.attempts),
        wait=tenacity.wait_fixed(duration(call.retry.wait)),
        retry=tenacity.retry_if_exception(is_transient),
        before=count,
        reraise=True,
    )(functools.partial(call.function, **call.arguments))
