"""A project on disk and the command that runs it, for every test that goes through the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from flowpipe.testing import servers
from tests.clusters import dask_cluster, ray_cluster

# How long an example takes is the machine's affair.
settings.register_profile("flowpipe", deadline=None)
settings.load_profile("flowpipe")

os.environ.pop("PYTEST_ADDOPTS", None)  # read by now, and not for the pytests that tests start

collect_ignore = ["typing"]  # it is for type checkers, which run nothing


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


EXECUTORS = ("sync", "threads", "processes", "dask", "ray")


@pytest.fixture(scope="session")
def dask_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler and two workers for the whole session; no test harms them."""
    with dask_cluster(tmp_path_factory.mktemp("dask-cluster")) as cluster:
        yield cluster.address


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """A head and a second node for the whole session; no test harms them."""
    with ray_cluster() as cluster:
        yield cluster.address


@pytest.fixture
def executor_yaml(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """An executor of this name, two calls at once, as a profile has it; Dask and Ray are clusters that run."""

    def yaml(name: str) -> str:
        if name in {"dask", "ray"}:
            return f'{{type: {name}, address: "{request.getfixturevalue(f"{name}_address")}"}}'
        return f"{{type: {name}}}" if name == "sync" else f"{{type: {name}, workers: 2}}"

    return yaml


def killed_before_rename(number: int, script: str) -> None:
    """Run Python that is killed, as by a power cut, right before it renames a file for the so many-th time."""
    hook = (
        "import os, signal, sys\n"
        "renames = []\n"
        "def hook(event, _):\n"
        "    if event == 'os.rename':\n"
        "        renames.append(event)\n"
        f"        if len(renames) == {number}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
    )
    # -B: files of bytecode are renamed, too, where they are not there yet.
    done = subprocess.run([sys.executable, "-B", "-c", hook + script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


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
