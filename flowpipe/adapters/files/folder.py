"""The files of one folder or bucket, as fsspec sees them and as their user knows them; hidden and staged ones do not
count. What a store says is asked anew each time: a listing that is remembered hides what others did since.
"""

from __future__ import annotations

import hashlib
import logging
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import Any, NoReturn

from flowpipe import objectstore
from flowpipe.adapters import Missing
from flowpipe.errors import FlowpipeError, nearest

STAGED = ".flowpipe-"
_MAGIC = frozenset("*?[")
_TAGS = ("ETag", "etag", "e_tag")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "Last-Modified", "created")
_ABSENT = (FileNotFoundError, NotADirectoryError)
_NOT_FOUND = (404, 410)


class Unreachable(FlowpipeError):
    """A store did not answer, or refused to."""


@dataclass(frozen=True)
class Found:
    """One file: its path below the folder, and what changes when its bytes do: the store's tag of them, or times."""

    path: str
    size: int
    tag: str | None
    changed: float | None
    created: float | None

    @property
    def version(self) -> tuple[object, ...] | None:
        """What tells these bytes from others of this path; None where the store gives nothing."""
        if self.tag is not None:
            return (self.tag, self.size)
        return None if self.changed is None else (self.path, self.size, self.changed, self.created)


class Folder:
    """A folder by its url; it is reached when first asked."""

    def __init__(self, url: str, options: Mapping[str, Any], shown: str) -> None:
        self.url = url.rstrip("/")
        self._options = options
        self._shown = re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", shown.rstrip("/"))

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        # What a broken connection does to each of its requests is told once, by the error itself.
        logging.getLogger("asyncio").addFilter(_is_news)
        fs, path = objectstore.filesystem(self.url, self._options)
        fs.dircache.use_listings_cache = False
        return fs, path.rstrip("/")

    @property
    def fs(self) -> Any:
        """The file system of fsspec."""
        return self._opened[0]

    @property
    def _path(self) -> str:
        return self._opened[1]

    def absolute(self, path: str) -> str:
        """A path as fsspec knows it."""
        return posixpath.join(self._path, path)

    def shown(self, path: str) -> str:
        """A path as its user knows it: the url and what is below."""
        return posixpath.join(self._shown, path)

    def info(self, path: str) -> Found | None:
        """The file of this path; None where there is none."""
        with self._asked(path):
            try:
                info = self.fs.info(self.absolute(path))
            except _ABSENT as error:
                self._refuse_unless_absent(error, path)
                return None
        return self._found(info) if info["type"] == "file" else None

    def find(self, pattern: str) -> list[Found]:
        """The file of this path, or the visible files that match it, in order."""
        if not is_glob(pattern):
            found = self.info(pattern)
            return [found] if found else []
        visible = [file for file in self.glob(pattern) if not _is_hidden(file.path)]
        # The index page of an HTTP server tells nothing but names.
        return [file if file.version is not None else self.info(file.path) or file for file in visible]

    def glob(self, pattern: str) -> list[Found]:
        """All files that match, hidden ones too; only what is below the pattern's first folders is listed."""
        with self._asked(pattern):
            found = self.fs.glob(posixpath.join(escape(self._path), pattern), detail=True)
        return [self._found(info) for _, info in sorted(found.items()) if info["type"] == "file"]

    def missing(self, path: str) -> NoReturn:
        """Say that a path is not there, and what is nearest to the first part of it that is not.

        Raises:
            Missing: always.
        """
        parent, name = posixpath.split(path)
        with self._asked(path):
            while parent and not self.fs.isdir(self.absolute(parent)):
                parent, name = posixpath.split(parent)
            around = self.absolute(parent)
            there = self.fs.ls(around, detail=False) if self.fs.isdir(around) else []
        names = [posixpath.basename(entry.rstrip("/")) for entry in there]
        close = nearest(name, [name for name in names if not _is_hidden(name)])
        raise Missing(self.shown(path), self.shown(posixpath.join(parent, close)) if close else None)

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes | None:
        """The bytes of a file, or those from `start` to `end`; None where there is none."""
        with self._asked(path):
            try:
                return bytes(self.fs.cat_file(self.absolute(path), start=start, end=end))
            except _ABSENT:
                return None

    def sha256(self, path: str) -> str:
        """The hash of a file's bytes, all of which are read."""
        with self._asked(path), self.fs.open(self.absolute(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def download(self, path: str, target: Path) -> None:
        """Copy a file to this machine."""
        with self._asked(path):
            self.fs.get_file(self.absolute(path), str(target))

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.absolute(path))

    def _found(self, info: Mapping[str, Any]) -> Found:
        created = info.get("created")
        return Found(
            info["name"].removeprefix(f"{self._path}/"),
            # Where a server does not tell, a file is taken for one that holds something.
            info["size"] if info["size"] is not None else 2**63 - 1,
            next((str(info[name]) for name in _TAGS if info.get(name)), None),
            next((_seconds(info[name]) for name in _TIMES if info.get(name) is not None), None),
            created if isinstance(created, float) else None,
        )

    @contextmanager
    def _asked(self, path: str) -> Iterator[None]:
        """Whatever a library of a store raises is told as what it is: the store did not answer."""
        try:
            yield
        except (FlowpipeError, *_ABSENT):
            raise
        except Exception as error:
            raise self._unreachable(path, error) from error

    def _refuse_unless_absent(self, error: OSError, path: str) -> None:
        """An HTTP server that is down or refuses looks to fsspec like one that has no such file."""
        if self.url.startswith("http") and getattr(error.__cause__, "status", None) not in _NOT_FOUND:
            raise self._unreachable(path, error.__cause__ or error) from error

    def _unreachable(self, path: str, error: BaseException) -> Unreachable:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".removesuffix(": ")
        hint = "check the store's url, credentials and network, then run again"
        return Unreachable(f"{self.shown(path)} cannot be reached: {reason}", hint=hint)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Task exception was never retrieved")


def is_glob(path: str) -> bool:
    """Whether a path names files by a pattern."""
    return not _MAGIC.isdisjoint(path)


def _is_hidden(path: str) -> bool:
    return STAGED in path or any(name.startswith(".") for name in path.split("/"))


def _seconds(moment: Any) -> float | None:
    """A time as its store writes it, in seconds."""
    if isinstance(moment, (int, float)):
        return moment
    readers: tuple[Callable[[str], datetime], ...] = (datetime.fromisoformat, parsedate_to_datetime)
    for reader in () if isinstance(moment, datetime) else readers:
        try:
            moment = reader(str(moment))
            break
        except ValueError:
            continue
    if not isinstance(moment, datetime):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
