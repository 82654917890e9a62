"""How values lie in files of shared memory: written once, mapped by whoever needs them, and never copied.

Where the memory is too full they lie in the run's scratch folder, on disk.
"""

from __future__ import annotations

import mmap
import os
import pickle
import shutil
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowpipe.executors.values import Carried, Packed

# Below it a message is quicker than a file.
INLINE = 65536
# Left free, for others.
_RESERVE = 64 * 2**20
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Stored(Carried):
    """A packed value in a file."""

    path: Path
    rows: int | None = None

    def unpack(self) -> Any:
        return self.map().unpack()

    def map(self) -> Packed:
        """The packed value where it lies. What is written to it changes this process's own copy only."""
        with self.path.open("rb") as file:
            memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        (count,) = struct.unpack_from("<Q", memory)
        sizes = struct.unpack_from(f"<{count}Q", memory, 8)
        parts = [memory[start : start + size] for start, size in _places(sizes)]
        found: Packed = pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - made by a process of the same run
        return found


class NoRoom(OSError):
    """No folder has room for a value."""


def store(packed: Packed, name: str, folders: Sequence[Path]) -> Stored:
    """Write a value into the first folder that has room for it.

    Raises:
        NoRoom: none has.
    """
    outside: list[pickle.PickleBuffer] = []
    head = pickle.dumps(packed, protocol=5, buffer_callback=outside.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in outside)]
    size = sum(part.nbytes for part in parts)
    for folder in folders:
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(folder).free < size + _RESERVE:
                continue
            _write(path, parts)
        except OSError:  # others may have taken the room meanwhile
            with suppress(OSError):
                path.unlink()
            continue
        return Stored(path, packed.rows)
    raise NoRoom(f"its value of {size / 1e6:,.0f} MB fits into none of {', '.join(map(str, folders))}")


def _write(path: Path, parts: Sequence[memoryview]) -> None:
    sizes = [part.nbytes for part in parts]
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(struct.pack(f"<{len(sizes) + 1}Q", len(sizes), *sizes))
        for (start, _), part in zip(_places(sizes), parts, strict=True):
            file.write(bytes(start - file.tell()))
            file.write(part)


def _places(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    end = 8 * (len(sizes) + 1)
    for size in sizes:
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        yield start, size
        end = start + size
