"""What is asked of a store through its adapter, and whose fault it is where that fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flowpipe.errors import (
    ConfigError,
    DataError,
    FlowpipeError,
    Interrupted,
    LockedError,
    NodeError,
    UsageError,
    Where,
)

# `discard` only tidies what nobody sees.
_VERBS = (
    "pin", "newest", "read", "some", "read_version", "schema", "filled", "is_empty", "held", "is_staged", "publish",
    "publish_all", "maintain",
)  # fmt: skip
# What is never a store's fault.
_OF_OTHERS = (ConfigError, DataError, Interrupted, LockedError, NodeError, UsageError)


def watched(adapter: type, watch: Callable[[Callable[..., Any]], Callable[..., Any]]) -> type:
    """An adapter's class, in which all that is asked of the store goes through `watch`."""
    verbs = {name: watch(getattr(adapter, name)) for name in _VERBS if hasattr(adapter, name)}
    return type(adapter.__name__, (adapter,), verbs)


def placed(adapter: type, where: Where | None) -> type:
    """An adapter's class, whose errors say `where` the store stands, unless they know a better place."""

    def watch(verb: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(verb)
        def asked(*arguments: Any, **named: Any) -> Any:
            try:
                return verb(*arguments, **named)
            except FlowpipeError as error:
                if where and is_of_the_store(error):
                    error.at(where)
                raise

        return asked

    return watched(adapter, watch)


def is_of_the_store(error: Exception) -> bool:
    """Whether a store could not be reached or refused; not where its rows are wrong, or are not there.

    What flowpipe refuses by itself, such as to append rows twice, was not caused by any other error.
    """
    if isinstance(error, FlowpipeError):
        return error.__cause__ is not None and not isinstance(error, _OF_OTHERS)
    return isinstance(error, OSError)
