"""How one finished local file becomes visible whole: renamed on a disk and kept there through a power cut, or put into
an object store as one object. Readers see the old file or the new one, never a part.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from flowpipe import objectstore
from flowpipe.adapters.files.folder import STAGED, Folder, Found, is_glob
from flowpipe.adapters.files.formats import Format, by_name
from flowpipe.errors import FlowpipeError

# A put is one act there. What is uploaded elsewhere grows under its name, so it is uploaded beside and renamed.
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "memory")
# By Polars itself, in ranged and parallel reads; everything else is downloaded first.
_NATIVE = ("s3", "s3a")
_PART = 64 * 1024**2


class Place(Protocol):
    """Where a store's files are."""

    @property
    def folder(self) -> Folder:
        """What is there."""
        ...

    @property
    def remote(self) -> bool:
        """Whether it is somewhere else than on a disk of this machine."""
        ...

    @property
    def storage(self) -> Mapping[str, str] | None:
        """The settings by which Polars reads urls here; None where it does not."""
        ...

    def staging(self, path: str, run: str, scratch: Path) -> Path:
        """Where the new content of a file is written before it is `put`."""
        ...

    def put(self, written: Path, path: str) -> None:
        """Make a finished file visible and remove it from where it was written.

        Raises:
            OSError: nothing has changed.
        """
        ...

    def scannable(self, form: Format, files: Sequence[Found], spool: Path) -> list[str]:
        """What Polars reads these files by; some are downloaded into `spool`."""
        ...


def place_of(url: str, options: Mapping[str, Any], root: Path, *, durable: bool) -> Place:
    """The place of a url; relative ones are below `root`."""
    return Remote(url, options) if objectstore.is_remote(url) else Disk(url, options, root, durable=durable)


class Disk:
    """A folder of this machine."""

    remote = False
    storage = None

    def __init__(self, url: str, options: Mapping[str, Any], root: Path, *, durable: bool) -> None:
        self.folder = Folder(url if "://" in url else str(root.resolve() / url), options, url)
        self._durable = durable

    def staging(self, path: str, run: str, scratch: Path) -> Path:  # noqa: ARG002
        """Beside the target, so that a rename makes it visible, under a name that no reader takes for data."""
        target = Path(self.folder.absolute(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_name(f"{target.name}{STAGED}{run}")

    def put(self, written: Path, path: str) -> None:
        """Rename, with all bytes and then the name itself on the disk."""
        target = Path(self.folder.absolute(path))
        self._sync(written)
        written.replace(target)
        self._sync(target.parent)

    def scannable(self, form: Format, files: Sequence[Found], spool: Path) -> list[str]:  # noqa: ARG002
        """The files where they are."""
        return [self.folder.absolute(file.path) for file in files]

    def _sync(self, path: Path) -> None:
        if not self._durable:
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Remote:
    """A bucket, a server or a process's memory, by any url that fsspec knows."""

    remote = True

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.folder = Folder(url, options, url)
        self._scheme = url.partition("://")[0].lower()
        self._options = options

    @property
    def storage(self) -> Mapping[str, str] | None:
        """Asked for anew each time: credentials expire."""
        return objectstore.polars_options(self.folder.url, self._options) if self._scheme in _NATIVE else None

    def staging(self, path: str, run: str, scratch: Path) -> Path:
        """In the run's own scratch folder."""
        scratch.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(path.encode()).hexdigest()[:16]
        return scratch / f"{name}{STAGED}{run}"

    def put(self, written: Path, path: str) -> None:
        """One PUT, or one multipart upload that nobody sees until it is complete."""
        fs, target = self.folder.fs, self.folder.absolute(path)
        try:
            if self._scheme in _OBJECT_STORES:
                fs.put_file(str(written), target, **({"chunksize": _PART} if self._scheme in _NATIVE else {}))
            else:
                fs.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH120  it is no path of this machine
                beside = f"{target}{STAGED}{uuid.uuid4().hex[:8]}"
                fs.put_file(str(written), beside)
                fs.mv(beside, target)
        except (FlowpipeError, OSError):
            raise
        except Exception as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        written.unlink()

    def scannable(self, form: Format, files: Sequence[Found], spool: Path) -> list[str]:
        """Urls for Polars where it can read them, else files in `spool`."""
        return [self._url(file) if self._is_native(form, file) else self._downloaded(file, spool) for file in files]

    def _is_native(self, form: Format, file: Found) -> bool:
        # Polars takes every path of an NDJSON file for a glob, and none can be escaped in a url.
        globs = form is by_name("ndjson") and is_glob(self.folder.absolute(file.path))
        return self._scheme in _NATIVE and form.native and not globs

    def _url(self, file: Found) -> str:
        return f"{self._scheme}://{self.folder.absolute(file.path)}"

    def _downloaded(self, file: Found, spool: Path) -> str:
        suffixes = "".join(PurePosixPath(file.path).suffixes[-2:])
        name = hashlib.sha256(repr((self.folder.url, file)).encode()).hexdigest()[:16]
        target = spool / "downloads" / f"{name}{suffixes}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}")
            self.folder.download(file.path, aside)
            aside.replace(target)
        return str(target)


def own_tags(written: Path) -> frozenset[str]:
    """How an object store that tags by content may tag this file: by its MD5, or by that of its parts' MD5s."""
    whole, parts = hashlib.md5(usedforsecurity=False), []
    with written.open("rb") as file:
        while part := file.read(_PART):
            whole.update(part)
            parts.append(hashlib.md5(part, usedforsecurity=False).digest())
    of_parts = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return frozenset({whole.hexdigest(), f"{of_parts}-{len(parts)}"})


def temporary(store: type, folder: Path) -> Mapping[str, Any]:
    """What a store for tests of pipelines is made of: a folder, of which a power cut may take what it likes."""
    del store
    return {"url": str(folder), "durability": "none"}
