"""Dask, on worker processes of our own and on a real cluster, and what happens when parts of it die."""

from __future__ import annotations

import ctypes
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flowpipe.errors import ConfigError
from flowpipe.executors import Call, ClusterLost, Executor, Gathered, Remote, Resources, Result, Site, WorkerLost
from flowpipe.executors.dask import Dask
from flowpipe.importer import Importer
from flowpipe.testing import ExecutorSuite
from tests.clusters import DaskCluster, dask_cluster, note_pid, written
from tests.conftest import ProjectFolder

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
        client, key = both.executor._cluster.client, stayed.ref.future.key
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
        assert re.fullmatch(r"the Dask worker tcp://\S+ died (while|before) it ran the node", str(result.error))
        result = both.result(lambda: 1)  # also where there is no worker just now
        assert result.value == 1 or isinstance(result.error, WorkerLost)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[DaskCluster]:
    """A cluster that a test may break."""
    folder = tmp_path / "other"
    folder.mkdir()
    with dask_cluster(folder, [()]) as made:
        yield made


class TestTheCluster:
    def test_a_scheduler_that_is_killed_is_told_at_once(self, tmp_path: Path, other: DaskCluster) -> None:
        with runs(tmp_path, address=other.address) as made:
            kept = made.value(lambda: 1, stays=True)
            _, results = made.start(lambda: time.sleep(60))
            other.scheduler.kill()
            error = results.get(timeout=5).error
            assert isinstance(error, ClusterLost)
            assert str(error) == (
                f"the Dask scheduler at {other.address} is gone\n"
                "  hint: start it again, and run the same command again to go on"
            )
            assert isinstance(made.result(lambda: 1).error, ClusterLost)
            with pytest.raises(ClusterLost):
                made.executor.fetch(kept)
            began = time.monotonic()
        assert time.monotonic() - began < 5

    def test_one_without_workers_is_not_waited_for_for_ever(self, tmp_path: Path, other: DaskCluster) -> None:
        with runs(tmp_path, "first", address=other.address):
            pass  # now there is one
        with runs(tmp_path, address=other.address, wait_for_workers="1s") as made:
            other.processes[1].kill()
            eventually(lambda: made.executor.capacity.cpus == 0)
            error = made.result(lambda: 1).error
            assert isinstance(error, ClusterLost)
            assert str(error) == (
                f"the Dask cluster at {other.address} has had no worker for 1 s\n"
                f"  hint: start one: dask worker {other.address}"
            )
        with pytest.raises(ConfigError, match=f"the Dask cluster at {other.address} has had no worker for 1 s"):
            Dask(Dask.Options(address=other.address, wait_for_workers="1s"), site(tmp_path, "again"))

    def test_workers_come_and_have_what_the_run_needs(self, tmp_path: Path, other: DaskCluster) -> None:
        with runs(tmp_path, address=other.address) as made:
            five = made.site.code.load("mine").five
            other.start_worker()
            eventually(lambda: made.executor.capacity.cpus == 2, 30)
            started = [made.start(lambda: (time.sleep(0.5), five(), os.getpid())[1:]) for _ in range(2)]
            values = [results.get(timeout=30).value for _, results in started]
        assert {value for value, _ in values} == {5}
        assert len({pid for _, pid in values}) == 2

    def test_two_projects_do_not_mix_and_leave_nothing(self, tmp_path: Path, cluster: DaskCluster) -> None:
        from distributed import Client

        def modules() -> list[str]:
            return [name for name in sys.modules if name.startswith("_flowpipe_")]

        one, two = (site(tmp_path, name, f"def which():\n    return '{name}'\n") for name in ("one", "two"))
        with closing(Dask(Dask.Options(address=cluster.address), one)) as first:
            with closing(Dask(Dask.Options(address=cluster.address), two)) as second:
                assert Runs(first, one).value(one.code.load("mine").which) == "one"
                assert Runs(second, two).value(two.code.load("mine").which) == "two"
            assert Runs(first, one).value(one.code.load("mine").which) == "one"
            kept = Runs(first, one).value(lambda: [0] * 1000, stays=True)
        with Client(cluster.address, set_as_default=False) as client:
            for names in client.run(modules).values():
                assert not {one.code.package, two.code.package} & {name.partition(".")[0] for name in names}
            eventually(lambda: not any("-one-" in key for keys in client.has_what().values() for key in keys))
        del kept

    @pytest.mark.parametrize(("resources", "told"), [(Resources(cpus=8), "cpus=8"), (Resources(gpus=1), "GPU=1")])
    def test_what_no_worker_declares_is_told(self, on_cluster: Runs, resources: Resources, told: str) -> None:
        _, results = on_cluster.start(lambda: 1, takes=resources)
        assert str(results.get(timeout=5).error) == (
            f"node node takes {told}, and no Dask worker declares so much\n"
            f'  hint: start workers with: dask worker {on_cluster.executor._cluster.address} --resources "{told}"'
        )

    def test_what_one_declares_is_taken_there(self, on_cluster: Runs) -> None:
        _, results = on_cluster.start(lambda: 1, takes=Resources(cpus=4, memory=7e9))
        assert results.get(timeout=30).value == 1

    def test_on_own_workers_what_asks_for_more_than_there_is_runs(self, local: Runs) -> None:
        _, results = local.start(lambda: 1, takes=Resources(cpus=64, memory=1e15))
        assert results.get(timeout=30).value == 1
        _, results = local.start(lambda: 1, takes=Resources(gpus=1))
        assert str(results.get(timeout=5).error) == (
            "node node takes GPU=1, and no Dask worker declares so much\n"
            "  hint: tell it in the profile: executor: {options: {resources: {GPU: 1}}}"
        )

    def test_the_disk_is_shared_on_one_machine(self, both: Runs) -> None:
        assert both.executor.shares_disk

    def test_other_versions_on_a_worker_are_told(self, tmp_path: Path, other: DaskCluster) -> None:
        found = tmp_path / "older" / "polars-1.9.dist-info"
        found.mkdir(parents=True)
        (found / "METADATA").write_text("Metadata-Version: 2.1\nName: polars\nVersion: 1.9\n")
        with runs(tmp_path, address=other.address) as made:
            other.start_worker(env={"PYTHONPATH": f"{found.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"})
            eventually(lambda: made.executor.capacity.cpus == 2, 30)
        with pytest.raises(ConfigError) as caught:
            Dask(Dask.Options(address=other.address), site(tmp_path, "again"))
        (problem,) = caught.value.problems
        assert problem.message.startswith("the Dask worker tcp://127.0.0.1:")
        assert problem.message.endswith(" has polars 1.9")
        assert problem.hint == f"give it what this process has: polars {pl.__version__}"


class TestOptions:
    def unreachable(self, tmp_path: Path, address: str) -> str:
        with pytest.raises(ConfigError) as caught:
            Dask(Dask.Options(address=address), site(tmp_path))
        return str(caught.value)

    def test_nobody_listens(self, tmp_path: Path) -> None:
        assert self.unreachable(tmp_path, "tcp://127.0.0.1:1") == (
            "dask scheduler tcp://127.0.0.1:1 cannot be reached: Connection refused\n"
            "  hint: look whether the scheduler runs, and whether this machine may connect to its port"
        )

    def test_no_such_host(self, tmp_path: Path) -> None:
        told = self.unreachable(tmp_path, "tcp://nowhere.invalid:8786")
        assert told.startswith("dask scheduler tcp://nowhere.invalid:8786 cannot be reached: ")

    def test_something_else_listens(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=lambda: server.accept()[0].sendall(b"SSH-2.0-OpenSSH_9\r\n")).start()
            address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            assert "cannot be reached: what answers there is no Dask scheduler" in self.unreachable(tmp_path, address)

    @pytest.mark.parametrize("options", [{"no_such": 1}, {"memory_limit": "much"}])
    def test_options_that_dask_does_not_take(self, tmp_path: Path, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="Dask does not take the executor's options: ") as caught:
            Dask(Dask.Options(workers=1, options=options), site(tmp_path))
        assert caught.value.problems[0].hint == (
            "options are arguments of distributed.Client if there is an address, else of distributed.LocalCluster"
        )

    @pytest.mark.parametrize(
        ("executor", "told"),
        [
            (
                "{type: dask, address: here}",
                "5:33: the address is no place of a scheduler\n  hint: write it like tcp://host:8786\n",
            ),
            (
                "{type: dask, address: 'tcp://here:8786', workers: 2}",
                """5:11: workers is for a cluster of our own, and there is an address
  hint: leave one out: the workers of a running cluster are its own
""",
            ),
        ],
    )
    def test_check_looks_at_them(self, project: ProjectFolder, executor: str, told: str) -> None:
        profile = project.path / "conf/profiles/dev.yml"
        profile.write_text(f"{profile.read_text()}executor: {executor}\n")
        done = project.flowpipe("check")
        assert (done.code, done.err) == (2, f"error: conf/profiles/dev.yml:{told}")

    def test_a_missing_extra_is_told_by_check(self, project: ProjectFolder, tmp_path: Path) -> None:
        blocker = (
            "import sys\n"
            "class Blocker:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'distributed':\n"
            "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
            "sys.meta_path.insert(0, Blocker())\n"
        )
        (tmp_path / "sitecustomize.py").write_text(blocker)
        profile = project.path / "conf/profiles/dev.yml"
        profile.write_text(f"{profile.read_text()}executor: {{type: dask}}\n")
        path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
        for command in (["check"], ["run", "double"]):
            done = project.flowpipe(*command, PYTHONPATH=path)
            assert done.code == 2
            assert done.err == (
                'error: conf/profiles/dev.yml:5:18: executor "dask" needs distributed, which is not installed\n'
                '  hint: pip install "flowpipe-etl[dask]"\n'
            )


SLOW = """
import time, os
from pathlib import Path
import polars as pl

def doubled(numbers: pl.DataFrame, factor: int) -> pl.DataFrame:
    Path("pid").write_text(f"{os.getpid()}\\n")
    time.sleep(60)
    return numbers
"""


class TestTheCommand:
    @pytest.fixture
    def dask_project(self, project: ProjectFolder) -> ProjectFolder:
        profile = project.path / "conf/profiles/dev.yml"
        profile.write_text(f"{profile.read_text()}executor: {{type: dask, workers: 1}}\n")
        return project

    @pytest.fixture
    def running(self, dask_project: ProjectFolder) -> Iterator[tuple[subprocess.Popen[str], int]]:
        """The console script in a process group of its own, and the worker's process in the midst of a node."""
        (dask_project.path / "pipelines/double.py").write_text(SLOW)
        command = [str(Path(sys.executable).with_name("flowpipe")), "run", "double"]
        process = subprocess.Popen(
            command, cwd=dask_project.path, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            (pid,) = written(dask_project.path / "pid")
            yield process, pid
        finally:
            process.kill()

    def test_it_runs(self, dask_project: ProjectFolder) -> None:
        done = dask_project.flowpipe("run", "double")
        assert (done.code, done.err) == (0, "")
        assert pl.read_parquet(dask_project.path / "data/doubled.parquet")["n"].to_list() == [2, 4, 6]
        assert not list(dask_project.path.rglob("dask*"))

    def test_ctrl_c_ends_everything_without_a_word_of_the_workers(
        self, running: tuple[subprocess.Popen[str], int]
    ) -> None:
        process, pid = running
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert err == ("error: interrupted; nothing is half published\n  hint: run the same command again to go on\n")
        assert not is_alive(pid)

    def test_workers_end_with_a_driver_that_is_killed(self, running: tuple[subprocess.Popen[str], int]) -> None:
        process, pid = running
        process.kill()
        eventually(lambda: not is_alive(pid))
