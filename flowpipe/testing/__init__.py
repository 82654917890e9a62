"""What tests of pipelines, adapters and executors need: real servers, and the suites that every one must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowpipe.testing.executor_suite import ExecutorSuite as ExecutorSuite
    from flowpipe.testing.suite import AdapterSuite as AdapterSuite
    from flowpipe.testing.suite import Store as Store

__all__ = ["AdapterSuite", "ExecutorSuite", "Store"]


def __getattr__(name: str) -> Any:
    # Only when it is asked for: it needs pytest and hypothesis, the servers do not.
    if name == "ExecutorSuite":
        from flowpipe.testing import executor_suite

        return executor_suite.ExecutorSuite
    if name in __all__:
        from flowpipe.testing import suite

        return getattr(suite, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
