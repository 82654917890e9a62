"""Which runs are alive: each holds a lock file for as long as its process lives.

The system lets go of the lock whatever kills the process, and, unlike a process id, never hands it on to another one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path


def is_free(lock: Path) -> bool:
    """Whether no process holds a lock file, which is not made; it is held for no longer than it takes to ask.

    Raises:
        OSError: that cannot be found out.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=0) if lock.exists() else ExitStack():
            return True
    except Timeout:
        return False


class Liveness:
    """The lock files of runs in one folder, which is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, ExitStack] = {}

    def hold(self, run: str) -> None:
        """Show a run of this process as alive.

        Raises:
            OSError: the lock file cannot be made, or another process holds it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.callback((self._folder / run).unlink, missing_ok=True)
            stack.enter_context(self._lock(run))
            self._held[run] = stack.pop_all()

    def let_go(self, run: str) -> None:
        """Show a run of this process as no longer alive."""
        if held := self._held.pop(run, None):
            held.close()

    def let_all_go(self) -> None:
        """Show no run of this process as alive."""
        for run in list(self._held):
            self.let_go(run)

    def is_dead(self, run: str) -> bool:
        """Whether no process holds the run; False also where that cannot be found out."""
        if run in self._held:
            return False
        try:
            self._folder.mkdir(exist_ok=True)
            with ExitStack() as stack:
                stack.enter_context(self._lock(run))
                stack.callback((self._folder / run).unlink, missing_ok=True)
        except OSError:
            return False
        return True

    def claim(self, run: str, act: Callable[[], None]) -> bool:
        """Do something while nobody can hold the run; False: a process holds it, or that cannot be found out."""
        try:
            with self._lock(run):
                act()
        except OSError:
            return False
        return True

    def _lock(self, run: str) -> AbstractContextManager[object]:
        from filelock import FileLock

        # Any thread may let go of it.
        return FileLock(self._folder / run, timeout=0, thread_local=False)
