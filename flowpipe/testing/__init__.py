"""What tests of pipelines, adapters and executors need: a project under test, real servers, the suites to be passed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowpipe.testing.comparing import assert_frames_equal as assert_frames_equal
    from flowpipe.testing.executor_suite import ExecutorSuite as ExecutorSuite
    from flowpipe.testing.suite import AdapterSuite as AdapterSuite
    from flowpipe.testing.suite import Store as Store
    from flowpipe.testing.tables import table as table
    from flowpipe.testing.trial import TestProject as TestProject

# Only when it is asked for: pytest imports this package at every start, and the suites need hypothesis.
_HOMES = {
    "AdapterSuite": "suite",
    "ExecutorSuite": "executor_suite",
    "Store": "suite",
    "TestProject": "trial",
    "assert_frames_equal": "comparing",
    "table": "tables",
}
__all__ = ["AdapterSuite", "ExecutorSuite", "Store", "TestProject", "assert_frames_equal", "table"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
