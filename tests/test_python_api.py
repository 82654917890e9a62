"""The Python API as notebooks and type checkers meet it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import flowpipe
from flowpipe import Project, markup
from flowpipe.errors import FlowpipeError
from tests.conftest import ProjectFolder

ROOT = Path(__file__).parent.parent


def test_pyright_reads_the_api() -> None:
    """As strictly as it can; mypy does in its own step of the gate."""
    pyright = [Path(sys.executable).with_name("basedpyright"), "--level", "error", "tests/typing/api.py"]
    done = subprocess.run(pyright, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_package_has_its_facade_and_nothing_else() -> None:
    assert flowpipe.Project is Project
    with pytest.raises(AttributeError, match="module 'flowpipe' has no attribute 'Projet'"):
        flowpipe.Projet  # noqa: B018


def texts(html: str) -> list[str]:
    """What a notebook shows of HTML, which must be well formed."""
    return [text.strip() for text in ElementTree.fromstring(f"<p>{html}</p>").itertext() if text.strip()]


def test_a_notebook_shows_project_plan_and_result(project: ProjectFolder) -> None:
    loaded = Project.load(project.path)
    assert texts(loaded._repr_html_()) == [
        "small, profile dev", "pipeline", "modules", "writes", "double", "double", "doubled"
    ]  # fmt: skip
    heads = ["plan: 1 of 1 steps to run", "step", "action", "why"]
    assert texts(loaded.plan()._repr_html_()) == [*heads, "double", "run", "never published"]
    result = loaded.run("double")
    assert result.check() is result
    *head, took = texts(result._repr_html_())
    head[0] = re.sub(r"run \S+: (\w+) in .*", r"\1", head[0])
    assert head == ["done", "step", "outcome", "published", "took", "double", "done", "doubled 3 rows"]
    assert took.endswith("s")
    assert [(output.dataset, output.rows) for output in result.outputs] == [("doubled", 3)]
    assert texts(loaded.plan()._repr_html_())[0] == "plan: 0 of 1 steps to run"


def test_a_result_tells_its_error(project: ProjectFolder) -> None:
    project.write(
        {"data/numbers.csv": "n\nten\n", "conf/pipelines/double.yml": "modules: [double]\nwrites: [doubled]\n"}
    )
    project.write(
        {
            "pipelines/double.py": """
                import polars as pl


                def doubled(numbers: pl.DataFrame) -> pl.DataFrame:
                    raise ValueError("<b>no</b>")
                """
        }
    )
    result = Project.load(project.path).run()
    assert result.outcomes == {"double": "failed"}
    assert "ValueError: <b>no</b>" in " ".join(texts(result._repr_html_()))
    with pytest.raises(FlowpipeError, match="<b>no</b>"):
        result.check()


def test_a_long_table_is_cut() -> None:
    html = markup.table("many", ["N"], [[str(number)] for number in range(1234)])
    assert texts(html)[-2:] == ["199", "and 1,034 more"]
