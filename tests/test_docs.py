"""Every block of README and docs is true: commands print what is shown, files load, and the site can be built.

Most pages are scripts, which `tests.pages` plays. The others explain parts: their YAML is held to its model.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flowpipe import conffile
from flowpipe.config import PipelineConfig, ProfileConfig, ProjectConfig
from flowpipe.datasets import DatasetConfig
from flowpipe.validation import validate
from tests.conftest import ProjectFolder
from tests.pages import Block, blocks, play, without_times

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PARTS = [
    ROOT / "README.md",
    *(DOCS / f"{name}.md" for name in ("index", "architecture", "audit", "comparison", "configuration", "errors")),
    *(DOCS / f"{name}.md" for name in ("executors", "stores")),
    *sorted((DOCS / "reference").glob("*.md")),
]
SCRIPTS = sorted({*DOCS.rglob("*.md")} - {*PARTS})
MODELS = {"project.yml": ProjectConfig, "profiles": ProfileConfig, "pipelines": PipelineConfig}


def parts(kind: str) -> list[Block]:
    """The blocks of a language, of all pages that are no scripts."""
    return [block for page in PARTS for block in blocks(page) if block.kind == kind]


def in_readme(kind: str, mark: str | None = None) -> list[str]:
    return [block.text for block in blocks(PARTS[0]) if (block.kind, block.mark) == (kind, mark)]


def test_there_is_no_block_of_a_language_that_nothing_runs() -> None:
    assert {block.kind for page in PARTS for block in blocks(page)} <= {"bash", "python", "text", "yaml"}
    assert {block.page.name for block in parts("bash")} == {"README.md"}


@pytest.mark.parametrize("page", SCRIPTS, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_is_a_script(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    play(page, folder)


LIES = {
    "```bash\necho a\n```\n\n```text\nb\n```\n": "page.md:5: another output",
    "```bash\nexit 3\n```\n": "page.md:1: exit code 3",
    "```text\nb\n```\n": "page.md:1: the output of nothing",
    "```rust\nfn main() {}\n```\n": "page.md:1: nothing runs rust",
    "```yaml\na: 1\n```\n": "page.md:1: nothing runs yaml",
    "```bash\ntrue\n": "page.md: a block that nothing sees",
    "- like this:\n\n    ```bash\n    exit 3\n    ```\n": "page.md: a block that nothing sees",
}


@pytest.mark.parametrize(("text", "told"), LIES.items(), ids=LIES.values())
def test_a_page_that_is_not_true_is_told(text: str, told: str, tmp_path: Path) -> None:
    page, folder = tmp_path / "page.md", tmp_path / "reader"
    page.write_text(text)
    folder.mkdir()
    with pytest.raises(AssertionError, match=told):
        play(page, folder)


def test_a_page_may_leave_out_lines_and_show_other_times(tmp_path: Path) -> None:
    page, folder = tmp_path / "page.md", tmp_path / "reader"
    page.write_text(
        '```csv title="a/b.csv"\nx\n```\n\n```bash\ncd a\nseq 9; echo took 1.5 s\n```\n\n'
        "```text\n1\n...\n9\ntook 20 ms\n```\n\n```bash\ncat b.csv\n```\n\n```text\nx\n```\n"
    )
    folder.mkdir()
    play(page, folder)


@pytest.mark.parametrize("block", parts("python"), ids=lambda block: block.place)
def test_python(block: Block) -> None:
    exec(compile(block.text, block.place, "exec"), {})


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the repository in which README's first command was run, and what it printed."""
    copy = tmp_path_factory.mktemp("readme") / "flowpipe"
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in listed.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    (command,) = in_readme("bash", "run")
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
    shown = in_readme("text")[0].splitlines()
    cut = shown.index("  ...")
    first, last = shown[:cut], shown[cut + 1 :]
    assert [without_times(line) for line in first] == [without_times(line) for line in lines[: len(first)]]
    assert [without_times(line) for line in last] == [without_times(line) for line in lines[-len(last) :]]


def test_readme_tour(installed: tuple[Path, str]) -> None:
    copy, _ = installed
    (tour,) = in_readme("bash")
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
    (line,) = in_readme("bash", "servers")
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    printed = shell(line, copy, **environment)
    assert next(told for told in printed.splitlines() if told.startswith("run ")).endswith("profile s3")
    assert printed.count("done: ") == 2


def test_the_gate_runs_readmes_own_test_command() -> None:
    (command,) = in_readme("bash", "tests")
    assert command.strip().endswith('pip install -e ".[test]" && pytest')
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("block", parts("yaml"), ids=lambda block: block.place)
def test_yaml(block: Block) -> None:
    name = str(block.title)
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
    shown = next(block.text for block in parts("text") if block.page == DOCS / "errors.md")
    line, column = (int(number) for number in shown.split(":")[1:3])
    lines = catalog.read_text().splitlines()
    assert lines[line - 1][column - 1 :] == "lake"
    lines[line - 1] = lines[line - 1][: column - 1] + "lakee"
    catalog.write_text("\n".join(lines))
    done = project.flowpipe("check")
    assert (done.code, done.err) == (2, f"error: {shown}")


class _Loads(HTMLParser):
    """What a browser loads by itself for a page, and where its links lead."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src", "srcset"} and value:
                (self.links if tag == "a" or dict(attrs).get("rel") == "canonical" else self.loads).add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `zensical build --strict` makes it, of a copy: it writes beside its configuration."""
    copy = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, copy / "docs")
    shutil.copy(ROOT / "zensical.toml", copy)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "No issues found" in done.stderr) == (0, True), done.stdout + done.stderr
    return copy / "site"


def test_the_site_needs_nothing_from_elsewhere_and_no_link_is_broken(site: Path) -> None:
    outside, broken = set(), set()
    for page in site.rglob("*.html"):
        seen = _Loads(page)
        outside |= {address for address in seen.loads if urlsplit(address).netloc}
        for address in () if page.name == "404.html" else seen.loads | seen.links:
            url = urlsplit(address)
            if url.path and not url.netloc and not (page.parent / url.path).exists():
                broken.add(f"{page.relative_to(site)}: {address}")
    styles = [sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css")]
    outside |= {
        address for sheet in styles for address in re.findall(r"url\(.?(?:https?:)?//[^)]*|@import[^;]*", sheet)
    }
    assert (outside, broken) == (set(), set())


def test_every_page_is_in_the_navigation_and_in_the_search(site: Path) -> None:
    def pages(entry: object) -> list[str]:
        inner = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
        return [entry] if isinstance(entry, str) else [page for each in inner for page in pages(each)]

    nav = pages(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    assert sorted(nav) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))
    assert "on_invalid" in (site / "search.json").read_text(encoding="utf-8")
