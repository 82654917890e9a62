"""Folders in the machine's shared memory: one of each process that wants one, gone when that process is."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path

from flowpipe.liveness import Liveness

_ROOT = Path("/dev/shm")  # noqa: S108 - where Linux has it; other systems have none
_PREFIX = "flowpipe-"
_LOCK = "alive"


class SharedMemory:
    """A folder that only this user can read, or none where the machine has no shared memory."""

    def __init__(self, run: str) -> None:
        self.folder: Path | None = None
        if not os.access(_ROOT, os.W_OK):
            return
        while self.folder is None:
            folder = _ROOT / f"{_PREFIX}{run}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            folder.mkdir(mode=0o700)
            self._liveness = Liveness(folder)
            with suppress(OSError):  # it was swept before it was held
                self._liveness.hold(_LOCK)
                if (folder / _LOCK).exists():
                    self.folder = folder

    def remove(self) -> None:
        """Give the memory back, as soon as nobody has it mapped."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._liveness.let_all_go()


def sweep() -> None:
    """Remove the folders of dead processes."""
    for folder in _ROOT.glob(f"{_PREFIX}*"):
        Liveness(folder).claim(_LOCK, partial(shutil.rmtree, folder, ignore_errors=True))
