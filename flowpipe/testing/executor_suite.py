"""What every executor must do: tests of an executor subclass `ExecutorSuite` and add their own.

A third party's executor can run it too. Each subject is a suite of its own.
"""

from __future__ import annotations

from flowpipe.testing.failure_suite import FailureSuite
from flowpipe.testing.fanout_suite import FanoutSuite
from flowpipe.testing.order_suite import OrderSuite
from flowpipe.testing.tasks import ONCE, Log, task

__all__ = ["ONCE", "ExecutorSuite", "Log", "task"]


class ExecutorSuite(OrderSuite, FailureSuite, FanoutSuite):
    """Subclass it with the fixture `executor`; `many` is how many nodes are many for it.

    `patience` is how many seconds it may take until another process runs a call instead of one that was ended.
    Functions may run in other processes: they tell what they do by their values and by files.
    """
