"""A project on disk and the command that runs it, for every test that goes through the command."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowpipe.testing import servers


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class ProjectFolder:
    """A project that a test writes file by file and runs with the real command."""

    path: Path

    def write(self, files: dict[str, str]) -> ProjectFolder:
        """Write files by their path below the project."""
        for name, text in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return self

    def flowpipe(self, *arguments: str, **env: str) -> Finished:
        """Run `flowpipe ARGUMENTS` in the project's folder."""
        done = subprocess.run(
            [sys.executable, "-m", "flowpipe", *arguments],
            cwd=self.path,
            env=os.environ | {"COLUMNS": "200"} | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.PostgresServer]:
    """A real PostgreSQL for the whole session."""
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[servers.S3Server]:
    """A real S3 server for the whole session."""
    with servers.s3() as server:
        yield server


MINIMAL = {
    "conf/project.yml": "name: small\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
          base: {adapter: duckdb, database: data/base.duckdb}
        """,
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        doubled: {store: here, path: doubled.parquet}
        """,
    "conf/pipelines/double.yml": """
        modules: [double]
        params: {factor: 2}
        writes: [doubled]
        """,
    "pipelines/double.py": """
        import polars as pl


        def doubled(numbers: pl.LazyFrame, factor: int) -> pl.LazyFrame:
            return numbers.select(pl.col("n") * factor)
        """,
    "data/numbers.csv": "n\n1\n2\n3\n",
}


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    """A small project that runs: one CSV in, one Parquet file out."""
    return ProjectFolder(tmp_path / "project").write(MINIMAL)


@pytest.fixture
def empty_project(tmp_path: Path) -> Callable[[dict[str, str]], ProjectFolder]:
    """A project of exactly the files that a test gives."""
    return lambda files: ProjectFolder(tmp_path / "project").write(files)
