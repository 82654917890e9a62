"""What a store's adapter must do: read, stage, publish, remember; and how one is found by name.

An adapter is a class named by an entry point of the group `flowpipe.adapters`. Built-in ones come in
through the same door. Nothing here knows a concrete store. These more than 300 lines stay together: they are the one
page that the author of an adapter reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from pydantic import BaseModel

from flowpipe.datasets import DatasetConfig
from flowpipe.errors import PublishError
from flowpipe.findings import Finding as Finding
from flowpipe.partition import Slice
from flowpipe.sinks import Staged as Staged
from flowpipe.sinks import StagedFile as StagedFile
from flowpipe.sinks import StagingPlace as StagingPlace


@dataclass(frozen=True)
class Dataset:
    """A dataset of the catalog by its stable name."""

    name: str
    config: DatasetConfig


@dataclass(frozen=True)
class State:
    """What an output's slice holds; it commits in the same transaction as the rows.

    `parts` are the fingerprint's parts by name, so that a plan can say what changed.
    """

    dataset: str
    slice: str
    fingerprint: str
    parts: Mapping[str, str]
    rows: int
    run: str
    published_at: str


@dataclass(frozen=True)
class Held:
    """What the store says of one slice: its state, or why the state no longer tells the truth.

    `state` is what was last published (None: never). `changed` names what somebody else did since, such as
    "version 14 (DELETE) is not flowpipe's" or "the file is gone"; None means that the output still is
    what we published.
    """

    state: State | None = None
    changed: str | None = None


@dataclass(frozen=True)
class Pin:
    """What a read is held to.

    `version` goes into fingerprints and is shown to people ("12"); None means that the store cannot tell, so the step
    always runs. `token` is the adapter's own, JSON text (a Delta version, file sizes and times); a new `pin` with
    another token means the input moved.
    `snapshot` says that a read sees just this version, whatever is written meanwhile.
    """

    version: str | None
    token: str
    snapshot: bool = False


class Missing(Exception):
    """A dataset or slice that is not there; `location` is where it should be, `near` what is there and most like it."""

    def __init__(self, location: str, near: str | None = None) -> None:
        super().__init__(location)
        self.location = location
        self.near = near


@dataclass(frozen=True)
class Publication:
    """One output that is staged and audited: everything a publish needs, also after a crash.

    `onto` is the fingerprint of the state on which new rows were appended to what is there; None where there was none.
    """

    dataset: Dataset
    slice: Slice
    staged: Staged
    state: State
    onto: str | None = None


def refuse_append(publication: Publication, held: State | None) -> None:
    """A slice is appended once; the rows above a watermark only onto the state that said where they begin.

    Raises:
        PublishError: the rows, or some of them, are there already.
    """
    if publication.dataset.config.mode != "append" or held is None:
        return
    name = f"{publication.dataset.name} ({publication.slice})"
    if publication.slice.kind != "whole":
        raise PublishError(
            f"{name} was already appended by run {held.run}; a slice is never appended twice",
            hint="delete its rows and append under another slice, or use `mode: replace`",
        )
    if held.fingerprint != publication.onto:
        raise PublishError(
            f"{name}: run {held.run} appended new rows since these were read",
            hint="run again: only what is still new is read then",
        )


class Adapter(Protocol):
    """One store. Made once per run in the driver, and in each worker process that runs whole steps.

    All methods may be called from several threads. `publish`, `held` before a run and upkeep are the driver's alone. A
    store that no other process can open beside the driver says so with an attribute `driver_only`, which is true: its
    steps are read and staged in the driver.
    """

    def __init__(self, options: BaseModel, root: Path) -> None:
        """`options` is an instance of the class's `Options`; relative paths are below `root`, the project's folder."""

    Options: type[BaseModel]

    def check(self, dataset: Dataset, *, written: bool) -> Iterable[tuple[tuple[str, ...], str, str | None]]:
        """What is wrong with a dataset's configuration here: (path of keys, message, hint). Opens nothing."""
        ...

    def pin(self, dataset: Dataset, part: Slice) -> Pin:
        """The version that a read of this slice is held to.

        Raises:
            Missing: there is nothing to read.
        """
        ...

    def read(self, dataset: Dataset, part: Slice, pin: Pin, spool: Path) -> pl.LazyFrame:
        """The rows of a slice as pinned; `spool` is a scratch folder that lives as long as the step."""
        ...

    def schema(self, dataset: Dataset, part: Slice | None = None) -> Mapping[str, pl.DataType] | None:
        """Columns and types of what is there now; None when there is nothing."""
        ...

    def storable(self, dataset: Dataset, schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:
        """The type each column is written as; the caller casts the rows to it before it stages them.

        Raises:
            DataError: a column that this store cannot hold.
        """
        ...

    def is_empty(self, dataset: Dataset, part: Slice) -> bool:
        """Whether a slice holds no row now (also when there is no table)."""
        ...

    def place(self, dataset: Dataset, part: Slice, run: str, scratch: Path, state: State) -> StagingPlace:
        """Where the slice's files are staged; `scratch` is the run's folder for stores without one of their own."""
        ...

    def widens(self, now: pl.DataType, new: pl.DataType) -> bool:
        """Whether a column of the first type can become one of the second in place, so that no value is lost.

        `schema_change: add` asks; a column that is already wider takes the rows without it.
        """
        ...

    def is_staged(self, staged: Staged) -> bool:
        """Whether every staged file still is where it was staged."""
        ...

    def publish(self, publication: Publication) -> None:
        """Make staged rows visible, and their state with them, in one atomic act; calling it again changes nothing.

        Raises:
            DataError: the rows cannot be published (they do not fit the table, `missing:` would take too many).
            PublishError: the store refused.
        """
        ...

    def held(self, dataset: Dataset, parts: Sequence[Slice]) -> Mapping[str, Held]:
        """What the store holds for each slice, by the slice's key."""
        ...

    def discard(self, staged: Staged) -> None:
        """Remove staged files that were not published; a published one is never touched."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


@cache
def installed() -> Mapping[str, Any]:
    """The entry points of all adapters by name, not loaded yet."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="flowpipe.adapters")}
