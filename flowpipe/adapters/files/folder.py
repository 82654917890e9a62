"""The files of one folder, as fsspec sees them and as their user knows them; hidden and staged ones do not count."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, NoReturn

from fsspec.core import url_to_fs

from flowpipe.adapters import Missing
from flowpipe.adapters.files.objects import STAGED
from flowpipe.errors import nearest

_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Found:
    """One file: its path below the folder, and what changes when its bytes do."""

    path: str
    size: int
    stamp: float | str | None
    created: float | None


class Folder:
    """A folder by its url; relative urls are below `root`."""

    def __init__(self, url: str, options: Mapping[str, Any], root: Path) -> None:
        self._shown = url.rstrip("/")
        self._fs, path = url_to_fs(url if "://" in url else str(root.resolve() / url), **options)
        self._path = str(path).rstrip("/")

    def absolute(self, path: str) -> str:
        return posixpath.join(self._path, path)

    def shown(self, path: str) -> str:
        """A path, below the folder or absolute, as its user knows it: the url and what is below."""
        return posixpath.join(self._shown, self._relative(path))

    def make(self, path: str) -> None:
        """Make a folder, unless it is there."""
        self._fs.makedirs(self.absolute(path), exist_ok=True)

    def find(self, pattern: str) -> list[Found]:
        """The file of this path, or the visible files that match it, in order."""
        absolute = self.absolute(pattern)
        if not is_glob(pattern):
            return [self._found(self._fs.info(absolute))] if self._fs.isfile(absolute) else []
        found = self._fs.glob(posixpath.join(escape(self._path), pattern), detail=True)
        files = [self._found(info) for _, info in sorted(found.items()) if info["type"] == "file"]
        return [file for file in files if not _is_hidden(file.path)]

    def missing(self, path: str) -> NoReturn:
        """Say that a path is not there, and what is nearest to the first part of it that is not.

        Raises:
            Missing: always.
        """
        parent, name = posixpath.split(path)
        while parent and not self._fs.isdir(self.absolute(parent)):
            parent, name = posixpath.split(parent)
        around = self.absolute(parent)
        there = self._fs.ls(around, detail=False) if self._fs.isdir(around) else []
        names = [posixpath.basename(entry.rstrip("/")) for entry in there]
        close = nearest(name, [name for name in names if not _is_hidden(name)])
        raise Missing(self.shown(path), self.shown(posixpath.join(parent, close)) if close else None)

    def _found(self, info: Mapping[str, Any]) -> Found:
        stamp = info.get("ETag", info.get("mtime"))
        return Found(self._relative(info["name"]), info["size"], stamp, info.get("created"))

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self._path}/")


def is_glob(path: str) -> bool:
    """Whether a path names files by a pattern."""
    return not _MAGIC.isdisjoint(path)


def _is_hidden(path: str) -> bool:
    return STAGED in path or any(name.startswith(".") for name in path.split("/"))
