"""How new files come into a folder that may hold others: all or none, never over what is there, each in one act."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flowpipe.errors import UsageError

_BESIDE = ".flowpipe-new"


class NewFile(Protocol):
    """A file to be made, which tells whether it is there already."""

    @property
    def path(self) -> str:
        """Below the folder, with `/`."""
        ...

    def is_at(self, place: Path) -> bool:
        """Whether the file at `place` is this one."""
        ...

    def write(self, place: Path) -> None:
        """Make it at `place`, where nothing is."""
        ...


@dataclass(frozen=True)
class TextFile:
    """A file of text."""

    path: str
    text: str

    def is_at(self, place: Path) -> bool:
        try:
            return place.read_bytes() == self.text.encode()
        except OSError:
            return False

    def write(self, place: Path) -> None:
        place.write_bytes(self.text.encode())


def in_the_way(folder: Path, files: Sequence[NewFile]) -> list[str]:
    """What is where a file should go, and is not that file."""
    found = []
    for file in files:
        place = folder / file.path
        blocking = next((each for each in reversed(place.parents) if each.exists() and not each.is_dir()), None)
        if blocking:
            found.append(blocking.relative_to(folder).as_posix() if blocking.is_relative_to(folder) else str(blocking))
        elif os.path.lexists(place) and not file.is_at(place):
            found.append(file.path)
    return list(dict.fromkeys(found))


def write(folder: Path, files: Sequence[NewFile], *, hint: str) -> list[str]:
    """Make the files that are not there yet, in their order; their paths.

    A process that dies in the middle leaves whole files, and the next call makes the rest.

    Raises:
        UsageError: something else is where a file should go, or the folder cannot be written; `hint` says what to do.
    """
    made = []
    try:
        if blocking := in_the_way(folder, files):
            raise UsageError(f"nothing is written: there is already {', '.join(blocking)}", hint=hint)
        for file in files:
            place = folder / file.path
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                beside = place.with_name(place.name + _BESIDE)
                beside.unlink(missing_ok=True)
                file.write(beside)
                beside.replace(place)
                made.append(file.path)
    except OSError as error:
        raise _cannot(error, folder) from None
    return made


def exchange(place: Path, text: str) -> None:
    """Give a file another text in one act, with the rights it had.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        beside = place.with_name(place.name + _BESIDE)
        beside.write_bytes(text.encode())
        if place.exists():
            beside.chmod(place.stat().st_mode)
        beside.replace(place)
    except OSError as error:
        raise _cannot(error, place) from None


def _cannot(error: OSError, place: Path) -> UsageError:
    shown = error.filename or place
    return UsageError(f"cannot write {shown}: {error.strerror}", hint="make it writable, or choose another folder")
