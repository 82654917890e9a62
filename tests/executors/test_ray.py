"""Ray: the suite on an instance of our own, and faults on a real cluster of two nodes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flowpipe.errors import ConfigError
from flowpipe.executors import ONE_CPU, Call, Executor, NodeEnd, Remote, Resources, Result, Site
from flowpipe.executors.ray import Ray, failures
from flowpipe.executors.ray.attempt import entry
from flowpipe.executors.ray.options import RayOptions
from flowpipe.importer import Importer
from flowpipe.testing import ExecutorSuite
from flowpipe.testing.tasks import Log, task
from tests.clusters import RayCluster, eventually, kill, note_pid, ray_cluster, users, written
from tests.conftest import ProjectFolder


def site(folder: Path) -> Site:
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "own.py").write_text("def answer():\n    return 42\n")
    return Site("run", folder / "scratch", Importer.of(folder / "code"))


def one(
    executor: Ray,
    function: Callable[..., Any],
    *,
    stays: bool = False,
    takes: Resources = ONE_CPU,
    **arguments: Any,
) -> Result:
    """The result of one call."""
    _, results = begun(executor, function, stays=stays, takes=takes, **arguments)
    return results()


def begun(
    executor: Ray,
    function: Callable[..., Any],
    *,
    stays: bool = False,
    takes: Resources = ONE_CPU,
    **arguments: Any,
) -> tuple[Any, Callable[[], Result]]:
    results: list[Result] = []
    landed = threading.Event()

    def done(result: Result) -> None:
        results.append(result)
        landed.set()

    ticket = executor.submit(Call("node", function, arguments, stays, takes), done)

    def wait() -> Result:
        assert landed.wait(150)
        return results[0]

    return ticket, wait


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ray]:
    """An instance of our own for many tests."""
    executor = Ray(RayOptions(workers=2), site(tmp_path_factory.mktemp("ray")))
    yield executor
    executor.close()


class TestLocal(ExecutorSuite):
    many = 300
    patience = 10.0  # until the worker that was killed is replaced

    @pytest.fixture
    def executor(self, local: Ray) -> Iterator[Executor]:
        return local

    def test_modules_of_the_project_are_on_the_workers(self, local: Ray, tmp_path: Path) -> None:
        code = site(tmp_path).code
        assert code.package != ""
        name = f"{code.package}.own"
        assert one(local, lambda: __import__(name, fromlist=["answer"]).answer()).error is not None  # another project's

    def test_polars_has_the_threads_of_the_node(self, local: Ray) -> None:
        assert one(local, pl.thread_pool_size).value == 1

    def test_what_a_node_prints_is_seen(self, local: Ray, capfd: pytest.CaptureFixture[str]) -> None:
        assert one(local, lambda: print("hello from a node", flush=True)).error is None
        seen = ""

        def look() -> bool:
            nonlocal seen
            seen += capfd.readouterr().out
            return "hello from a node\n" in seen

        assert eventually(look, 10)

    def test_frames_are_read_where_they_lie(self, local: Ray) -> None:
        made = one(local, lambda: np.zeros(50_000_000, np.uint8), stays=True).value
        assert isinstance(made, Remote)

        def memory(array: Any) -> tuple[int, bool]:
            status = Path("/proc/self/status").read_text()
            return int(status.partition("RssAnon:")[2].split()[0]) * 1024, bool(array.flags.writeable)

        before = one(local, lambda: memory(np.zeros(1))).value[0]
        assert one(local, lambda array: memory(array)[0], array=made).value - before < 100_000_000

    def test_a_node_that_asks_for_more_than_there_is(self, local: Ray) -> None:
        error = one(local, lambda: 1, takes=Resources(cpus=64)).error
        assert "node node asks for 64 CPUs, 0.0 GB and 0 GPUs, and no node of the Ray cluster has that: 2 CPUs" in str(
            error
        )
        assert "hint: lower its resources, or start a larger Ray node" in str(error)

    @pytest.mark.parametrize(
        "stuck", [lambda: time.sleep(60), lambda: sum(range(10**12))], ids=["asleep", "in C with the GIL"]
    )
    def test_cancel_kills(self, local: Ray, tmp_path: Path, stuck: Callable[[], Any]) -> None:
        note = note_pid(tmp_path / "pid")

        def node() -> None:
            note()
            stuck()

        ticket, _ = begun(local, node)
        (pid,) = written(tmp_path / "pid")
        local.cancel(ticket)
        assert eventually(lambda: not Path(f"/proc/{pid}").exists(), 10)

    def test_a_worker_that_is_killed_once(self, log: Log, tmp_path: Path) -> None:
        def node() -> str:
            if not (tmp_path / "tried").exists():
                (tmp_path / "tried").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return "right"

        assert log.run([task("node", node)], "node") == {"node": "right"}
        [end] = [event for event in log.events if isinstance(event, NodeEnd)]
        assert end.warning == "its worker process died, and Ray ran it again"

    def test_a_node_that_kills_every_worker(self, log: Log) -> None:
        failures = log.failures([task("node", lambda: os.kill(os.getpid(), signal.SIGKILL))], "node")
        assert failures == [("node", "WorkerLost('its worker process died')", 3)]


def script(text: str, *arguments: str, folder: Path, **env: str) -> subprocess.Popen[str]:
    """A Python process that is a driver."""
    (folder / "driver.py").write_text(f"{SCRIPT}\n{text}")
    # An instance that lives in this process has put there how it is spoken to.
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, str(folder / "driver.py"), *arguments],
        env=own | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


SCRIPT = f"""
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import polars as pl
from test_ray import RayOptions, Ray, begun, one, site
from flowpipe.errors import ConfigError
"""


class TestOwnInstance:
    def test_nothing_stays_behind(self, tmp_path: Path) -> None:
        text = """
before = signal.getsignal(signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *_: None)
ours = signal.getsignal(signal.SIGTERM)
for turn in range(2):
    executor = Ray(RayOptions(workers=1), site(Path.cwd()))
    assert signal.getsignal(signal.SIGTERM) is ours
    frame = one(executor, lambda: pl.DataFrame({"a": range(1_000_000)})).value
    begun(executor, lambda: time.sleep(60))
    folder = executor._cluster._folder.path
    executor.close()
    print(folder, frame["a"].sum())
"""
        with script(text, folder=tmp_path) as driver:
            out, err = driver.communicate(timeout=120)
        assert (driver.returncode, err) == (0, "")
        folders = [line.split() for line in out.splitlines()]
        assert [total for _, total in folders] == ["499999500000"] * 2
        for folder, _ in folders:
            assert users(folder) == []
            assert not Path(folder).exists()

    def test_what_a_killed_driver_left_is_cleared_away(self, tmp_path: Path) -> None:
        text = """
executor = Ray(RayOptions(workers=1), site(Path.cwd()))
print(executor._cluster._folder.path, flush=True)
time.sleep(60)
"""
        with script(text, folder=tmp_path) as driver:
            assert driver.stdout
            folder = driver.stdout.readline().strip()
            driver.kill()
        assert Path(folder).exists()
        from flowpipe.executors.ray.instance import Folder

        Folder().remove()
        assert eventually(lambda: users(folder) == [], 5)
        assert not Path(folder).exists()

    def test_a_node_for_which_the_memory_does_not_suffice(self, tmp_path: Path) -> None:
        text = """
executor = Ray(RayOptions(workers=1), site(Path.cwd()))
print(repr(one(executor, lambda: time.sleep(60)).error))
executor.close()
"""
        # Of any machine more than 1 % is in use, which is too much here.
        with script(text, folder=tmp_path, RAY_memory_usage_threshold="0.01") as driver:
            out, err = driver.communicate(timeout=120)
        assert out == ("WorkerLost('Ray killed its worker process, because the memory of its machine ran out')\n")
        assert (driver.returncode, err) == (0, "")

    @pytest.mark.parametrize("process", ["gcs_server", "raylet"])
    def test_it_dies(self, tmp_path: Path, process: str) -> None:
        text = """
import ray
executor = Ray(RayOptions(workers=1), site(Path.cwd()))
folder = executor._cluster._folder.path
_, wait = begun(executor, lambda: time.sleep(60))
time.sleep(1)
[process] = ray._private.worker._global_node.all_processes[sys.argv[1]]
process.process.kill()
clock = time.monotonic()
print(wait().error)
print(one(executor, lambda: 1).error)
assert time.monotonic() - clock < 15
executor.close()
assert time.monotonic() - clock < 30
print(folder)
"""
        with script(text, process, folder=tmp_path) as driver:
            out, err = driver.communicate(timeout=120)
        assert (driver.returncode, err) == (0, "")
        *errors, folder = out.splitlines()
        assert len(errors) == 4
        assert errors[:2] == errors[2:]
        assert errors[0].startswith("the Ray cluster at ")
        assert errors[0].endswith(" is gone")
        assert errors[1] == "  hint: look whether its head runs; then run the same command again"
        assert users(folder) == []
        assert not Path(folder).exists()


@pytest.fixture
def cluster() -> Iterator[RayCluster]:
    """A real cluster of two nodes, which a test may kill."""
    with ray_cluster() as running:
        yield running


def test_the_environment_stays_as_it_was(tmp_path: Path) -> None:
    """What Ray puts there, such as how it is spoken to, would reach the next command that this process starts."""
    text = """
import ray  # which puts something there itself

def rays():
    return {name for name in os.environ if name.startswith("RAY_")}

before = rays()
executor = Ray(RayOptions(workers=1), site(Path.cwd()))
print(one(executor, lambda: 1).value, flush=True)
executor.close()
print(sorted(rays() - before))
"""
    out, err = script(text, folder=tmp_path).communicate(timeout=120)
    assert (out.splitlines(), err) == (["1", "[]"], "")


class TestRealCluster:
    def test_what_dies_is_told_and_what_is_others_stays(self, cluster: RayCluster, tmp_path: Path) -> None:
        """One cluster for all of it, for starting one takes long."""
        text = """
import ray
executor = Ray(RayOptions(address=sys.argv[1]), site(Path.cwd()))
print(executor.capacity.cpus, executor._cluster.is_local)
code = site(Path.cwd()).code.package
print(one(executor, lambda: __import__(code + ".own", fromlist=["answer"]).answer()).value)
executor.close()
print(ray.is_initialized())

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="CRITICAL")
executor = Ray(RayOptions(address="auto"), site(Path.cwd()))
print(one(executor, lambda: 1).value)
executor.close()
print(ray.is_initialized())
ray.shutdown()

executor = Ray(RayOptions(address=sys.argv[1]), site(Path.cwd()))
head, rest = begun(executor, lambda: time.sleep(3))
second = one(executor, lambda: pl.DataFrame({"a": range(1_000_000)}), stays=True).value
rest()
print("made", flush=True)
sys.stdin.readline()
result = one(executor, lambda frame: frame["a"].sum(), frame=second)
print(result.value, result.error)
_, wait = begun(executor, lambda: time.sleep(60))
time.sleep(1)
print("begun", flush=True)
clock = time.monotonic()
print(wait().error)
print(time.monotonic() - clock < 15, flush=True)
executor.close()
os._exit(0)  # as a notebook that Ray ends in its own time
"""
        with script(text, cluster.address, folder=tmp_path) as driver:
            assert driver.stdin
            assert driver.stdout
            lines = iter(driver.stdout.readline, "")
            assert [next(lines).strip() for _ in range(6)] == ["2.0 False", "42", "False", "1", "True", "made"]
            kill(cluster.second)
            print("go on", file=driver.stdin, flush=True)
            assert [next(lines).strip() for _ in range(2)] == ["499999500000 None", "begun"]
            kill(cluster.head)
            out, err = driver.communicate(timeout=60)
        gone, hint, in_time = out.splitlines()
        assert gone.startswith("the Ray cluster at ")
        assert gone.endswith(f":{cluster.address.rpartition(':')[2]} is gone")
        assert hint == "  hint: look whether its head runs; then run the same command again"
        assert in_time == "True"
        assert (driver.returncode, err) == (0, "")


class TestWhatCannotBe:
    @pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379"])
    def test_an_address_where_nothing_answers(self, tmp_path: Path, address: str) -> None:
        clock = time.monotonic()
        with pytest.raises(ConfigError) as caught:
            Ray(RayOptions(address=address), site(tmp_path))
        assert time.monotonic() - clock < 10
        assert str(caught.value) == (
            f"ray cluster {address} cannot be reached: nothing answers\n"
            "  hint: start one with `ray start --head`, or write `address: local`"
        )

    def test_a_cluster_of_this_machine_that_is_gone(self, tmp_path: Path) -> None:
        text = """
try:
    Ray(RayOptions(address="auto"), site(Path.cwd()))
except ConfigError as error:
    print(error)
"""
        with script(text, folder=tmp_path, RAY_ADDRESS="127.0.0.1:1") as driver:
            out, err = driver.communicate(timeout=60)
        assert re.match(r"ray cluster \S+:1 cannot be reached: nothing answers\n  hint: start one with", out)
        assert err == ""

    def test_the_client_without_its_library(self, tmp_path: Path) -> None:
        text = """
sys.modules["grpc"] = None
try:
    Ray(RayOptions(address="ray://127.0.0.1:10001"), site(Path.cwd()))
except ConfigError as error:
    print(error)
"""
        with script(text, folder=tmp_path) as driver:
            out, err = driver.communicate(timeout=60)
        assert out.splitlines() == [
            "ray://127.0.0.1:10001 needs Ray's client, which is not installed",
            '  hint: pip install "ray[client]"',
        ]
        assert err == ""

    def test_without_ray(self, project: ProjectFolder) -> None:
        profile = (project.path / "conf/profiles/dev.yml").read_text() + "executor: {type: ray}\n"
        project.write({"conf/profiles/dev.yml": profile})
        command = 'import sys; sys.modules["ray"] = None; from flowpipe.cli import main; main()'
        done = subprocess.run(
            [sys.executable, "-c", command, "check"], cwd=project.path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert 'executor "ray" needs ray, which is not installed' in done.stderr
        assert 'hint: pip install "flowpipe-etl[ray]"' in done.stderr

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"address": "somewhere"}, '"somewhere" is no address of a Ray cluster'),
            ({"address": "auto", "workers": 2}, "workers is for an instance of our own, and there is an address"),
            ({"workers": 0}, "greater than or equal to 1"),
        ],
    )
    def test_options(self, options: dict[str, Any], text: str) -> None:
        with pytest.raises(ValueError, match=re.escape(text)):
            RayOptions(**options)

    def test_options_that_ray_does_not_know(self, tmp_path: Path) -> None:
        text = """
try:
    Ray(RayOptions(options={"namespase": "mine"}), site(Path.cwd()))
except ConfigError as error:
    print(error)
"""
        with script(text, folder=tmp_path) as driver:
            out, err = driver.communicate(timeout=60)
        assert out.startswith("Ray does not take the executor's options: ")
        assert "namespase" in out
        assert err == ""

    def test_another_version_of_flowpipe_on_the_workers(self, local: Ray) -> None:
        import ray

        there = ray.remote(num_returns=2)(entry("9.9", b"", ()))
        with pytest.raises(ray.exceptions.RayTaskError) as caught:
            ray.get(there.remote(b"")[0])
        told = failures.told(caught.value, "here:1", "9.9")
        assert str(told) == (
            f"flowpipe does not work on a worker of the Ray cluster: it has version {version('flowpipe-etl')}\n"
            "  hint: install flowpipe-etl 9.9 and what it needs on every Ray node, or name it in options: runtime_env"
        )
