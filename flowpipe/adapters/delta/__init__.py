"""A store of Delta Lake tables: one commit publishes rows and state together."""

from __future__ import annotations

from flowpipe.adapters.delta.store import Delta as Delta
from flowpipe.adapters.delta.store import Options as Options

__all__ = ["Delta", "Options"]
