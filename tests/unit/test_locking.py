"""The lock that a run holds: whoever only looks at it keeps no run from starting."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Timer

import pytest
from filelock import FileLock

from flowpipe.errors import LockedError
from flowpipe.run import locked


def test_a_glance_at_the_lock_is_waited_for(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock", thread_local=False)
    lock.acquire()
    Timer(0.05, lock.release).start()
    with locked(tmp_path, timedelta(0)):
        assert not lock.is_locked


def test_a_run_is_not_waited_for(tmp_path: Path) -> None:
    with locked(tmp_path, timedelta(0)), pytest.raises(LockedError), locked(tmp_path, timedelta(0)):
        pass
