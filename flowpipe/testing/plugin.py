"""What pytest loads: the fixture of a project under test, and the collection of YAML tests.

Every run of pytest in this environment imports it, also those of projects that know nothing of flowpipe: all else is
imported when a test asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flowpipe.testing.trial import TestProject

_MARKER = "flowpipe(profile=None, sets=(), project=None): how `flowpipe_project` is loaded"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("flowpipe_project", "the folder of the flowpipe project, if tests lie outside of it", default="")
    parser.addini("flowpipe_sets", "what `--set` would give, for every test; one on a line", type="linelist")
    group = parser.getgroup("flowpipe")
    group.addoption("--flowpipe-profile", metavar="NAME", help="the profile with which projects under test are loaded")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """`test_*.yml` of a flowpipe project; of other projects' files nothing is looked at but their place."""
    if not file_path.name.startswith("test_") or file_path.suffix not in {".yml", ".yaml"} or "." in file_path.stem:
        return None
    from flowpipe.testing.belonging import root_of

    if root_of(parent.config, file_path) is None:
        return None
    from flowpipe.testing.collecting import CaseFile

    return CaseFile.from_parent(parent, path=file_path)


@pytest.fixture
def flowpipe_project(request: pytest.FixtureRequest, tmp_path: Path) -> TestProject:
    """The project that the test belongs to, with empty temporary stores in the place of its own."""
    from flowpipe.errors import FlowpipeError
    from flowpipe.testing.belonging import loading
    from flowpipe.testing.trial import TestProject

    try:
        found = loading(request.config, request.path, request.node.get_closest_marker("flowpipe"))
        return TestProject.load(found.root, tmp_path / "flowpipe", profile=found.profile, sets=found.sets)
    except FlowpipeError as error:
        told = str(error)
    pytest.fail(told, pytrace=False)
