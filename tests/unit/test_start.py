"""What each command may import: libraries that it does not need are most of the time that it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Hamilton imports Pandera where that is installed, and Pandera pandas and PyArrow.
GRAPH = frozenset({"fsspec", "hamilton", "numpy", "pandas", "pandera", "polars", "pyarrow", "tenacity"})
HEAVY = GRAPH | {"deltalake", "duckdb", "hypothesis", "markdown_it", "rich"}
PROJECT = {
    "conf/project.yml": "name: small\n",
    "conf/profiles/dev.yml": "stores: {here: {adapter: files, url: data}}\n",
    "conf/catalog.yml": "numbers: {store: here, path: numbers.csv}\ndoubled: {store: here, path: doubled.parquet}\n",
    "conf/pipelines/double.yml": "modules: [double]\nwrites: [doubled]\n",
    "pipelines/double.py": (
        "import polars as pl\n\n\n"
        "def doubled(numbers: pl.LazyFrame) -> pl.LazyFrame:\n    return numbers.select(pl.col('n') * 2)\n"
    ),
    "data/numbers.csv": "n\n1\n2\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def imported(project: Path, *arguments: str) -> frozenset[str]:
    """The heavy libraries that a command imports, and that it succeeds."""
    command = [sys.executable, "-X", "importtime", "-m", "flowpipe", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    timed = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    return frozenset(timed) & HEAVY


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("--help", frozenset()),
        ("--version", frozenset()),
        ("list", frozenset()),
        ("runs", frozenset()),
        ("explain 3", frozenset()),
        ("completion bash", frozenset()),
        ("check", GRAPH),
        ("plan", GRAPH),
        ("run", GRAPH),
    ],
)
def test_a_command_imports_only_what_it_needs(project: Path, command: str, allowed: frozenset[str]) -> None:
    assert imported(project, *command.split()) - allowed == frozenset()


def test_the_table_would_notice(project: Path) -> None:
    assert {"hamilton", "polars"} <= imported(project, "check")
