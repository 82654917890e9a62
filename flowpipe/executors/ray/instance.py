"""An own Ray instance on this machine: where its files lie, and that nothing of it stays behind.

Ray's processes end with the driver's, but not all of them and not at once, and its files stay. So each instance has a
folder with a lock, which the system lets go of whatever kills the driver: what is dead, the next run clears away.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flowpipe.liveness import Liveness

_PREFIX = "flowpipe-ray-"
_LOCK = "driver.lock"
# Ray puts sockets up to 66 characters deeper, and the system allows them 107.
_LONGEST = 40


class Folder:
    """The folder of one instance; a new one clears away what killed runs left."""

    def __init__(self) -> None:
        root = _root()
        for old in root.glob(f"{_PREFIX}*"):
            _sweep(old)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        self._liveness = Liveness(self.path)
        self._liveness.hold(_LOCK)

    def remove(self) -> None:
        """End every process that still uses it, and delete it."""
        _end(self.path)
        self._liveness.let_all_go()
        shutil.rmtree(self.path, ignore_errors=True)


def _root() -> Path:
    found = Path(tempfile.gettempdir()).resolve()
    return found if len(f"{found}/{_PREFIX}12345678") <= _LONGEST else Path("/tmp")  # noqa: S108 - mkdtemp is safe there


def _sweep(folder: Path) -> None:
    with suppress(OSError):
        if folder.stat().st_uid == os.getuid() and (folder / _LOCK).exists() and Liveness(folder).is_dead(_LOCK):
            _end(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _end(folder: Path) -> None:
    """Kill the processes that have a file of the folder open, as all of Ray's have: their names tell nothing."""
    for process in _users(folder):
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _users(folder: Path) -> Iterator[int]:
    own = os.getpid()
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == own:
            continue
        with suppress(OSError):
            files = (str(file.readlink()) for file in (process / "fd").iterdir())
            if any(file.startswith(f"{folder}/") for file in files):
                yield int(process.name)
