"""What a store may do besides what every store does: each an ability that is looked for where it is of use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import polars as pl

from flowpipe.adapters import Dataset, Pin, Publication
from flowpipe.findings import Finding
from flowpipe.partition import Slice


@runtime_checkable
class Incremental(Protocol):
    """A store whose `read` finds the rows of a slice's `new` by itself, without looking at the others."""

    def newest(self, dataset: Dataset, column: str) -> Any:
        """The greatest value of a column as Python has it; None where there is none.

        Raises:
            Missing: there is nothing to read.
        """
        ...


@runtime_checkable
class Explaining(Protocol):
    """A store of several files that tells which of them is to blame for rows that cannot be read."""

    def fault(self, dataset: Dataset, pin: Pin, spool: Path) -> str | None:
        """The file and what is wrong with it, as it follows "cannot be read: "; None: each of them can be read."""
        ...


@runtime_checkable
class Batching(Protocol):
    """A store to which several slices of one dataset cost less together than one by one."""

    def publish_all(self, publications: Sequence[Publication]) -> None:
        """The same as `publish` of each in order; a crash between leaves each slice old or new.

        Raises:
            DataError, PublishError: as `publish`.
        """
        ...


@runtime_checkable
class Selective(Protocol):
    """A store that copies what is read out of it, and so is asked only for what somebody looks at."""

    def some(
        self, dataset: Dataset, part: Slice, spool: Path, columns: Sequence[str] | None = None, rows: int | None = None
    ) -> pl.LazyFrame:
        """A slice as it is now: these columns (None: all), and no more than so many rows.

        Raises:
            Missing: there is nothing to read.
        """
        ...


@dataclass(frozen=True)
class Version:
    """What a dataset became by one commit; `run` published it, None: somebody else did."""

    version: str
    at: datetime | None = None
    run: str | None = None
    operation: str | None = None


@runtime_checkable
class Versioned(Protocol):
    """A store that keeps what its datasets were before."""

    def versions(self, dataset: Dataset) -> Iterator[Version]:
        """Those that changed rows and still are known, the newest first; none where there is no dataset."""
        ...

    def read_version(self, dataset: Dataset, version: str, part: Slice) -> pl.LazyFrame:
        """A slice as it was.

        Raises:
            UsageError: there is no such version, or its rows are gone.
        """
        ...


@runtime_checkable
class Filling(Protocol):
    """A store whose tables give columns values by themselves: defaults, identities, generated columns."""

    def filled(self, dataset: Dataset) -> Collection[str]:
        """The columns of the table that may stay away from the rows, whatever `schema_change` says."""
        ...


@dataclass(frozen=True)
class Upkeep:
    """What `flowpipe maintain` asks of a store.

    `live` are the paths of staged files that must stay: decided steps name them. Staged files and old versions younger
    than `retention` stay, too. `dry_run` only tells.
    """

    live: frozenset[str]
    retention: timedelta
    dry_run: bool = False


@runtime_checkable
class Maintainable(Protocol):
    """A store that can be tidied: small files compacted, orphans and old versions removed."""

    def maintain(self, dataset: Dataset, upkeep: Upkeep) -> Sequence[str]:
        """Tidy one dataset, visible rows unchanged; what was done, a line each ("12 small files became 1")."""
        ...


@runtime_checkable
class Replaceable(Protocol):
    """A class of stores for which another one can stand in while a pipeline is tested."""

    @classmethod
    def temporary(cls, folder: Path) -> Mapping[str, Any]:
        """A store as a profile has it, empty and below an empty folder: `{"url": ...}`.

        `adapter` among its keys names another kind of store, which takes the place of this one.
        """
        ...


@runtime_checkable
class Probing(Protocol):
    """A store that can be tried without a dataset; of any other only a dataset is asked."""

    def probe(self, *, written: bool) -> Iterable[Finding]:
        """Whether the store answers, what it is, and whether it can be read; where it is `written`, that too.

        Each look goes on where one before it went wrong. Nothing is left behind or made, however it ends; what a look
        needs is removed at once, and lies where no read takes it for data.
        """
        ...
