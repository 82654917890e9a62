"""`flowpipe graph` as a person uses it: formats, files, names, and every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowpipe.cli import run_command
from flowpipe.project import Project
from tests.conftest import ProjectFolder

ENDINGS = ".svg, .html, .htm, .mmd, .mermaid, .dot, .gv, .json"
BY_ENDING = f"end it with one of {ENDINGS}, or add --format"
THERE = "name a file in a folder that is there and may be written to"


@pytest.fixture(autouse=True)
def _there(project: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)


def test_mermaid_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["graph"], debug=False) == 0
    out, err = capsys.readouterr()
    assert out.startswith("%% small, profile dev \u00b7 1 pipeline, 2 datasets\nflowchart LR\n")
    assert '    v3["doubled"]:::node' in out.splitlines()
    assert err == ""


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.svg", "<svg "),
        ("a.html", "<!doctype html>"),
        ("a.MMD", "%% small"),
        ("a.gv", 'digraph "small: double" {'),
        ("a.json", '{"title": "small: double"'),
    ],
)
def test_the_ending_of_the_file_is_the_format(name: str, start: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).write_text("before", encoding="utf-8")
    assert run_command(["graph", "double", "--output", name], debug=False) == 0
    text = Path(name).read_text(encoding="utf-8")
    assert text.startswith(start)
    assert capsys.readouterr().out.startswith(f"{name}: 4 boxes, 3 edges, ")
    assert [path.name for path in Path().iterdir() if path.is_file()] == [name]


def test_a_format_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["graph", "--format", "svg", "-o", "-"], debug=False) == 0
    svg = capsys.readouterr().out
    assert (svg[:5], svg[-7:]) == ("<svg ", "</svg>\n")
    assert run_command(["graph", "--format", "svg", "-o", "picture"], debug=False) == 0
    assert Path("picture").read_text(encoding="utf-8") == svg
    capsys.readouterr()
    assert run_command(["graph", "--json", "--level", "pipelines"], debug=False) == 0
    ids = [each["id"] for each in json.loads(capsys.readouterr().out)["vertices"]]
    assert ids == ["dataset:numbers", "dataset:doubled", "pipeline:double"]


def test_pipelines_of_a_large_project_say_how_to_see_the_nodes(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = "".join(f"def n{number}() -> int:\n    return 1\n\n\n" for number in range(61))
    project.write({"pipelines/many.py": nodes, "conf/pipelines/many.yml": "modules: [many]\nwrites: {}\n"})
    assert run_command(["graph", "-o", "a.svg"], debug=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a.svg: 4 boxes, 2 edges, ")
    assert lines[1:] == ["it shows pipelines; their nodes: flowpipe graph PIPELINE, or --level nodes"]


def test_offline_no_secret_is_needed(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    project.write(
        {
            "conf/catalog.yml": """
        numbers: {store: here, path: "${env:NOT_SET_ANYWHERE}/numbers.csv"}
        doubled: {store: here, path: doubled.parquet}
        """
        }
    )
    assert run_command(["graph"], debug=False) == 2
    assert "NOT_SET_ANYWHERE is not set" in capsys.readouterr().err
    assert run_command(["graph", "--offline"], debug=False) == 0
    assert '[("numbers<br/>here \u00b7 files")]' in capsys.readouterr().out


def test_a_pipe_is_written_to_not_replaced() -> None:
    assert run_command(["graph", "--format", "dot", "-o", "/dev/null"], debug=False) == 0
    assert not Path("/dev/null").is_file()


def test_a_link_stays_one(tmp_path: Path) -> None:
    Path("a.svg").symlink_to(tmp_path / "real.svg")
    assert run_command(["graph", "-o", "a.svg"], debug=False) == 0
    assert Path("a.svg").is_symlink()
    assert (tmp_path / "real.svg").read_text(encoding="utf-8").startswith("<svg ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["doubel"],
            'unknown pipeline "doubel"\n  hint: did you mean "double"? known: double',
        ),
        (
            ["--format", "sgv"],
            'unknown format "sgv"\n  hint: did you mean "svg"? known: dot, html, json, mermaid, svg',
        ),
        (
            ["--level", "pipeline"],
            'unknown level "pipeline"\n  hint: did you mean "pipelines"? known: nodes, pipelines',
        ),
        (
            ["-o", "a.png"],
            f'the ending ".png" of a.png is no format of a picture\n  hint: {BY_ENDING}',
        ),
        (
            ["-o", "picture"],
            f"picture has no ending that tells its format\n  hint: {BY_ENDING}",
        ),
        (
            ["-o", "a.svg", "--format", "dot"],
            "--output a.svg says svg, --format says dot\n  hint: leave out --format, or write a.dot",
        ),
        (
            ["--json", "--format", "svg"],
            "--json and --format svg exclude each other\n  hint: leave one of them out",
        ),
        (
            ["--json", "-o", "a.svg"],
            "--json and --output a.svg exclude each other\n  hint: leave one of them out",
        ),
        (
            ["-o", "there/a.svg"],
            f"there/a.svg cannot be written: No such file or directory\n  hint: {THERE}",
        ),
        (
            ["-o", "data", "--format", "svg"],
            f"data cannot be written: Is a directory\n  hint: {THERE}",
        ),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["graph", *arguments], debug=False) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: {message}\n")


def test_the_picture_in_the_docs_is_current() -> None:
    root = Path(__file__).parent.parent.parent
    drawn = Project.load(root).graph().svg()
    kept = (root / "docs" / "images" / "graph.svg").read_text(encoding="utf-8")
    assert kept == drawn, "draw it again: flowpipe graph --output docs/images/graph.svg"


def test_problems_of_the_project_are_told(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    project.write({"conf/pipelines/double.yml": "modules: [double]\nwrites: [doubled]\n"})
    assert run_command(["graph", "-o", "a.svg"], debug=False) == 2
    err = capsys.readouterr().err
    assert err.startswith('error: pipelines/double.py:4: unknown input of node doubled: "factor"\n')
    assert not Path("a.svg").exists()
