"""Real Dask clusters on loopback, of the processes that their users start, each stopped when it is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

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
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(Path(__file__).parent)])
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
