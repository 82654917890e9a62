"""A store of files in a folder: Parquet, CSV, JSON and Arrow, each slice one file that is replaced whole."""

from __future__ import annotations

from flowpipe.adapters.files.options import Options as Options
from flowpipe.adapters.files.store import Files as Files

__all__ = ["Files", "Options"]
