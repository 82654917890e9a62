"""The store of Delta tables: where its tables lie, what a read of them is held to, and how often a publish is tried."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import polars as pl
from deltalake import DeltaTable
from pydantic import BaseModel
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from flowpipe import fields, probing
from flowpipe.adapters import Dataset, Finding, Held, Missing, Pin, Publication, Staged, StagingPlace, State
from flowpipe.adapters.abilities import Upkeep, Version
from flowpipe.adapters.delta import schema as types
from flowpipe.adapters.delta import travel
from flowpipe.adapters.delta.bounds import Bounds, of_slice
from flowpipe.adapters.delta.check import findings
from flowpipe.adapters.delta.commit import RacedError, discard, publish_once
from flowpipe.adapters.delta.folder import Folder
from flowpipe.adapters.delta.log import Log
from flowpipe.adapters.delta.options import Options
from flowpipe.adapters.delta.upkeep import tidy
from flowpipe.errors import DataError, FlowpipeError, PublishError, nearest
from flowpipe.partition import Slice, of_window, within

_ATTEMPTS = 15
_FILE_SIZE = "128MB"
_IN_MEMORY = 4  # rows take about that much more there than in a file


class Delta:
    """Delta Lake tables, each in a folder below the store's url."""

    Options: type[BaseModel] = Options

    @classmethod
    def temporary(cls, folder: Path) -> Mapping[str, Any]:
        """A folder."""
        return {"url": str(folder), "durability": "none"}

    def __init__(self, options: BaseModel, root: Path) -> None:
        assert isinstance(options, Options)
        self._url = options.url.rstrip("/") if "://" in options.url else str((root / options.url).resolve())
        self._options, self._root = options, root
        # What was opened to look at is kept while its last entry is what it was, and none follows. Nobody commits on
        # a table that is kept: threads that share it would see one another's versions.
        self._logs: dict[str, tuple[Log, tuple[Any, ...]]] = {}

    def check(self, dataset: Dataset, *, written: bool) -> Iterable[tuple[tuple[str, ...], str, str | None]]:
        """What this store needs of a dataset."""
        return findings(dataset, self._url, written=written)

    def pin(self, dataset: Dataset, part: Slice) -> Pin:
        """Fingerprints of the windows read where flowpipe published them, else the last version that changed rows."""
        folder = self._folder(dataset)
        log = self._log(folder)
        if log is None:
            raise Missing(folder.uri, self._near(folder))
        types.refuse_unreadable(log.table, folder.uri)
        identity = log.table.metadata().id
        # A table that was dropped and made again counts from 0 again: its identity belongs to its version.
        version = _fingerprints(log, dataset, part) or f"{log.last_change()}@{str(identity)[:8]}"
        return Pin(version, _told(log.table), snapshot=True)

    def read(self, dataset: Dataset, part: Slice, pin: Pin, spool: Path) -> pl.LazyFrame:  # noqa: ARG002
        """The rows of the pinned version; nothing is spooled, since a version never changes."""
        folder = self._folder(dataset)
        version = json.loads(pin.token)["version"]
        kept = self._logs.get(folder.uri)
        table = kept[0].table if kept and _told(kept[0].table) == pin.token else folder.open(version)
        if table is None:
            raise Missing(folder.uri, self._near(folder))
        return _rows(pl.scan_delta(table), _bounds(dataset, part, types.of_table(table)))

    def schema(self, dataset: Dataset, part: Slice | None = None) -> Mapping[str, pl.DataType] | None:  # noqa: ARG002
        """The table's columns; all its slices have the same."""
        log = self._log(self._folder(dataset))
        return None if log is None else types.of_table(log.table)

    def storable(self, dataset: Dataset, schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:  # noqa: ARG002
        """The type that each column is written as."""
        return types.storable(schema)

    def is_empty(self, dataset: Dataset, part: Slice) -> bool:
        """Whether a slice holds no row."""
        log = self._log(self._folder(dataset))
        if log is None:
            return True
        rows = _rows(pl.scan_delta(log.table), _bounds(dataset, part, types.of_table(log.table)))
        return rows.head(1).collect().is_empty()

    def place(self, dataset: Dataset, part: Slice, run: str, scratch: Path, state: State) -> StagingPlace:  # noqa: ARG002
        """The table's own folder: files that no log entry names are invisible, and become visible without a copy."""
        folder, size = self._folder(dataset), self._options.target_file_size
        place = StagingPlace(
            folder.uri,
            f"flowpipe-{run}-{uuid4().hex[:12]}",
            hive=tuple(dataset.config.partition_by),
            storage=folder.options,
        )
        return replace(place, file_bytes=_IN_MEMORY * fields.size(size)) if size else place

    def publish(self, publication: Publication) -> None:
        """Commit rows and state together; a commit that lost a race is decided anew on the new version."""
        self.publish_all([publication])

    def publish_all(self, publications: Sequence[Publication]) -> None:
        """Commit slices of one dataset together where whole files make them, the others one by one."""
        if not publications:
            return
        first = publications[0]
        folder = self._folder(first.dataset)
        tries = Retrying(
            retry=retry_if_exception_type(RacedError),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.05, max=1),
        )
        try:
            tries(publish_once, publications, folder)
        except RetryError as error:
            raise PublishError(
                f"{first.dataset.name} ({first.slice}): other writers committed first, {_ATTEMPTS} times",
                hint="run the same command again",
            ) from error
        except (DataError, PublishError):
            raise
        except FlowpipeError as error:
            raise PublishError.of(error.problems) from error

    def held(self, dataset: Dataset, parts: Sequence[Slice]) -> Mapping[str, Held]:
        """What was published for each slice, and what others changed since."""
        keys = [part.key for part in parts]
        folder = self._folder(dataset)
        log = self._log(folder)
        if log is None:
            return dict.fromkeys(keys, Held())
        held = log.held(dataset, keys)
        if dataset.config.mode == "append":
            # What was appended once is not appended again, whoever has deleted from the table since.
            return {key: Held(one.state) for key, one in held.items()}
        if not any(one.state for one in held.values()):
            return held  # a backfill would list the files of the table once for each of its windows
        lost = folder.lost(log.table)
        return {key: Held(one.state, lost) if lost and one.state else one for key, one in held.items()}

    def versions(self, dataset: Dataset) -> Iterator[Version]:
        """What the log still tells, the newest first."""
        log = self._log(self._folder(dataset))
        return iter(()) if log is None else travel.versions(log)

    def read_version(self, dataset: Dataset, version: str, part: Slice) -> pl.LazyFrame:
        """The rows of an earlier version, as long as its files are there."""
        table = travel.opened(dataset.name, self._folder(dataset), version)
        return _rows(pl.scan_delta(table), _bounds(dataset, part, types.of_table(table)))

    def filled(self, dataset: Dataset) -> Collection[str]:
        """The generated columns of a table that others made."""
        log = self._log(self._folder(dataset))
        return () if log is None else types.generated(log.table)

    def widens(self, now: pl.DataType, new: pl.DataType) -> bool:  # noqa: ARG002
        """No: delta-rs adds columns, but does not change the type of one that is there (Delta's type widening)."""
        return False

    def is_staged(self, staged: Staged) -> bool:
        """Whether every staged file still is there."""
        if not staged.files:
            return True
        folder = self._folder_of(staged.files[0].path)
        return all(folder.map(lambda file: folder.exists(folder.path_of(file.path)), staged.files))

    def discard(self, staged: Staged) -> None:
        """Remove staged files that the log of their table does not name."""
        if staged.files:
            discard(staged, self._folder_of(staged.files[0].path))

    def maintain(self, dataset: Dataset, upkeep: Upkeep) -> Sequence[str]:
        """Compact small files, remove what no kept version needs, write a checkpoint."""
        folder = self._folder(dataset)
        table = folder.open()
        size = fields.size(self._options.target_file_size or _FILE_SIZE)
        return [] if table is None else list(tidy(table, folder, upkeep, size))

    def probe(self, *, written: bool) -> Iterable[Finding]:
        """Whether the folder of the tables can be listed, and whether it takes a file."""
        return probing.place(self._options.url, self._options.options, self._root, written=written)

    def close(self) -> None:
        """Forget the tables."""
        self._logs.clear()

    def _at(self, uri: str) -> Folder:
        return Folder.at(uri, self._options.options, durable=self._options.durability == "fsync")

    def _log(self, folder: Folder) -> Log | None:
        """The log as it is now, to look at."""
        kept = self._logs.get(folder.uri)
        if kept is not None and kept[0].folder.options == folder.options:
            version = kept[0].version
            if folder.mark(version) == kept[1] and folder.mark(version + 1) is None:
                return kept[0]
        table = folder.open()
        if table is None:
            return None
        log, mark = Log(table, folder), folder.mark(table.version())
        if mark is not None:
            self._logs[folder.uri] = log, mark
        return log

    def _folder(self, dataset: Dataset) -> Folder:
        return self._at(f"{self._url}/{dataset.config.table}")

    def _folder_of(self, path: str) -> Folder:
        """The folder of the table that a staged file belongs to: the nearest above it with a log, else its own."""
        store = self._at(self._url)
        below = PurePosixPath(store.relative(path)).parent
        for candidate in (below, *below.parents):
            if store.exists(store.within(*candidate.parts, "_delta_log")):
                return self._at(f"{self._url}/{candidate}")
        return self._at(f"{self._url}/{below}")

    def _near(self, folder: Folder) -> str | None:
        store = self._at(self._url)
        if not store.exists(store.path):
            return None
        found = [path for path in store.fs.ls(store.path, detail=False) if store.exists(f"{path}/_delta_log")]
        name = nearest(store.relative(folder.uri), [PurePosixPath(path).name for path in found])
        return name and f"{self._url}/{name}"


def _told(table: DeltaTable) -> str:
    return json.dumps({"table": str(table.metadata().id), "version": table.version()})


def _bounds(dataset: Dataset, part: Slice, columns: Mapping[str, pl.DataType]) -> Bounds | None:
    column = dataset.config.partition.column if dataset.config.partition else None
    return of_slice(part, column, columns.get(column or ""))


def _rows(scan: pl.LazyFrame, bounds: Bounds | None) -> pl.LazyFrame:
    return scan if bounds is None else scan.filter(bounds.expression)


def _fingerprints(log: Log, dataset: Dataset, part: Slice) -> str | None:
    """What flowpipe published for the slice, if that alone decides its rows; None: ask the table's version."""
    config = dataset.config
    if config.mode not in ("replace", "append"):
        # The rows of a merged window also depend on the publishes of other windows.
        return None
    slices = [part]
    if part.window is not None and config.partition is not None:
        if str(part.window.start.tzinfo) != config.partition.timezone:
            return None
        slices = [of_window(window) for window in within(part.window, config.partition.every)]
    elif part.kind == "whole":
        return None
    held = log.held(dataset, [one.key for one in slices]).values()
    # The run, too: the same code and parameters may have published other rows, of an input without a version.
    prints = [
        f"{one.state.fingerprint} {one.state.run}" for one in held if one.state is not None and one.changed is None
    ]
    return sha256("\n".join(prints).encode()).hexdigest()[:16] if len(prints) == len(slices) else None
