"""Packages of somebody else's, installed: what an installer writes, without one and its network."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path) -> Callable[[Path], str]:
    """The PYTHONPATH of a place where the package of a folder with a pyproject.toml is installed."""

    def install(folder: Path) -> str:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        own = project["name"].replace("-", "_")
        info = tmp_path / "site" / f"{own}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(metadata)
        points = [
            f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in entries.items())
            for group, entries in project["entry-points"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(points))
        return os.pathsep.join([str(info.parent), str(folder), os.environ.get("PYTHONPATH", "")])

    return install
