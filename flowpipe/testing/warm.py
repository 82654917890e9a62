"""What a warm process has imported before it forks.

Only imports: Polars, DuckDB and delta-rs start the threads of their work with their first work, and a process that is
forked after that hangs.
"""

from __future__ import annotations

import importlib
from contextlib import suppress

from flowpipe import adapters, executors

_LATE = (  # what a command imports inside its functions
    "flowpipe.cli",
    "flowpipe.display",
    "flowpipe.graph",
    "flowpipe.ledger",
    "flowpipe.progress",
    "flowpipe.project",
    "flowpipe.rules",
    "flowpipe.terminal",
    "adbc_driver_postgresql.dbapi",
    "filelock",
    "hamilton.driver",
    "pandera.polars",
    "psycopg",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "s3fs",
    "sqlite3",
)

for _name in _LATE:
    with suppress(ImportError):
        importlib.import_module(_name)
for _point in (*adapters.installed().values(), *executors.installed().values()):
    with suppress(ImportError):
        _point.load()
