"""Which project a test belongs to, and how it is loaded, as pytest's settings say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowpipe.roots import find_root


@dataclass(frozen=True)
class Loading:
    """The folder of a project under test, its profile (None: its own default) and what `--set` would give."""

    root: Path
    profile: str | None
    sets: tuple[str, ...]


def loading(
    config: pytest.Config,
    file: Path,
    *,
    profile: str | None = None,
    sets: Sequence[str] = (),
    project: str | None = None,
) -> Loading:
    """How the project of a test's file is loaded; `project` is a folder from pytest's rootdir.

    Raises:
        UsageError: there is no project.
    """
    named = config.rootpath / project if project else root_of(config, file)
    chosen = profile or config.getoption("flowpipe_profile", None)
    return Loading(find_root(named or file.parent), chosen, (*config.getini("flowpipe_sets"), *sets))


def root_of(config: pytest.Config, file: Path) -> Path | None:
    """The project of a file: the one that the settings name, else the nearest folder above with `conf/project.yml`."""
    if named := config.getini("flowpipe_project"):
        return config.rootpath / str(named)
    return next((folder for folder in file.parents if (folder / "conf" / "project.yml").is_file()), None)
