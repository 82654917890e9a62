"""SQLite as a store of flowpipe, as somebody else would add one: found by its entry point, known to nobody."""

from __future__ import annotations

from flowpipe_sqlite.store import Options as Options
from flowpipe_sqlite.store import SQLite as SQLite

__all__ = ["Options", "SQLite"]
