"""Every block of README and docs is true: commands print what is shown, YAML loads, messages are the real ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowpipe import conffile
from flowpipe.config import PipelineConfig, ProfileConfig, ProjectConfig
from flowpipe.datasets import DatasetConfig
from flowpipe.testing.cases import CasesConfig
from flowpipe.validation import validate
from tests.conftest import ProjectFolder

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^(?:<!-- (?P<mark>\w+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
MODELS = {
    "project.yml": ProjectConfig,
    "profiles": ProfileConfig,
    "pipelines": PipelineConfig,
    "tests/": CasesConfig,
}


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands in it, its language, and the mark in a comment before it."""

    page: str
    kind: str
    text: str
    mark: str | None


def blocks(kind: str) -> list[Block]:
    """The blocks of a language, of all pages."""
    return [
        Block(page.name, kind, match["text"], match["mark"])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
        if match["kind"] == kind
    ]


def test_there_is_no_block_of_a_language_that_nothing_runs() -> None:
    kinds = {match["kind"] for page in PAGES for match in BLOCK.finditer(page.read_text(encoding="utf-8"))}
    assert kinds <= {"bash", "python", "text", "yaml"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the repository in which README's first command was run, and what it printed."""
    copy = tmp_path_factory.mktemp("readme") / "flowpipe"
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in listed.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    (command,) = [block.text for block in blocks("bash") if block.mark == "run"]
    return copy, shell(command, copy)


def shell(commands: str, folder: Path, **env: str) -> str:
    """Run commands as a reader would; what they print."""
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment | {"COLUMNS": "200"} | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def test_readme_installs_runs_and_prints_what_it_shows(installed: tuple[Path, str]) -> None:
    _, printed = installed
    lines = printed[printed.index("run 2") :].splitlines()
    shown = next(block.text for block in blocks("text") if block.page == "README.md").splitlines()
    cut = shown.index("  ...")
    first, last = shown[:cut], shown[cut + 1 :]
    assert [without_times(line) for line in first] == [without_times(line) for line in lines[: len(first)]]
    assert [without_times(line) for line in last] == [without_times(line) for line in lines[-len(last) :]]


def without_times(line: str) -> str:
    """A line of a run without its run id and durations."""
    return re.sub(r"run \d{8}-\d{6}-\w{4}|[\d.]+ m?s$|in [\d.]+ s$", "_", line)


def test_readme_tour(installed: tuple[Path, str]) -> None:
    copy, _ = installed
    (tour,) = [block.text for block in blocks("bash") if block.page == "README.md" and block.mark is None]
    printed = {}
    for line in tour.splitlines():
        command = line.partition("  #")[0].strip()
        printed[command] = shell(f". .venv/bin/activate\n{command}", copy)
    assert "params.late_minutes changed 15 -> 20" in printed["flowpipe plan --set params.late_minutes=20"]
    again = printed["flowpipe run"].splitlines()
    assert [line.split()[:3] for line in again if line.startswith("  ") and " done " in line] == [
        ["daily_delays", "2013-02", "done"],
        ["carrier_rank", "done", "carrier_rank"],
    ]


def test_readmes_line_for_servers(installed: tuple[Path, str]) -> None:
    """On a copy of what was installed there, with this environment, which has the test extra."""
    copy, _ = installed
    (line,) = [block.text for block in blocks("bash") if block.mark == "servers"]
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    printed = shell(line, copy, **environment)
    assert next(told for told in printed.splitlines() if told.startswith("run ")).endswith("profile s3")
    assert printed.count("done: ") == 2


def test_the_gate_runs_readmes_own_test_command() -> None:
    (command,) = [block.text for block in blocks("bash") if block.mark == "tests"]
    assert command.strip().endswith('pip install -e ".[test]" && pytest')
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.text.partition("\n")[0].lstrip("# "))
def test_yaml(block: Block) -> None:
    name = block.text.partition("\n")[0].lstrip("# ")
    document = conffile.parse(block.text, name, resolve=False)
    assert document.problems == ()
    if name.endswith("catalog.yml"):
        for dataset, entry in document.data.items():
            _, problems = validate(DatasetConfig, entry, document, (dataset,))
            assert not problems
        return
    model = next(model for part, model in MODELS.items() if part in name)
    _, problems = validate(model, document.data, document, ())
    assert not problems


def test_the_message_of_the_errors_page(tmp_path: Path) -> None:
    project = ProjectFolder(tmp_path / "copy")
    for part in ("conf", "pipelines"):
        shutil.copytree(ROOT / part, project.path / part)
    catalog = project.path / "conf/catalog.yml"
    shown = next(block.text for block in blocks("text") if block.page == "errors.md")
    line, column = (int(number) for number in shown.split(":")[1:3])
    lines = catalog.read_text().splitlines()
    assert lines[line - 1][column - 1 :] == "lake"
    lines[line - 1] = lines[line - 1][: column - 1] + "lakee"
    catalog.write_text("\n".join(lines))
    done = project.flowpipe("check")
    assert (done.code, done.err) == (2, f"error: {shown}")
