"""All application transactions of a table at once: asking delta-rs for them one by one replays the log for each.

They are read as the protocol has them: the latest checkpoint, then every entry after it.
"""

from __future__ import annotations

import json
import re

import polars as pl
from deltalake import DeltaTable

from flowpipe.adapters.delta.folder import Folder, checkpoint_name

_FEW = 6
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")


class Transactions:
    """The application transactions of one opened table; once more than a few are asked for, all are read."""

    def __init__(self, table: DeltaTable, folder: Folder) -> None:
        self._table = table
        self._folder = folder
        self._asked = 0
        self._all: dict[str, int] | None = None

    def version(self, app_id: str) -> int | None:
        """The last version that an application committed; None: it never did."""
        self._asked += 1
        if self._asked == _FEW:
            self._all = transactions(self._folder, self._table.version())
        if self._all is not None:
            return self._all.get(app_id)
        return self._table.transaction_version(app_id)


def transactions(folder: Folder, version: int) -> dict[str, int] | None:
    """All of them as of a version; None where the log is not of the plain form: delta-rs knows better."""
    start = _latest(folder, version)
    checkpoint = checkpoint_of(folder, version)
    found: dict[str, int] = {}
    if checkpoint is not None:
        taken = checkpoint.select(pl.col("txn").struct.unnest()).filter(pl.col("appId").is_not_null())
        found = dict(taken.select("appId", "version").collect().iter_rows())
    for entry in folder.read_all([folder.log_entry(number) for number in range(start + 1, version + 1)]):
        if entry is None:
            return None
        for line in entry.splitlines():
            transaction = json.loads(line).get("txn") if b'"txn"' in line else None
            if transaction is not None:
                found[transaction["appId"]] = transaction["version"]
    return found


def checkpoint_of(folder: Folder, version: int) -> pl.LazyFrame | None:
    """The actions of the latest checkpoint up to a version; None when there is none in one file."""
    number = _latest(folder, version)
    path = f"{folder.uri}/_delta_log/{checkpoint_name(number)}"
    return None if number < 0 else pl.scan_parquet(path, glob=False, storage_options=folder.options)


def _latest(folder: Folder, version: int) -> int:
    checkpoints = [int(match[1]) for name in folder.log_names() if (match := _CHECKPOINT.fullmatch(name))]
    return max((number for number in checkpoints if number <= version), default=-1)
