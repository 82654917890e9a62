"""Where a project is on disk, and where its own state lies in it."""

from __future__ import annotations

from pathlib import Path

from flowpipe.errors import UsageError


def find_root(path: Path) -> Path:
    """The nearest folder at or above `path` that holds `conf/project.yml`.

    Raises:
        UsageError: there is none.
    """
    start = path.resolve()
    if not start.exists():
        raise UsageError(f"there is no folder {path}", hint="name the project's folder with --project DIR")
    for folder in (start, *start.parents):
        if (folder / "conf" / "project.yml").is_file():
            return folder
    raise UsageError(
        f"no flowpipe project at {start} or above it: there is no conf/project.yml",
        hint="go to the project's folder, or name it with --project DIR; `flowpipe init DIR` makes one",
    )


def ledger_path(root: Path) -> Path:
    """The history of all profiles' runs."""
    return root / ".flowpipe" / "ledger.db"


def profile_state(root: Path, profile: str) -> Path:
    """The lock, manifests and scratch files of one profile."""
    return root / ".flowpipe" / profile
