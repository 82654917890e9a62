"""Real Dask and Ray clusters on loopback, of the processes that their users start, each stopped when it is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 60.0


@dataclass
class DaskCluster:
    """A scheduler and the workers that were started for it."""

    folder: Path
    address: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def scheduler(self) -> subprocess.Popen[bytes]:
        return self.processes[0]

    def start(self, program: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Run `dask scheduler` or `dask worker`."""
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments, "--no-dashboard"]
        # Functions of test modules travel by name.
        path = os.pathsep.join(
            [*filter(None, [os.environ.get("PYTHONPATH")]), str(Path(__file__).parent / "executors")]
        )
        own = os.environ | {"PYTHONPATH": path} | (env or {})
        with (self.folder / f"{program}{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=own, cwd=self.folder)
        self.processes.append(process)

    def start_worker(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """One worker of one thread, with its nanny."""
        local = self.folder / f"worker{len(self.processes)}"
        self.start("worker", self.address, "--nthreads=1", f"--local-directory={local}", *arguments, env=env)

    def stop(self) -> None:
        """A nanny that is killed takes its worker with it."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@contextmanager
def dask_cluster(folder: Path, workers: Sequence[Sequence[str]] = ((), ())) -> Iterator[DaskCluster]:
    """A scheduler and a worker for each of the lists of arguments; it does not wait for the workers."""
    cluster = DaskCluster(folder)
    found = folder / "scheduler.json"
    try:
        patience = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        cluster.start("scheduler", "--host=127.0.0.1", "--port=0", f"--scheduler-file={found}", env=patience)
        cluster.address = _address(found)
        for arguments in workers:
            cluster.start_worker(*arguments)
        yield cluster
    finally:
        cluster.stop()


def _address(file: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError, ValueError):
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.05)
    raise RuntimeError(f"no scheduler: {file.parent}")


def users(folder: str) -> list[int]:
    """The processes that have a file below a folder open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(file.readlink()).startswith(folder) for file in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def eventually(condition: Callable[[], Any], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def note_pid(file: Path) -> Callable[[], None]:
    """What a node calls to tell which process it runs in."""

    def note() -> None:
        with file.open("a") as lines:
            lines.write(f"{os.getpid()}\n")

    return note


def written(file: Path) -> list[int]:
    """The processes that told; a file is there before its first line is."""
    assert eventually(lambda: file.exists() and file.read_text().endswith("\n"))
    return [int(line) for line in file.read_text().split()]


@dataclass
class RayCluster:
    """A head with one CPU, and a second node with one, on this machine."""

    folder: Path
    address: str
    head: subprocess.Popen[str]
    second: subprocess.Popen[str]


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def ray_start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`ray start`, and all that it starts, as one group of processes."""
    quick = {
        "RAY_AUTH_MODE": "disabled",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_failure_threshold": "5",
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    log = folder / f"start{len(list(folder.glob('start*')))}.log"
    file = log.open("w")
    node = subprocess.Popen(
        [*command, *arguments, "--object-store-memory=200000000"],
        env=os.environ | quick,
        stdout=file,
        stderr=file,
        text=True,
        start_new_session=True,
    )
    file.close()
    assert eventually(lambda: "Ray runtime started" in log.read_text(), 60)
    return node


def kill(node: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait()


def clear(folder: Path) -> None:
    """End what the group's death has not ended, and delete its files."""
    for process in users(f"{folder}/"):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    folder, port = Path(tempfile.mkdtemp(prefix="fp-ray-", dir="/tmp")), free_port()
    nodes = []
    try:
        nodes.append(
            ray_start(folder, "--head", f"--port={port}", f"--temp-dir={folder}/ray", "--include-dashboard=false")
        )
        nodes.append(ray_start(folder, f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.2"))
        yield RayCluster(folder, f"127.0.0.1:{port}", *nodes)
    finally:
        for node in nodes:
            kill(node)
        clear(folder)
