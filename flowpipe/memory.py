"""How one memory budget reaches the engines: Polars by its settings, DuckDB by its connections.

It bounds what an engine holds back while it sorts, joins and buffers; what is more goes to disk. The working set comes
on top: what is being decoded, computed and encoded. It is one for the process, since Polars has one. Merges into Delta
tables are not bound (2026-11): the join of delta-rs fails where its build side exceeds a bound, it does not spill.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import polars as pl

_BUDGET = "POLARS_OOC_MEMORY_BUDGET_MB"
_FOLDER = "POLARS_OOC_SPILL_DIR"
_in_force: list[int] = []


class Connection(Protocol):
    """A connection of DuckDB's, which is not imported for it."""

    def execute(self, query: str, /) -> object: ...


def budget() -> int | None:
    """The bytes that the run at hand allows each engine; None: no bound."""
    return _in_force[-1] if _in_force else None


@contextmanager
def bounded(limit: int | None, spill: Path, *, alone: bool = True) -> Iterator[None]:
    """Hold Polars to `limit` bytes while the block runs, and whoever asks for the `budget`.

    Polars keeps to the first `spill` folder that it ever wrote to, and makes one of its process's number in it. So
    those of other processes go, which are dead where `spill` belongs to one process `alone`.
    """
    for folder in spill.glob("*") if alone else ():
        if folder.name != str(os.getpid()):
            shutil.rmtree(folder, ignore_errors=True)
    if limit is None:
        yield
        return
    mine = {_BUDGET: str(max(1, limit // 2**20)), _FOLDER: os.environ.get(_FOLDER, str(spill))}
    before = {name: os.environ.get(name) for name in mine}
    _in_force.append(limit)
    try:
        _set(mine)
        yield
    finally:
        _in_force.pop()
        _set(before)


@cache
def _own_spill() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="flowpipe-spill-", ignore_cleanup_errors=True)


def own_spill() -> Path:
    """A folder for as long as the process lives: Polars keeps to the first that it ever spilt to, gone or not."""
    return Path(_own_spill().name)


def tidy() -> None:
    """Remove it, before a process ends that spills nothing more and does not end as Python does."""
    if _own_spill.cache_info().currsize:
        _own_spill().cleanup()


def bound(connection: Connection) -> None:
    """Hold a DuckDB connection to the budget: not by its configuration, which all connections to a file must share."""
    if limit := budget():
        connection.execute(f"SET memory_limit = '{limit}B'")


def _set(environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    pl.Config.reload_env_vars()
