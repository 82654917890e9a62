"""Dask, on worker processes of our own and on a real cluster, and what happens when parts of it die."""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clusters import DaskCluster, dask_cluster
from executor_suite import ExecutorSuite

from flowpipe.executors import Call, Executor, Gathered, Remote, Resources, Result, Site, WorkerLost
from flowpipe.executors.dask import Dask
from flowpipe.importer import Importer

ONE = Resources()


def site(folder: Path, run: str = "run", code: str = "") -> Site:
    pipelines = folder / f"pipelines-{run}"
    pipelines.mkdir()
    (pipelines / "mine.py").write_text(code or "def five():\n    return 5\n")
    return Site(run, folder / f"scratch-{run}", Importer.of(pipelines))


@dataclass
class Runs:
    """An executor, and its calls one by one."""

    executor: Dask
    site: Site

    def start(
        self, function: Callable[..., Any], *, stays: bool = False, takes: Resources = ONE, **arguments: Any
    ) -> tuple[Any, queue.SimpleQueue[Result]]:
        results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        return self.executor.submit(Call("node", function, arguments, stays, takes), results.put), results

    def result(self, function: Callable[..., Any], **arguments: Any) -> Result:
        return self.start(function, **arguments)[1].get(timeout=30)

    def value(self, function: Callable[..., Any], **arguments: Any) -> Any:
        result = self.result(function, **arguments)
        assert result.error is None, result
        return result.value


@contextmanager
def runs(folder: Path, run: str = "run", **options: Any) -> Iterator[Runs]:
    here = site(folder, run)
    with closing(Dask(Dask.Options(**options), here)) as executor:
        yield Runs(executor, here)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Two workers, one of which declares what it has."""
    with dask_cluster(tmp_path_factory.mktemp("dask"), [(), ("--resources=cpus=4 memory=8e9",)]) as made:
        yield made


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with runs(tmp_path_factory.mktemp("local"), workers=2) as made:
        yield made


@pytest.fixture(scope="module")
def on_cluster(tmp_path_factory: pytest.TempPathFactory, cluster: DaskCluster) -> Iterator[Runs]:
    with runs(tmp_path_factory.mktemp("remote"), address=cluster.address) as made:
        eventually(lambda: made.executor.capacity.cpus == 2)
        yield made


@pytest.fixture(params=["local", "on_cluster"])
def both(request: pytest.FixtureRequest) -> Runs:
    return whole(request.getfixturevalue(request.param))


def whole(runs: Runs) -> Runs:
    """Once the workers that an earlier test lost are there again."""
    eventually(lambda: runs.executor.capacity.cpus == 2, 30)
    return runs


def frame(rows: int = 100_000) -> pl.DataFrame:
    return pl.DataFrame({"n": range(rows)})


class TestOnOwnWorkers(ExecutorSuite):
    many = 250

    @pytest.fixture
    def executor(self, local: Runs) -> Executor:
        return whole(local).executor


class TestOnACluster(ExecutorSuite):
    many = 250

    @pytest.fixture
    def executor(self, on_cluster: Runs) -> Executor:
        return whole(on_cluster).executor


class TestValues:
    def test_what_stays_is_not_brought(self, both: Runs) -> None:
        stayed = both.value(lambda: pl.DataFrame({"n": [1, 2, 3]}), stays=True)
        assert isinstance(stayed, Remote)
        assert stayed.rows == 3
        assert both.value(lambda frame, more: frame["n"].sum() + more, frame=stayed, more=4) == 10
        assert both.executor.fetch(stayed)["n"].to_list() == [1, 2, 3]

    def test_gathered_values_are_a_list(self, both: Runs) -> None:
        one = both.value(lambda: 1, stays=True)
        assert both.value(lambda values: values, values=Gathered((one, 2, one))) == [1, 2, 1]

    def test_a_large_value_is_brought_to_the_cluster_once(self, both: Runs) -> None:
        large = frame(1_000_000)
        sums = [both.value(lambda large: large["n"].sum(), large=large) for _ in range(3)]
        assert sums == [large["n"].sum()] * 3
        assert len(both.executor._given) == 1
        del large
        eventually(lambda: not both.executor._given)

    def test_the_projects_modules_are_there(self, both: Runs) -> None:
        assert both.value(both.site.code.load("mine").five) == 5

    def test_how_it_ran_is_told(self, both: Runs) -> None:
        result = both.result(lambda: time.sleep(0.2), stays=True)
        assert 0.2 <= result.seconds < 0.5
        assert result.worker is not None
        assert result.worker.startswith("pid ")

    def test_an_error_is_the_nodes_own(self, both: Runs) -> None:
        result = both.result(lambda: 1 / 0)
        assert repr(result.error) == "ZeroDivisionError('division by zero')"

    def test_values_are_freed_with_their_last_reference(self, both: Runs) -> None:
        stayed = both.value(lambda: list(range(9)), stays=True)
        client, key = both.executor._cluster.client, stayed.ref.key
        assert key in client.who_has()
        del stayed
        eventually(lambda: key not in client.who_has())


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def written(file: Path) -> list[int]:
    eventually(lambda: file.exists() and file.read_text().endswith("\n"), 30)
    return [int(line) for line in file.read_text().split()]


def note_pid(file: Path) -> Callable[[], None]:
    def note() -> None:
        with file.open("a") as lines:
            lines.write(f"{os.getpid()}\n")

    return note


class TestFaults:
    def test_a_cancelled_call_is_ended(self, both: Runs, tmp_path: Path) -> None:
        note = note_pid(tmp_path / "pid")

        def sleep() -> None:
            note()
            time.sleep(60)

        ticket, _ = both.start(sleep)
        (pid,) = written(tmp_path / "pid")
        both.executor.cancel(ticket)
        eventually(lambda: not is_alive(pid))
        assert both.value(lambda: 1) == 1
        eventually(lambda: both.executor.capacity.cpus == 2, 20)

    def test_also_one_that_holds_the_interpreters_lock(self, both: Runs, tmp_path: Path) -> None:
        note = note_pid(tmp_path / "pid")

        def spin() -> None:
            note()
            ctypes.PyDLL(None).usleep(60_000_000)

        ticket, _ = both.start(spin)
        (pid,) = written(tmp_path / "pid")
        both.executor.cancel(ticket)
        eventually(lambda: not is_alive(pid))
        eventually(lambda: both.executor.capacity.cpus == 2, 20)

    def test_a_worker_that_is_killed_is_lost_or_its_call_runs_again(self, both: Runs, tmp_path: Path) -> None:
        kept = both.value(lambda: [1, 2, 3], stays=True)
        note = note_pid(tmp_path / "pid")

        def once(kept: list[int]) -> int:
            note()
            if (tmp_path / "pid").read_text().count("\n") == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return sum(kept)

        result = both.result(once, kept=kept)
        if isinstance(result.error, WorkerLost):
            result = both.result(once, kept=kept)
        assert result.value == 6

    def test_what_kills_every_worker_comes_to_an_end(self, both: Runs) -> None:
        result = both.result(lambda: os.kill(os.getpid(), signal.SIGKILL))
        assert isinstance(result.error, WorkerLost)
        assert "died while it ran the node" in str(result.error)
