"""What a user sees who makes a mistake: the pages of this folder, each console word for word.

`REWRITE=1 pytest tests/mistakes` writes what is printed now into the pages; read the difference.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from flowpipe.cli import run_command
from tests.conftest import Finished, ProjectFolder
from tests.mistakes.given import GIVEN, SECRET, World
from tests.mistakes.page import Mistake, read
from tests.mistakes.shop import open_the_shop

PAGES = sorted(Path(__file__).parent.glob("*.md"))
MISTAKES = [mistake for page in PAGES for mistake in read(page)]
MOST_LINES = 12


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after a run: what it published is what a mistake may cost."""
    project = open_the_shop(tmp_path_factory.mktemp("mistakes") / "shop")
    done = project.flowpipe("run")
    assert done.code == 0, done.err
    return project.path


@pytest.fixture
def project(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop for one mistake, as the current folder."""
    folder = tmp_path / "shop"
    shutil.copytree(shop, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("RUST_LOG", "error")
    return folder


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.page.stem}: {mistake.name}")
def test_a_mistake_is_told(
    mistake: Mistake,
    project: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for change in mistake.changes:
        change.make(project)
    ProjectFolder(project).write(dict(mistake.files))
    with ExitStack() as stack:
        world = World(project, request)
        for what in mistake.given:
            stack.enter_context(GIVEN[what](world))
        before = contents(world.project / "data")
        seen = flowpipe(mistake, world, monkeypatch, capfd)
        after = contents(world.project / "data")
    err = normal(seen.err, world.project.parent)
    if os.environ.get("REWRITE"):
        mistake.rewrite(err, seen.code)
    else:
        assert (err, seen.code) == (mistake.err, mistake.code)
    check_form(mistake, err, seen)
    # What no log names no reader sees: what is decided, and what a sink that failed still wrote after it was removed.
    aside = {name for name in after if re.search(r"/flowpipe-[^/]*\.parquet$", name)}
    assert {name: after[name] for name in after.keys() - (aside - before.keys())} == before, "data was changed"


def flowpipe(
    mistake: Mistake, world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Finished:
    """Run the mistake's command where the world is so."""
    arguments = shlex.split(mistake.command)
    if world.own_process:
        command = [*world.prefix, sys.executable, "-m", "flowpipe", *arguments]
        environment = os.environ | world.environment
        done = subprocess.run(command, cwd=world.project, env=environment, capture_output=True, text=True, check=False)
        return Finished(done.returncode, done.stdout, done.stderr)
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    capfd.readouterr()
    code = run_command(arguments, debug=False)
    told = capfd.readouterr()
    return Finished(code, told.out, told.err)


def check_form(mistake: Mistake, err: str, seen: Finished) -> None:
    """What holds for every message."""
    lines = err.splitlines()
    assert 0 < len(lines) <= MOST_LINES
    assert "Traceback" not in seen.out + seen.err
    assert "flowpipe itself failed" not in err
    assert SECRET not in seen.out + seen.err
    assert seen.code != 0
    problems = re.findall(r"^error: .*\n(?:(?!error: ).*\n)*", err, re.MULTILINE)
    assert problems
    for problem, following in pairwise([*problems, ""]):
        # Several mistakes of one place may share the hint of the last.
        assert "\n  hint: " in problem or problem.split(": ")[1] == following.split(": ")[1]
    if seen.code == 2 and any(file.startswith(("conf/", "pipelines/")) for file in mistake.touched):
        assert re.search(r"^error: (conf|pipelines)/[\w./]+(:\d+){0,2}: ", err), "no place"


def contents(folder: Path) -> dict[str, str]:
    """The files below a folder by name, each with a hash of what is in it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def normal(text: str, folder: Path) -> str:
    """A text without what is another each time."""
    text = text.replace(str(folder), "")
    text = re.sub(r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN", text)
    text = text.replace("File too large", "No space left on device")
    text = re.sub(r"RUN(-[0-9a-f]+)+", "RUN", re.sub(r"\.\.\.\S*?/shop/", ".../shop/", text))
    text = re.sub(r"process \d+", "process 4711", text)
    return re.sub(r'[^\s"]*/flowpipe-pg-\w+', "/tmp/pg", text)
