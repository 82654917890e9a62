"""Processes die while the command runs on others and on real clusters: told, survived, never half published."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from tests.clusters import dask_cluster, eventually, kill, ray_cluster
from tests.conftest import Finished, ProjectFolder

ISOLATED = ("processes", "dask", "ray")
MEMORY = Path("/dev/shm")
INTERRUPTED = "error: interrupted; nothing is half published\n  hint: run the same command again to go on\n"
RIGHT = [2, 4, 6]

# `plan` says what happens the first time, or every time: the process kills itself, or sleeps.
NODE = """
    import os
    import signal
    import time
    from pathlib import Path

    import polars as pl

    HERE = Path({here!r})


    def _trouble() -> None:
        with (HERE / "pids").open("a") as pids:
            pids.write(f"{{os.getpid()}}\\n")
        plan, is_first = (HERE / "plan").read_text(), (HERE / "pids").read_text().count("\\n") == 1
        if plan == "die" or (plan == "die once" and is_first):
            os.kill(os.getpid(), signal.SIGKILL)
        while plan == "sleep":
            (HERE / "beat").touch()
            time.sleep(0.1)
            plan = (HERE / "plan").read_text()


    def doubled(numbers: pl.{frame}, factor: int) -> pl.{frame}:
        _trouble()
        return numbers.select(pl.col("n") * factor)
    """


@pytest.fixture(params=["node by node", "whole steps"])
def frame(request: pytest.FixtureRequest) -> str:
    """A pipeline of plans goes to a worker as a whole step."""
    return "DataFrame" if request.param == "node by node" else "LazyFrame"


def troubled(project: ProjectFolder, frame: str, plan: str, executor: str) -> ProjectFolder:
    profile = (project.path / "conf/profiles/dev.yml").read_text().partition("executor:")[0]
    return project.write(
        {
            "plan": plan,
            "pipelines/double.py": NODE.format(here=str(project.path), frame=frame),
            "conf/profiles/dev.yml": f"{profile}executor: {executor}\n",
        }
    )


def published(project: ProjectFolder) -> list[int]:
    return pl.read_parquet(project.path / "data/doubled.parquet")["n"].to_list()


def pids(project: ProjectFolder) -> list[int]:
    file = project.path / "pids"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def beats(project: ProjectFolder) -> bool:
    """Whether the node still runs anywhere, in a process of ours or of a cluster's."""
    return time.time() - (project.path / "beat").stat().st_mtime < 1


@contextmanager
def running(project: ProjectFolder) -> Iterator[subprocess.Popen[str]]:
    """A run in the middle of its node."""
    command = [sys.executable, "-m", "flowpipe", "run"]
    environment = os.environ | {"COLUMNS": "200"}
    process = subprocess.Popen(
        command, cwd=project.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert eventually(lambda: pids(project), 90), process.poll()
        time.sleep(0.3)
        yield process
    finally:
        process.kill()
        process.wait()


def ended(process: subprocess.Popen[str], seconds: float) -> Finished:
    out, err = process.communicate(timeout=seconds)
    return Finished(process.returncode, out, err)


def memory() -> set[str]:
    return {path.name for path in MEMORY.iterdir()}


@pytest.mark.parametrize("executor", ISOLATED)
class TestAWorker:
    def test_that_is_killed_once_costs_an_attempt(
        self, project: ProjectFolder, executor_yaml: Callable[[str], str], executor: str, frame: str
    ) -> None:
        troubled(project, frame, "die once", executor_yaml(executor))
        done = project.flowpipe("run")
        assert (done.code, done.err, published(project)) == (0, "", RIGHT)
        assert len(pids(project)) == 2
        if frame == "DataFrame":
            # Ray runs it again itself, to be able to make lost values again, and so does a scheduler of others'.
            told = {"processes": "2 attempts", "ray": "Ray ran it again", "dask": "doubled"}
            assert told[executor] in project.flowpipe("show", "last").out
        assert "up to date" in project.flowpipe("run").out
        assert len(pids(project)) == 2

    def test_that_is_killed_every_time_is_a_failure(
        self, project: ProjectFolder, executor_yaml: Callable[[str], str], executor: str, frame: str
    ) -> None:
        troubled(project, frame, "die", executor_yaml(executor))
        done = project.flowpipe("run")
        what = r"pipelines/double.py:\d+: node doubled" if frame == "DataFrame" else "step double"
        assert re.match(rf"error: {what} failed after 3 attempts: .*(died|killed)", done.err), done.err
        assert "\n  hint: " in done.err
        assert len(done.err.splitlines()) <= 4
        assert (done.code, (project.path / "data/doubled.parquet").exists()) == (1, False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["int", "term", "kill"])
@pytest.mark.parametrize("executor", ISOLATED)
def test_a_signal_to_the_driver(
    project: ProjectFolder, executor_yaml: Callable[[str], str], executor: str, number: signal.Signals, frame: str
) -> None:
    before = memory()
    troubled(project, frame, "sleep", executor_yaml(executor))
    with running(project) as driver:
        driver.send_signal(number)
        done = ended(driver, 30)
    if number is signal.SIGKILL:
        assert done.code == -9
    else:
        assert (done.code, done.err) == (128 + number, INTERRUPTED)
        assert "cancelled" in project.flowpipe("show", "last").out
    # A Dask cluster of others' hears that its client is gone, but nobody ends the node that runs there.
    if (executor, number) != ("dask", signal.SIGKILL):
        assert eventually(lambda: not beats(project), 20)
    (project.path / "plan").write_text("nothing")
    done = project.flowpipe("run")
    assert (done.code, done.err, published(project)) == (0, "", RIGHT)
    runs = project.flowpipe("runs").out.split()  # other tests have files there, too
    assert [name for name in memory() - before if any(run in name for run in runs if run.startswith("20"))] == []


class TestACluster:
    def test_dask_loses_its_scheduler(self, project: ProjectFolder, tmp_path: Path, frame: str) -> None:
        folder = tmp_path / "cluster"
        folder.mkdir()
        with dask_cluster(folder) as cluster:
            troubled(project, frame, "sleep", f'{{type: dask, address: "{cluster.address}"}}')
            with running(project) as driver:
                cluster.scheduler.kill()
                done = ended(driver, 30)
        assert done.err == (
            f"error: the Dask scheduler at {cluster.address} is gone\n"
            "  hint: start it again, and run the same command again to go on\n"
        )
        assert done.code == 1
        self.goes_on(project, frame)

    def test_ray_loses_its_head(self, project: ProjectFolder, frame: str) -> None:
        with ray_cluster() as cluster:
            troubled(project, frame, "sleep", f'{{type: ray, address: "{cluster.address}"}}')
            with running(project) as driver:
                kill(cluster.head)
                done = ended(driver, 45)
        assert re.fullmatch(
            r"error: the Ray cluster at [\d.]+:\d+ is gone\n"
            r"  hint: look whether its head runs; then run the same command again\n",
            done.err,
        ), done.err
        assert done.code == 1
        self.goes_on(project, frame)

    @staticmethod
    def goes_on(project: ProjectFolder, frame: str) -> None:
        troubled(project, frame, "nothing", "{type: threads}")
        done = project.flowpipe("run")
        assert (done.code, done.err, published(project)) == (0, "", RIGHT)
