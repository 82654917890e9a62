"""What every adapter must do, whatever its store: tests of an adapter subclass `AdapterSuite` and add their own.

A third party's adapter can run it too. Each subject is a suite of its own.
"""

from __future__ import annotations

from flowpipe.testing.kill_suite import KillSuite
from flowpipe.testing.mode_suite import ModeSuite
from flowpipe.testing.probe_suite import ProbeSuite
from flowpipe.testing.publish_suite import PublishSuite
from flowpipe.testing.store import MONTHLY, TYPES, Store, month, rows, staged_nothing, state
from flowpipe.testing.type_suite import TypeSuite

__all__ = ["MONTHLY", "TYPES", "AdapterSuite", "Store", "month", "rows", "staged_nothing", "state"]


class AdapterSuite(PublishSuite, ModeSuite, TypeSuite, ProbeSuite, KillSuite):
    """Subclass it, give `store`, `dataset` and what does harm, and say what the store cannot do (see `StoreTests`)."""
