"""What somebody meets in the first hours: a pipe that closes, one name in the place of a list, short texts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowpipe import Project
from flowpipe.errors import UsageError
from tests.conftest import ProjectFolder


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--verbose",)])
def test_a_pipe_that_closes_does_not_stop_a_run(project: ProjectFolder, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "flowpipe", "run", *arguments]
    try:
        done = subprocess.run(
            command, cwd=project.path, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(project.flowpipe("show", "last", "--json").out)
    assert (shown["run"]["outcome"], shown["run"]["error"]) == ("done", None)


def test_an_error_of_a_step_is_shown_once(project: ProjectFolder) -> None:
    Path(project.path, "data/numbers.csv").write_text("other\n1\n")
    assert project.flowpipe("run").code != 0
    assert project.flowpipe("show", "last").out.count("hint:") == 1


def test_one_node_need_not_be_a_list(project: ProjectFolder) -> None:
    loaded = Project.load(project.path)
    assert list(loaded.compute("doubled")) == ["doubled"]
    with pytest.raises(UsageError, match=r'^unknown node "doubeld"'):
        loaded.compute("doubeld")


def test_one_window_need_not_be_a_list(project: ProjectFolder) -> None:
    with pytest.raises(UsageError, match=r"^no partitions: double runs as a whole"):
        Project.load(project.path).plan(partitions="2024-01")
    monthly = "modules: [double]\nwrites: [doubled]\npartitions: {every: month, start: 2024-01, end: 2024-03}\n"
    project.write(
        {
            "conf/catalog.yml": """
                numbers: {store: here, path: numbers.csv}
                doubled: {store: lake, table: doubled, mode: replace, partition: {every: month, column: day}}
                """,
            "conf/pipelines/double.yml": monthly,
            "pipelines/double.py": """
                import polars as pl


                def doubled(numbers: pl.LazyFrame) -> pl.LazyFrame:
                    return numbers
                """,
        }
    )
    assert [step.name for step in Project.load(project.path).plan(partitions="2024-02").steps] == ["double 2024-02"]


def test_a_shell_that_is_not_known(project: ProjectFolder) -> None:
    assert project.flowpipe("completion", "tcsh").err == (
        "error: shell: 'tcsh' is not one of 'bash', 'zsh', 'fish'\n"
        "  hint: flowpipe completion --help shows what it takes\n"
    )


def test_windows_where_there_are_none(project: ProjectFolder) -> None:
    catalog = Path(project.path, "conf/catalog.yml")
    catalog.write_text(catalog.read_text() + "tripled: {store: here, path: t.parquet}\n")
    project.write(
        {
            "conf/pipelines/triple.yml": "modules: [triple]\nwrites: [tripled]\n",
            "pipelines/triple.py": "import polars as pl\n\n\ndef tripled(numbers: pl.DataFrame) -> pl.DataFrame:\n"
            "    return numbers\n",
        }
    )
    assert project.flowpipe("plan", "--partition", "2024-01").err == (
        "error: no partitions: double, triple run as a whole\n  hint: leave out --partition, --from and --to\n"
    )


def test_an_unknown_name_is_answered_with_the_projects_names(project: ProjectFolder) -> None:
    assert project.flowpipe("explain", "zzz").err == (
        'error: unknown name "zzz"\n  hint: known: double, doubled, numbers; or an exit code, such as 3\n'
    )


def test_objects_are_short_at_the_prompt(project: ProjectFolder) -> None:
    loaded = Project.load(project.path)
    assert repr(loaded) == "project small, profile dev\n  double  double  doubled"
    assert repr(loaded.check()) == "{'double': <pipeline double: numbers -> doubled>}"
    assert repr(loaded.plan()) == "plan: 1 of 1 steps to run\n  double  run  never published"
    result = loaded.run()
    told = re.sub(r"\d+ ms", "TOOK", repr(result).replace(result.run, "RUN"))
    assert told == "run RUN: done in TOOK\n  double  done  doubled 3 rows  TOOK"
    assert repr(loaded.graph()) == "<graph small: 4 boxes, 3 edges>"


def test_a_new_project_says_how_to_get_pytest(tmp_path: Path) -> None:
    forbidding = (
        "import sys; sys.modules['pytest'] = None; sys.argv[1:] = ['init', 'shop']; "
        "from flowpipe.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", forbidding], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.endswith(
        "next:\n"
        "  cd shop\n"
        "  flowpipe run                    # publishes every table\n"
        "  flowpipe read daily_sales       # looks at one\n"
        '  pip install "flowpipe-etl[testing]"  # brings pytest\n'
        "  flowpipe test                   # runs tests/, with pytest\n"
    )
