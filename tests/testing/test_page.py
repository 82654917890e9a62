"""docs/testing.md is a project that runs: its blocks are the files, its commands print what is shown."""

from __future__ import annotations

import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path

from tests.conftest import ProjectFolder

PAGE = Path(__file__).parent.parent.parent / "docs" / "testing.md"
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_runs(tmp_path: Path) -> None:
    project = ProjectFolder(tmp_path)
    blocks = [(match["kind"], match["text"]) for match in BLOCK.finditer(PAGE.read_text("utf-8"))]
    project.write(
        {text.splitlines()[0].removeprefix("# "): text for kind, text in blocks if kind in {"yaml", "python"}}
    )
    (project.path / "pytest.ini").write_text("[pytest]\n")
    before = {path for path in tmp_path.rglob("*") if "conf" in path.parts}
    for (kind, command), (_, shown) in pairwise(blocks):
        if kind == "bash":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=project.path,
                env=os.environ | {"COLUMNS": "80"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            assert without_times(done.stdout) == without_times(shown)
    assert {path for path in tmp_path.rglob("*") if "conf" in path.parts} == before
    assert not (tmp_path / ".flowpipe").exists()


def without_times(text: str) -> str:
    """What pytest prints, without what it took."""
    return re.sub(r" in [\d.]+ ?s", " in _", text)
