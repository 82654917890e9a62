"""Where one Delta table lies: its folder as deltalake and fsspec name it, and how files there become durable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote
from uuid import uuid4

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from flowpipe.errors import FlowpipeError
from flowpipe.objectstore import explain, filesystem, is_remote, polars_options

_AT_ONCE = 16
# How delta-rs begins what it says of a log that it cannot make sense of.
_OF_LOG = "Kernel error: "
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Folder:
    """A table's folder; there need not be a table yet."""

    uri: str
    fs: AbstractFileSystem
    path: str
    options: dict[str, str] | None = field(repr=False)
    durable: bool = True

    @classmethod
    def at(cls, uri: str, settings: Mapping[str, Any], *, durable: bool = True) -> Folder:
        fs, path = filesystem(uri, settings)
        return cls(uri, fs, path, polars_options(uri, settings), durable)

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table at a version, or as it is now; None when there is none.

        Raises:
            FlowpipeError: there is something, but not a table that can be opened.
        """
        try:
            return DeltaTable(self.uri, version=version, storage_options=self.options)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise self._unreachable(error) from error

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """What an object store refuses in there is told as its user can mend it."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            of_folder = is_remote(self.uri) or isinstance(error, (NotADirectoryError, PermissionError))
            if not of_folder or isinstance(error, FlowpipeError):
                raise
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> FlowpipeError:
        message, hint = explain(error)
        if message.startswith(_OF_LOG):
            message = f"its log is damaged: {message.removeprefix(_OF_LOG)}"
            hint = f"restore {self.uri}/_delta_log, or move the table away and run again"
        return FlowpipeError(f"cannot open the Delta table {self.uri}: {message}", hint=hint or "look at its folder")

    def mark(self, version: int) -> tuple[Any, ...] | None:
        """What tells one entry of the log from another at its place: those of a table that was made again."""
        try:
            with self.reaching():
                info = self.fs.info(self.log_entry(version))
        except FileNotFoundError:
            return None
        return tuple(info.get(name) for name in ("size", "ino", "mtime", "ETag", "etag", "LastModified"))

    def lost(self, table: DeltaTable) -> str | None:
        """What of a table's data is gone although its log names it; None: nothing."""
        named, there = table.file_uris(), set[str]()
        if isinstance(self.fs, LocalFileSystem):
            named = [url.removeprefix("file://") for url in named]
            # One listing costs a tenth of asking for each; files may lie elsewhere all the same.
            there = {f"{folder}/{name}" for folder, _, names in os.walk(self.path) for name in names}
            there.update(path for path in named if path not in there and Path(path).exists())
        else:
            named = [self.path_of(url) for url in named]
            with self.reaching():
                there.update(self.fs.find(self.path))
        gone = sum(path not in there and unquote(path) not in there for path in named)
        return f"{gone} of its {len(named)} data files are gone" if gone else None

    def path_of(self, url: str) -> str:
        """A path or URL below the folder as `fs` names it."""
        return str(self.fs._strip_protocol(url))

    def relative(self, url: str) -> str:
        """A path or URL below the folder, relative to it."""
        return str(PurePosixPath(self.path_of(url)).relative_to(self.path))

    def within(self, *parts: str) -> str:
        """A path below the folder as `fs` names it."""
        return "/".join((self.path, *parts))

    def log_entry(self, version: int) -> str:
        return self.within("_delta_log", f"{version:020}.json")

    def read(self, path: str) -> bytes | None:
        """A small file whole; None when it is not there. (fsspec's `cat` would take a path for a pattern.)"""
        try:
            with self.reaching():
                content: bytes = self.fs.cat_file(path)
        except FileNotFoundError:
            return None
        return content

    def exists(self, path: str) -> bool:
        with self.reaching():
            return bool(self.fs.exists(path))

    def read_all(self, paths: Sequence[str]) -> list[bytes | None]:
        """Small files, from an object store all at once."""
        if isinstance(self.fs, LocalFileSystem) or len(paths) < 2:
            return [self.read(path) for path in paths]
        with self.reaching():
            found = self.fs.cat(list(paths), on_error="return")
            for one in found.values():
                if isinstance(one, Exception) and not isinstance(one, FileNotFoundError):
                    raise one
        return [one if isinstance(one := found[path], bytes) else None for path in paths]

    def find(self, *below: str) -> list[tuple[str, datetime]]:
        """All files below a folder of the table, as `fs` names them, and when each was written."""
        with self.reaching():
            found = self.fs.find(self.within(*below), detail=True)
        return [(path, _moment(info)) for path, info in found.items()]

    def map(self, ask: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """Ask something of many files: one after the other here, several at once of an object store."""
        if isinstance(self.fs, LocalFileSystem) or len(items) < 2:
            return [ask(item) for item in items]
        with ThreadPoolExecutor(_AT_ONCE) as pool, self.reaching():
            return list(pool.map(ask, items))

    def log_names(self) -> list[str]:
        """The names of the files in the log's folder."""
        with suppress(FileNotFoundError), self.reaching():
            return [PurePosixPath(path).name for path in self.fs.ls(self.within("_delta_log"), detail=False)]
        return []

    def log_texts(self) -> Iterator[bytes]:
        """Every entry of the log that is still a file of its own."""
        names = [name for name in self.log_names() if name.endswith(".json")]
        for first in range(0, len(names), 100):
            texts = self.read_all([self.within("_delta_log", name) for name in names[first : first + 100]])
            yield from filter(None, texts)

    def write_once(self, path: str, content: bytes) -> None:
        """Write a small file whole and durably, or not at all."""
        if not isinstance(self.fs, LocalFileSystem):
            with self.reaching():
                self.fs.pipe_file(path, content)
            return
        target = Path(path)
        fresh = not target.parent.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{uuid4().hex}")
        aside.write_bytes(content)
        if not self.durable:
            aside.replace(target)
            return
        _sync(aside)
        aside.replace(target)
        for folder in (target.parent, Path(self.path), Path(self.path).parent) if fresh else (target.parent,):
            _sync(folder)

    def sync(self, paths: Iterable[str]) -> None:
        """Make local files outlast a power loss, with the folders that name them; object stores do so by themselves."""
        if not self.durable or not isinstance(self.fs, LocalFileSystem):
            return
        top = Path(self.path)
        folders: set[Path] = set()
        for path in map(Path, paths):
            _sync(path)
            folders.update(parent for parent in path.parents if parent.is_relative_to(top))
        for folder in folders:
            _sync(folder)

    def sync_checkpoint(self, version: int) -> None:
        """Where a commit was followed by a checkpoint, make that durable, too: who opens the table reads it first."""
        paths = [self.within("_delta_log", name) for name in (checkpoint_name(version), "_last_checkpoint")]
        if isinstance(self.fs, LocalFileSystem) and Path(paths[0]).exists():
            self.sync(paths)

    def remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError), self.reaching():
                self.fs.rm_file(path)


def checkpoint_name(version: int) -> str:
    """The file of a checkpoint that is one file."""
    return f"{version:020}.checkpoint.parquet"


def _moment(info: Mapping[str, Any]) -> datetime:
    moment = info.get("LastModified") or info.get("mtime") or info.get("last_modified") or info.get("updated")
    if isinstance(moment, (int, float)):
        return datetime.fromtimestamp(moment, UTC)
    # Of unknown age: as young as can be, so that nobody removes it.
    return moment if isinstance(moment, datetime) else datetime.max.replace(tzinfo=UTC)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
