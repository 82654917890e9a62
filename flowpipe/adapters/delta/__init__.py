"""A store of Delta Lake tables: one commit publishes rows and state together."""

from __future__ import annotations

from flowpipe.adapters.delta.options import Options as Options
from flowpipe.adapters.delta.store import Delta as Delta

__all__ = ["Delta", "Options"]
