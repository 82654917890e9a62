"""What runs leave behind on disk, and which of it may go; only asked while no run of the profile is at work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from flowpipe.config import Configuration
from flowpipe.errors import FlowpipeError
from flowpipe.objectstore import explain
from flowpipe.shelf import Bounds, Shelf, shelf_of


@dataclass(frozen=True)
class Leftover:
    """One thing that may go: what it is and why, where it is, and how large."""

    what: str
    place: str
    bytes: int
    remove: Callable[[], object] = field(repr=False, compare=False)


def leftovers(configuration: Configuration, state: Path, *, every: bool, only_checkpoints: bool) -> list[Leftover]:
    """What may go of a profile: kept frames, and what dead runs left in the folder of its state.

    Raises:
        FlowpipeError: the store of the kept frames does not answer.
    """
    kept = _checkpoints(shelf_of(configuration), Bounds.of(configuration), every=every)
    return [*kept] if only_checkpoints else [*kept, *of_dead_runs(state)]


def _checkpoints(shelf: Shelf, bounds: Bounds, *, every: bool) -> Iterator[Leftover]:
    """Kept frames that are too old or too much, or every one."""
    try:
        entries = list(shelf.entries())
    except Exception as error:
        text, hint = explain(error)
        raise FlowpipeError(f"{shelf.shown('')} cannot be read: {text}", hint=hint) from error
    found = [(entry, "") for entry in entries] if every else bounds.beyond(entries, datetime.now(UTC))
    for entry, reason in found:
        what = f"checkpoint ({reason})" if reason else "checkpoint"
        yield Leftover(what, shelf.shown(entry.name), entry.bytes, partial(shelf.remove, entry.name))


def of_dead_runs(state: Path) -> Iterator[Leftover]:
    """Scratch folders, but for those that a decided step still needs, and what engines had spilled."""
    decided = [path.name for path in (state / "intents").glob("*.json")]
    for what, name in (("scratch folder", "scratch"), ("spilled rows", "spill")):
        for folder in sorted((state / name).glob("*")):
            if not any(intent.startswith(f"{folder.name}-") for intent in decided):
                yield Leftover(what, str(folder), _size(folder), partial(_remove, folder))


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in (folder, *folder.rglob("*")) if not path.is_dir())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
