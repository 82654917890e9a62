"""How a child process gets no more memory than a bound: by a control group of the kernel, where there can be one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")


@contextmanager
def memory_group(size: int) -> Iterator[Path | None]:
    """A group whose processes are killed when they need more bytes than `size`; None where there can be none.

    What the kernel caches of files counts, too, but makes room before anything is killed.
    """
    first = (GROUPS / "memory").is_dir()  # version 1 has a folder for each controller
    group = GROUPS / ("memory" if first else "") / f"flowpipe-benchmark-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(size), encoding="ascii")
    except OSError:
        with suppress(OSError):
            group.rmdir()
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()
