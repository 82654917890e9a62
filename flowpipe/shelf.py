"""Where kept frames lie: in the profile's own state folder, or in the store that it names as `scratch:`.

A file is there whole or not at all: it is written aside and renamed, or put as one object. Nobody asks whether a file
is damaged but who reads it: then it goes.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from flowpipe.config import Configuration
from flowpipe.errors import Problem, unknown
from flowpipe.fields import duration, size
from flowpipe.roots import profile_state

_ENDING = ".parquet"
_ASIDE = ".aside"
_USED = ".used"
_STORES = ("delta", "files")
_FOLDER = ".flowpipe/checkpoints"  # hidden: no reader of a store takes what is in it for data


@dataclass(frozen=True)
class Entry:
    """One kept frame, or what a killed writer left of one; `name` is its path below the shelf."""

    name: str
    bytes: int
    used: datetime
    whole: bool = True


class Shelf(Protocol):
    """Files by their names."""

    def find(self, name: str) -> str | None:
        """What Polars reads a file by; it counts as used now. None: there is none."""
        ...

    def local(self, name: str, scratch: Path) -> Path:
        """The file on this machine, copied to `scratch` where it lies elsewhere."""
        ...

    def aside(self, name: str, scratch: Path) -> Path:
        """Where to write a file before it is `put`."""
        ...

    def put(self, written: Path, name: str) -> None:
        """Make a finished file visible in place of the one that is there."""
        ...

    @property
    def storage(self) -> Mapping[str, str] | None:
        """The settings by which Polars reads what `find` gives."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Everything that is there."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def shown(self, name: str) -> str:
        """A file's place, for people."""
        ...


def shelf_of(configuration: Configuration) -> Shelf:
    """The shelf of a profile; opens nothing."""
    if configuration.scratch is None:
        return Disk(profile_state(configuration.root, configuration.profile) / "checkpoints", own=True)
    from flowpipe import objectstore

    settings = configuration.stores[configuration.scratch].model_extra or {}
    url, below = str(settings["url"]), f"{_FOLDER}/{configuration.profile}"
    if objectstore.is_remote(url):
        return Bucket(f"{url.rstrip('/')}/{below}", settings.get("options") or {})
    folder = objectstore.filesystem(url, {})[1] if "://" in url else url
    return Disk(configuration.root.resolve() / folder / below)


def problems(configuration: Configuration) -> Iterator[Problem]:
    """What is wrong with a profile's `scratch:`."""
    name, where = configuration.scratch, configuration.where("scratch")
    if name is None:
        return
    store = configuration.stores.get(name)
    if store is None:
        yield unknown("store", name, configuration.stores, where)
    elif store.adapter not in _STORES:
        text = f"scratch: store {name} is {store.adapter}, which cannot keep the frames of nodes"
        yield Problem(text, where, f"name a store of one of: {', '.join(_STORES)}")


@dataclass(frozen=True)
class Bounds:
    """How long and how much is kept."""

    expire: timedelta
    bytes: int

    @classmethod
    def of(cls, configuration: Configuration) -> Bounds:
        settings = configuration.checkpoints
        return cls(duration(settings.expire), size(settings.max_size))

    def beyond(self, entries: Sequence[Entry], now: datetime) -> Iterator[tuple[Entry, str]]:
        """What is too old, and what is too much, the least recently used first; each with its reason."""
        left = sum(entry.bytes for entry in entries)
        for entry in sorted(entries, key=lambda entry: entry.used):
            if now - entry.used > self.expire:
                reason = "expired" if entry.whole else "of a killed run"
            elif left > self.bytes:
                reason = "more than max_size"
            else:
                continue
            left -= entry.bytes
            yield entry, reason


class Disk:
    """A folder of this machine, or one that machines share; `own`: of one run at a time."""

    storage = None

    def __init__(self, folder: Path, *, own: bool = False) -> None:
        self._folder = folder
        self._own = own

    def find(self, name: str) -> str | None:
        path = self._folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except PermissionError:  # somebody else's file can be read all the same
            return str(path) if path.exists() else None
        return str(path)

    def local(self, name: str, scratch: Path) -> Path:  # noqa: ARG002
        return self._folder / name

    def aside(self, name: str, scratch: Path) -> Path:  # noqa: ARG002
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{_ASIDE}")

    def put(self, written: Path, name: str) -> None:
        target = self._folder / name
        _sync(written)
        written.replace(target)
        _sync(target.parent)

    def entries(self) -> Iterator[Entry]:
        for path in sorted(self._folder.rglob("*")):
            with suppress(FileNotFoundError):
                found = path.stat()
                whole = path.suffix == _ENDING
                if path.is_file() and (whole or path.suffix == _ASIDE):
                    # Whoever holds the lock is alone here: nobody writes what lies aside.
                    used = datetime.min.replace(tzinfo=UTC) if self._own and not whole else _moment(found.st_mtime)
                    yield Entry(path.relative_to(self._folder).as_posix(), found.st_size, used, whole)

    def remove(self, name: str) -> None:
        path = self._folder / name
        path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty yet
            path.parent.rmdir()
            path.parent.parent.rmdir()

    def shown(self, name: str) -> str:
        return str(self._folder / name)


class Bucket:
    """A folder of an object store, by any url that fsspec knows."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        self._options = options

    @property
    def storage(self) -> Mapping[str, str] | None:
        """Asked for anew each time: credentials expire."""
        from flowpipe import objectstore

        return objectstore.polars_options(self._url, self._options)

    def find(self, name: str) -> str | None:
        fs, path = self._at(name)
        if not fs.exists(path):
            return None
        # An object has no time that can be set.
        fs.pipe_file(path + _USED, b"-")
        return f"{self._url}/{name}"

    def local(self, name: str, scratch: Path) -> Path:
        fs, path = self._at(name)
        scratch.mkdir(parents=True, exist_ok=True)
        target = scratch / PurePosixPath(name).name
        fs.get_file(path, str(target))
        return target

    def aside(self, name: str, scratch: Path) -> Path:
        scratch.mkdir(parents=True, exist_ok=True)
        return scratch / f"{PurePosixPath(name).name}.{uuid.uuid4().hex[:8]}{_ASIDE}"

    def put(self, written: Path, name: str) -> None:
        fs, path = self._at(name)
        fs.put_file(str(written), path)
        written.unlink()

    def entries(self) -> Iterator[Entry]:
        fs, root = self._at("")
        found = fs.find(root, detail=True)
        for path, info in sorted(found.items()):
            if path.endswith(_ENDING):
                times = [_changed(each) for each in (info, found.get(path + _USED)) if each is not None]
                yield Entry(path.removeprefix(root).lstrip("/"), int(info["size"] or 0), max(times))

    def remove(self, name: str) -> None:
        fs, path = self._at(name)
        for each in (path, path + _USED):
            with suppress(FileNotFoundError):
                fs.rm_file(each)

    def shown(self, name: str) -> str:
        return f"{self._url}/{name}"

    def _at(self, name: str) -> tuple[Any, str]:
        from flowpipe import objectstore

        fs, path = objectstore.filesystem(f"{self._url}/{name}".rstrip("/"), self._options)
        return fs, path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _changed(info: Mapping[str, Any]) -> datetime:
    """When an object was put; one that does not say so never grows old."""
    for name in ("LastModified", "last_modified", "updated", "mtime"):
        moment = info.get(name)
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        if isinstance(moment, (int, float)):
            return _moment(moment)
        if isinstance(moment, datetime):
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.now(UTC)
