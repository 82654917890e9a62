"""A store of tables in a PostgreSQL database: a publish is one transaction, with its state in the same database."""

from __future__ import annotations

from flowpipe.adapters.postgres.options import Options as Options
from flowpipe.adapters.postgres.store import Postgres as Postgres

__all__ = ["Options", "Postgres"]
