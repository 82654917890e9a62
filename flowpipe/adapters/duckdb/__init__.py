"""A store of tables in one DuckDB file: a publish is one transaction, with its state in the same database."""

from __future__ import annotations

from flowpipe.adapters.duckdb.store import DuckDB as DuckDB
from flowpipe.adapters.duckdb.store import Options as Options

__all__ = ["DuckDB", "Options"]
