"""Which project a test belongs to, and how it is loaded, as pytest's settings say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flowpipe.errors import UsageError, unknown
from flowpipe.roots import find_root

_SAID = ("profile", "project", "sets")


@dataclass(frozen=True)
class Loading:
    """The folder of a project under test, its profile (None: its own default) and what `--set` would give."""

    root: Path
    profile: str | None
    sets: tuple[str, ...]


def loading(config: pytest.Config, file: Path, mark: pytest.Mark | None = None) -> Loading:
    """How the project of a test's file is loaded; `project` in its mark is a folder from pytest's rootdir.

    Raises:
        UsageError: there is no project, or the mark says what nobody understands.
    """
    said = dict(mark.kwargs) if mark else {}
    if mark and mark.args:
        raise UsageError("the mark flowpipe takes names only", hint='write @pytest.mark.flowpipe(profile="dev")')
    if strange := [name for name in said if name not in _SAID]:
        raise UsageError.of(unknown("argument of the mark flowpipe:", name, _SAID) for name in strange)
    named = config.rootpath / said["project"] if "project" in said else root_of(config, file)
    try:
        root = find_root(named or file.parent)
    except UsageError as error:
        hint = "put the test below a project, or name one in pytest's settings: flowpipe_project = FOLDER"
        raise UsageError.of(replace(each, hint=hint) for each in error.problems) from None
    profile = said.get("profile") or config.getoption("flowpipe_profile", None)
    return Loading(root, profile, (*config.getini("flowpipe_sets"), *said.get("sets", ())))


def root_of(config: pytest.Config, file: Path) -> Path | None:
    """The project of a file: the one that the settings name, else the nearest folder above with `conf/project.yml`."""
    if named := config.getini("flowpipe_project"):
        return config.rootpath / str(named)
    return next((folder for folder in file.parents if (folder / "conf" / "project.yml").is_file()), None)
