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
        return place.is_file() and place.read_bytes() == self.text.encode()

    def write(self, place: Path) -> None:
        place.write_bytes(self.text.encode())


def write(folder: Path, files: Sequence[NewFile], *, hint: str) -> list[str]:
    """Make the files that are not there yet, in their order; their paths.

    A process that dies in the middle leaves whole files, and the next call makes the rest.

    Raises:
        UsageError: something else is where a file should go, or the folder cannot be written; `hint` says what to do.
    """
    try:
        missing = _missing(folder, files, hint)
        for file in missing:
            place = folder / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            beside = place.with_name(place.name + _BESIDE)
            beside.unlink(missing_ok=True)
            file.write(beside)
            beside.replace(place)
    except OSError as error:
        shown = error.filename or folder
        raise UsageError(f"cannot write {shown}: {error.strerror}", hint="choose a folder that you may write") from None
    return [file.path for file in missing]


def exchange(place: Path, text: str) -> None:
    """Give a file another text in one act, with the rights it had."""
    beside = place.with_name(place.name + _BESIDE)
    beside.write_bytes(text.encode())
    if place.exists():
        beside.chmod(place.stat().st_mode)
    beside.replace(place)


def _missing(folder: Path, files: Sequence[NewFile], hint: str) -> list[NewFile]:
    """The files that are not there.

    Raises:
        UsageError: something else is where one should go.
    """
    missing, in_the_way = [], []
    for file in files:
        place = folder / file.path
        parents = (folder.joinpath(*place.relative_to(folder).parts[:depth]) for depth in range(len(place.parts)))
        blocking = next((each for each in parents if each.exists() and not each.is_dir()), None)
        if blocking and blocking != place:
            in_the_way.append(str(blocking.relative_to(folder)) if blocking != folder else str(folder))
        elif not os.path.lexists(place):
            missing.append(file)
        elif not file.is_at(place):
            in_the_way.append(file.path)
    if in_the_way:
        listed = ", ".join(dict.fromkeys(in_the_way))
        raise UsageError(f"nothing is written, for there is something else already: {listed}", hint=hint)
    return missing
