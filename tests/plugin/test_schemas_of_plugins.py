"""What somebody else's store takes stands in the JSON Schema of profiles as flowpipe's own does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from tests.conftest import ProjectFolder

HERE = Path(__file__).parent
BROKEN = """
[build-system]
requires = ["hatchling"]

[project]
name = "flowpipe-broken"
version = "0.1.0"

[project.entry-points."flowpipe.adapters"]
broken = "a_module_that_is_not_installed:Broken"
"""


def schema(project: ProjectFolder, path: str) -> dict[str, Any]:
    """The schema of profiles with what is installed at `path`, as the command prints it."""
    done = project.flowpipe("schema", "profile", PYTHONPATH=path)
    assert (done.code, done.err) == (0, "")
    found: dict[str, Any] = json.loads(done.out)
    return found


def accepts(schema: dict[str, Any], store: dict[str, Any]) -> bool:
    """Whether an editor takes a store."""
    return bool(Draft7Validator(schema).is_valid({"stores": {"base": store}}))


def test_an_adapter_of_somebody_elses(project: ProjectFolder, install: Callable[[Path], str]) -> None:
    path = install(HERE)
    found = schema(project, path)
    assert found["definitions"]["store_sqlite"]["properties"]["database"]["description"].startswith("the SQLite file")
    assert accepts(found, {"adapter": "sqlite", "database": "a.sqlite", "breaker": {"failures": 2}})
    assert not accepts(found, {"adapter": "sqlite"})
    assert not accepts(found, {"adapter": "sqlite", "databse": "a.sqlite"})
    assert not accepts(found, {"adapter": "sqlit", "database": "a.sqlite"})


def test_an_adapter_that_cannot_be_loaded_is_left_open(
    project: ProjectFolder, install: Callable[[Path], str], tmp_path: Path
) -> None:
    package = tmp_path / "broken"
    package.mkdir()
    (package / "pyproject.toml").write_text(BROKEN, "utf-8")
    found = schema(project, install(package))
    assert accepts(found, {"adapter": "broken", "anything": 1})
    assert not accepts(found, {"adapter": "broken", "breaker": {"failures": 0}})
    assert not accepts(found, {"adapter": "files", "anything": 1})
