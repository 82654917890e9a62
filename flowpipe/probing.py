"""Whether a folder or a bucket can be read and written: tried with a small file of its own, which is removed again.

Nothing is made that was not there, but for that file: a folder that is missing is tried in the nearest one above it.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

from flowpipe import objectstore
from flowpipe.errors import FlowpipeError
from flowpipe.findings import Finding, failed, of_clocks, tried

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Hidden, and beside what is being staged, which no reader takes for data.
_PREFIX = ".flowpipe-probe-"
_CONTENT = bytes(64 * 1024)  # enough to be refused where a disk is full
_URL = "correct the store's `url`"
# Who looks wants to know soon.
_IMPATIENT = {"retries": {"max_attempts": 1, "mode": "standard"}, "connect_timeout": 5}


def place(url: str, settings: Mapping[str, Any], root: Path, *, written: bool) -> Iterator[Finding]:
    """What comes of reading, and where something is `written` also of writing, a folder or bucket of a store."""
    if objectstore.is_remote(url):
        yield from _remote(url, settings, written=written)
    else:
        yield from folder(root / url.partition("://")[2] if "://" in url else root / url, url, written=written)


def folder(path: Path, shown: str, *, written: bool) -> Iterator[Finding]:
    """The same for a folder of this machine; one that is written need not be there yet."""
    yield tried("read", partial(_listed, path, shown, written=written), _URL)
    if written:
        yield writing(path, shown)


def writing(path: Path, shown: str) -> Finding:
    """What comes of writing a file into a folder, or into the nearest one above it."""
    return tried("write", partial(_write, path, shown))


def _listed(path: Path, shown: str, *, written: bool) -> str:
    if path.is_dir():
        return f"{shown}, {_counted(sum(not each.name.startswith(_PREFIX) for each in path.iterdir()))}"
    if path.exists():
        raise FlowpipeError(f"{shown} is a file, not a folder", hint=_URL)
    if not written:
        raise FlowpipeError(f"there is no folder {shown}", hint=f"make it and put the inputs there, or {_URL}")
    return f"{shown} is not there yet; the first publish makes it"


def _write(path: Path, shown: str) -> str:
    there = next(each for each in (path, *path.parents) if each.exists())
    if not there.is_dir():
        raise FlowpipeError(f"{shown} cannot be made: {there.name} is a file", hint=_URL)
    file = there / f"{_PREFIX}{uuid.uuid4().hex}"
    try:
        with file.open("wb") as opened:
            opened.write(_CONTENT)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        with suppress(OSError):  # a file system that is read-only refuses this, too
            file.unlink(missing_ok=True)
        raise FlowpipeError(f"{shown} cannot be written: {error.strerror}", hint=_mended(error)) from error
    file.unlink()
    return "a file was written and removed"


def _mended(error: OSError) -> str:
    return "make room there" if error.errno in _FULL else "let this user write there, or use another `url`"


def _counted(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _remote(url: str, settings: Mapping[str, Any], *, written: bool) -> Iterator[Finding]:
    scheme = url.partition("://")[0].lower()
    own = {**settings, "config_kwargs": {**settings.get("config_kwargs", {}), **_IMPATIENT}}
    is_s3 = scheme in {"s3", "s3a"}
    try:
        fs, path = objectstore.filesystem(url, own if is_s3 else settings)
        if is_s3:
            yield from _server(fs, path)
        yield Finding("read", "ok", _objects(fs, path)) if is_s3 else _entries(fs, path, url)
    except Exception as error:  # noqa: BLE001 - whatever a library of a store raises
        found = _refused("read", error)
        yield found if is_s3 else replace(found, hint="look at the store's `url`, and whether its server runs")
        return
    if written:
        yield _put(fs, path)


def _server(fs: Any, path: str) -> Iterator[Finding]:
    """Where an S3 server is, that the bucket is there, and what the server's clock says."""
    fs.retries = 1
    bucket = path.partition("/")[0]
    try:
        answer = fs.call_s3("head_bucket", Bucket=bucket)
    except FileNotFoundError:
        hint = "make the bucket, or correct the store's `url`"
        raise FlowpipeError(f"there is no bucket {bucket} at {_endpoint(fs)}", hint=hint) from None
    except PermissionError:
        # An answer to HEAD has no text; whoever lists is told why.
        return
    yield Finding("server", "ok", _endpoint(fs))
    if told := answer["ResponseMetadata"]["HTTPHeaders"].get("date"):
        yield of_clocks(parsedate_to_datetime(told))


def _endpoint(fs: Any) -> str:
    return str(fs.s3.meta.endpoint_url)


def _objects(fs: Any, path: str) -> str:
    bucket, _, prefix = path.partition("/")
    below = f"{prefix.rstrip('/')}/" if prefix else ""
    found = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=below, MaxKeys=1)
    return f"{path}, {'holds objects' if found.get('KeyCount') else 'empty so far'}"


def _entries(fs: Any, path: str, url: str) -> Finding:
    try:
        return Finding("read", "ok", f"{url}, {_counted(len(fs.ls(path, detail=False)))}")
    except FileNotFoundError:
        # A server of files need not have a page that lists them, and an object store knows no empty folder.
        return Finding("read", "note", f"{url} lists nothing; its files are asked for one by one")


def _put(fs: Any, path: str) -> Finding:
    probe = f"{path.rstrip('/')}/{_PREFIX}{uuid.uuid4().hex}"
    try:
        fs.pipe_file(probe, b"flowpipe")
    except Exception as error:  # noqa: BLE001 - whatever a library of a store raises
        return _refused("write", error, "let this key write and delete objects there")
    try:
        fs.rm_file(probe)
    except Exception as error:  # noqa: BLE001 - the same
        found = _refused("write", error, "let this key delete objects there, and remove that one")
        return replace(found, text=f"{probe} was written, but not removed: {found.text}")
    return Finding("write", "ok", "an object was written and removed")


def _refused(what: str, error: Exception, denied: str | None = None) -> Finding:
    """What a store's library raised; `denied` is the hint where the key is known, and may not do it."""
    if isinstance(error, FlowpipeError):
        return failed(what, error, _URL)
    text, hint = objectstore.explain(error)
    said = str(error).strip().partition("\n")[0]
    if isinstance(error, PermissionError):
        text = text if said.lower().strip(".") in {"", "forbidden", "access denied"} else f"{text}: {said}"
        hint = denied or hint
    return Finding(what, "FAIL", text, hint or "look at the store's `url` and `options`")
