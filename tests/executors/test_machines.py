"""A scheduler, two workers and a driver on machines of their own: network namespaces that are joined by a bridge."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from flowpipe.errand import Errand, perform
from flowpipe.partition import WHOLE
from tests.clusters import eventually
from tests.conftest import Finished, ProjectFolder

MACHINES = ("scheduler", "one", "two", "driver")
SCHEDULER = "tcp://10.77.0.1:8786"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def name_of(machine: str) -> str:
    return f"fp{os.getpid()}-{machine}"


@contextmanager
def network() -> Iterator[None]:
    """A namespace for each machine, at 10.77.0.1 and so on, and one for the bridge."""
    hub = name_of("hub")
    try:
        ip("netns", "add", hub)
        ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        ip("-n", hub, "link", "set", "bridge", "up")
        for number, machine in enumerate(MACHINES, 1):
            own, port = name_of(machine), f"port{number}"
            ip("netns", "add", own)
            ip("-n", own, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", hub)
            ip("-n", hub, "link", "set", port, "master", "bridge", "up")
            ip("-n", own, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
            ip("-n", own, "link", "set", "eth0", "up")
            ip("-n", own, "link", "set", "lo", "up")
        yield
    finally:
        for machine in (*MACHINES, "hub"):
            subprocess.run(["ip", "netns", "delete", name_of(machine)], check=False, capture_output=True)


def are_namespaces_allowed() -> bool:
    try:
        with network():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def dask(machine: str, folder: Path, program: str, *arguments: str, hidden: Path | None = None) -> Iterator[None]:
    """`dask scheduler` or `dask worker` on a machine, which may not see a folder of the disk."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments, "--no-dashboard"]
    if hidden:
        command = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh", *command]
    command = ["ip", "netns", "exec", name_of(machine), *command]
    with (folder / f"{machine}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def flowpipe(project: ProjectFolder, *arguments: str) -> Finished:
    done = subprocess.run(
        ["ip", "netns", "exec", name_of("driver"), sys.executable, "-m", "flowpipe", *arguments],
        cwd=project.path,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


NODES = """
    import socket
    import time

    import polars as pl


    def _address(_: int) -> str:
        time.sleep(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            door.connect(("10.77.0.1", 8786))
            return door.getsockname()[0]


    def left(factor: int) -> str:
        return _address(factor)


    def right(factor: int) -> str:
        return _address(factor)


    def doubled(numbers: pl.LazyFrame, left: str, right: str, factor: int) -> pl.LazyFrame:
        return numbers.select(pl.col("n") * factor, left=pl.lit(left), right=pl.lit(right))
    """


@pytest.mark.skipif(not are_namespaces_allowed(), reason="network namespaces need root and CAP_SYS_ADMIN")
def test_each_on_a_machine_of_its_own(project: ProjectFolder, tmp_path: Path) -> None:
    profile = (project.path / "conf/profiles/dev.yml").read_text()
    yaml = f'executor: {{type: dask, address: "{SCHEDULER}"}}\n'
    project.write({"conf/profiles/dev.yml": profile + yaml, "pipelines/double.py": NODES})
    state = project.path / ".flowpipe"
    state.mkdir()
    worker = (SCHEDULER, "--nthreads=1")
    with (
        network(),
        dask("scheduler", tmp_path, "scheduler", "--host=10.77.0.1", "--port=8786"),
        dask("one", tmp_path, "worker", *worker, f"--local-directory={tmp_path}/one"),
        dask("two", tmp_path, "worker", *worker, f"--local-directory={tmp_path}/two", hidden=state),
    ):
        log = tmp_path / "scheduler.log"
        assert eventually(lambda: log.read_text().count("Register worker") == 2, 60), log.read_text()
        told = flowpipe(project, "check")
        assert f"store here is a folder of this machine; workers at {SCHEDULER} may not see it" in told.out
        assert "hint: share it, and the project's folder, under the same path there, or use S3" in told.out
        done = flowpipe(project, "run")
    assert (done.code, done.err) == (0, "")
    rows = pl.read_parquet(project.path / "data/doubled.parquet")
    assert rows["n"].to_list() == [2, 4, 6]
    assert {rows["left"][0], rows["right"][0]} == {"10.77.0.2", "10.77.0.3"}


def test_a_worker_that_does_not_see_the_drivers_disk_says_so(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch" / "run"
    errand = Errand(b"", "double", WHOLE, "run", datetime.now(UTC), scratch, force=False)
    error = perform(errand).result.error()
    assert str(error).startswith("a step of double came to pid ")
    assert str(error).endswith(
        f", which does not see {scratch} of the driver\n"
        "  hint: share the project's folder with every worker under the same path"
    )
