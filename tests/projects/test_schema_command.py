"""`flowpipe schema`: what it lists, prints and writes, and what it says of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowpipe import schemas
from flowpipe.cli import run_command
from flowpipe.cli.schema import KINDS
from tests.conftest import ProjectFolder

LISTED = """\
project: conf/project.yml, whose first line for editors is
  # yaml-language-server: $schema=schema/project.json
profile: conf/profiles/NAME.yml, whose first line for editors is
  # yaml-language-server: $schema=../schema/profile.json
catalog: conf/catalog.yml, whose first line for editors is
  # yaml-language-server: $schema=schema/catalog.json
pipeline: conf/pipelines/NAME.yml, whose first line for editors is
  # yaml-language-server: $schema=../schema/pipeline.json

flowpipe schema KIND prints one.
flowpipe schema --write puts all into conf/schema/.
"""


@pytest.fixture(autouse=True)
def _inside(project: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)


def test_the_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema"], debug=False) == 0
    assert capsys.readouterr().out == LISTED
    assert run_command(["schema", "--json"], debug=False) == 0
    assert json.loads(capsys.readouterr().out) == dict(schemas.FILES)
    assert list(schemas.FILES) == list(KINDS)


def test_one_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema", "pipeline"], debug=False) == 0
    assert json.loads(capsys.readouterr().out) == schemas.schema("pipeline")


def test_all_are_written_where_the_files_look_for_them(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["schema", "--write"], debug=False) == 0
    assert capsys.readouterr().out == "".join(f"wrote conf/schema/{kind}.json\n" for kind in schemas.FILES)
    for kind, file in schemas.FILES.items():
        found = (project.path / file).parent / schemas.first_line(kind).partition("$schema=")[2]
        assert json.loads(found.read_text("utf-8")) == schemas.schema(kind)


def test_a_folder_may_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema", "--write", str(tmp_path / "of" / "mine"), "--json"], debug=False) == 0
    told = [json.loads(line)["wrote"] for line in capsys.readouterr().out.splitlines()]
    assert told == [str(tmp_path / "of" / "mine" / f"{kind}.json") for kind in schemas.FILES]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["profil"],
            'unknown kind of file "profil"',
            'did you mean "profile"? known: catalog, pipeline, profile, project',
        ),
        (["profile", "--write"], "--write writes all kinds", "leave profile out, or name a folder like ./profile"),
        (
            ["--write", "data/numbers.csv"],
            "data/numbers.csv cannot be written: File exists",
            "name another folder: flowpipe schema --write FOLDER",
        ),
        (
            ["--write", "--project", "/"],
            "no flowpipe project at / or above it: there is no conf/project.yml",
            "go to the project's folder, or name it with --project DIR; `flowpipe init DIR` makes one",
        ),
    ],
)
def test_mistakes(arguments: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema", *arguments], debug=False) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n  hint: {hint}\n")
