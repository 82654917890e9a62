"""How one local file becomes visible whole and stays so after a power cut, and where its state lives: a Parquet file's
own metadata, or for every other format a sidecar that names the data's hash.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from flowpipe.adapters import Held, State

METADATA_KEY = "flowpipe"
STAGED = ".flowpipe-"


def to_json(state: State) -> str:
    """A state as JSON text."""
    return json.dumps(dataclasses.asdict(state), sort_keys=True)


def make_visible(written: Path, target: Path) -> None:
    """Put a whole file in the target's place, durably: readers see the old one or the new one, never a part."""
    _sync(written)
    written.replace(target)
    _sync(target.parent)


def embedded(path: Path) -> Held:
    """What a Parquet file says of itself; `rows` are counted from its footer."""
    if not path.exists():
        return Held()
    try:
        state = _state(json.loads(pl.read_parquet_metadata(path)[METADATA_KEY]))
        rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError):
        return Held(None, "the file was replaced")
    return Held(dataclasses.replace(state, rows=int(rows)))


def write_sidecar(target: Path, state: State, schema: Mapping[str, pl.DataType]) -> None:
    """Remember what a file holds; called only once the file is in its place."""
    sidecar = _sidecar(target)
    beside = sidecar.with_name(f"{sidecar.name}{STAGED}{state.run}")
    columns = io.BytesIO()
    pl.DataFrame(schema=schema).write_ipc(columns)
    content = {
        "sha256": _sha256(target),
        "state": dataclasses.asdict(state),
        "schema": base64.b64encode(columns.getvalue()).decode(),
    }
    beside.write_text(json.dumps(content, sort_keys=True))
    make_visible(beside, sidecar)


def sidecar_of(target: Path) -> Held:
    """What a file's sidecar says of it; the file is read and hashed every time."""
    try:
        content = json.loads(_sidecar(target).read_text())
        state, sha256 = _state(content["state"]), content["sha256"]
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return Held()
    if not target.exists():
        return Held(state, "the file is gone")
    return Held(state, None if _sha256(target) == sha256 else "the file was changed by somebody else")


def sidecar_schema(target: Path) -> Mapping[str, pl.DataType] | None:
    """The columns a file was published with; None when it is not as published."""
    held = sidecar_of(target)
    if held.state is None or held.changed is not None:
        return None
    columns = base64.b64decode(json.loads(_sidecar(target).read_text())["schema"])
    return pl.read_ipc(io.BytesIO(columns)).schema


def _state(fields: dict[str, object]) -> State:
    return State(**fields)  # type: ignore[arg-type]  # a field too many or too few is a TypeError, as callers expect


def _sidecar(target: Path) -> Path:
    return target.with_name(f".{target.name}.flowpipe.json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
