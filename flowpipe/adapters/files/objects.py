"""Where the state of one published file lives: in a Parquet file's own metadata, or for every other format in a sidecar
that names the data's hash, and the tag by which its object store tells these bytes from others.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe.adapters import Held, State
from flowpipe.adapters.files.folder import Folder, Found
from flowpipe.adapters.files.places import Place, own_tags

METADATA_KEY = "flowpipe"
SIDECAR = ".flowpipe.json"
_MAGIC = b"PAR1"
_TAIL = 64 * 1024


def to_json(state: State) -> str:
    """A state as JSON text."""
    return json.dumps(dataclasses.asdict(state), sort_keys=True)


def embedded(folder: Folder, path: str) -> Held:
    """What a Parquet file says of itself; `rows` are counted from its footer, and no more of it is read."""
    found = folder.info(path)
    if found is None:
        return Held()
    try:
        footer = io.BytesIO(_footer(folder, found))
        state = _state(json.loads(pl.read_parquet_metadata(footer)[METADATA_KEY]))
        rows = pl.scan_parquet(footer).select(pl.len()).collect().item()
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError):
        return Held(None, "the file was replaced")
    return Held(dataclasses.replace(state, rows=int(rows)))


def _footer(folder: Folder, found: Found) -> bytes:
    """A Parquet file without its rows.

    Raises:
        ValueError: it is none.
    """
    tail = folder.read(found.path, max(0, found.size - _TAIL), found.size) or b""
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != _MAGIC or length > found.size:
        raise ValueError("not a whole Parquet file")
    if length > len(tail):
        tail = folder.read(found.path, found.size - length, found.size) or b""
    return _MAGIC + tail[-length:]


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """What was published into a file: its state, its columns, and by what its bytes are known again."""

    state: State
    schema: Mapping[str, pl.DataType]
    sha256: str
    etag: str | None

    def is_of(self, folder: Folder, found: Found) -> bool:
        """Whether a file still is as it was published; where the store's tag says so, no byte is read."""
        return (self.etag is not None and self.etag == found.tag) or folder.sha256(found.path) == self.sha256


def publish_with_sidecar(
    place: Place, written: Path, path: str, state: State, schema: Mapping[str, pl.DataType]
) -> None:
    """Make a finished file visible, then what is to be remembered of it.

    Raises:
        OSError: the store refused, or somebody else wrote the file at the same time.
    """
    with written.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    tags = own_tags(written) if place.remote else frozenset()
    place.put(written, path)
    etag = _own_tag(place.folder, path, sha256, tags) if place.remote else None
    columns = io.BytesIO()
    pl.DataFrame(schema=schema).write_ipc(columns)
    content: dict[str, Any] = {
        "sha256": sha256,
        "state": dataclasses.asdict(state),
        "schema": base64.b64encode(columns.getvalue()).decode(),
    }
    if etag:
        content["etag"] = etag
    beside = place.staging(_sidecar(path), state.run, written.parent)
    beside.write_text(json.dumps(content, sort_keys=True))
    place.put(beside, _sidecar(path))


def _own_tag(folder: Folder, path: str, sha256: str, tags: frozenset[str]) -> str | None:
    """The tag of what was just put; one that does not follow from the bytes is believed when they were read again."""
    found = folder.info(path)
    if found is None or found.tag is None:
        return None
    if found.tag.strip('"') in tags or (folder.sha256(path) == sha256 and folder.info(path) == found):
        return found.tag
    raise FileExistsError("somebody else wrote it at the same time")


def held_by_sidecar(folder: Folder, path: str) -> Held:
    """What a file's sidecar says of it."""
    sidecar = _read_sidecar(folder, path)
    if sidecar is None:
        return Held()
    found = folder.info(path)
    if found is None:
        return Held(sidecar.state, "the file is gone")
    return Held(sidecar.state, None if sidecar.is_of(folder, found) else "the file was changed by somebody else")


def sidecar_schema(folder: Folder, path: str) -> Mapping[str, pl.DataType] | None:
    """The columns a file was published with; None when it is not as published."""
    sidecar = _read_sidecar(folder, path)
    found = folder.info(path) if sidecar else None
    return sidecar.schema if sidecar and found and sidecar.is_of(folder, found) else None


def data_of(sidecar: str) -> str | None:
    """The path of the file that a sidecar is of; None when it is no sidecar's path.

    >>> data_of("m/.a.csv.flowpipe.json"), data_of("m/a.csv")
    ('m/a.csv', None)
    """
    folder, name = posixpath.split(sidecar)
    if not (name.startswith(".") and name.endswith(SIDECAR)):
        return None
    return posixpath.join(folder, name[1:].removesuffix(SIDECAR))


def _read_sidecar(folder: Folder, path: str) -> Sidecar | None:
    try:
        content = json.loads(folder.read(_sidecar(path)) or b"")
        columns = pl.read_ipc(io.BytesIO(base64.b64decode(content["schema"]))).schema
        return Sidecar(_state(content["state"]), columns, content["sha256"], content.get("etag"))
    except (KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError):
        return None


def _state(fields: dict[str, object]) -> State:
    return State(**fields)  # type: ignore[arg-type]  # a field too many or too few is a TypeError, as callers expect


def _sidecar(path: str) -> str:
    folder, name = posixpath.split(path)
    return posixpath.join(folder, f".{name}{SIDECAR}")
