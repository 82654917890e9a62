"""How a child process is measured: CPU seconds and peak memory as the kernel counts them, medians of runs in turns."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

REPOSITORY = Path(__file__).parents[1]
DATA = Path(__file__).parent / ".data"
PYTHON = sys.executable
FLOWPIPE = (PYTHON, "-m", "flowpipe")


@dataclass(frozen=True)
class Options:
    """What the command was given: counted runs, and the scale factor of TPC-H where a benchmark has not just one."""

    runs: int = 5
    scale: float | None = None


@dataclass(frozen=True)
class Command:
    """What one run starts.

    `project` is copied, with `inputs` linked into its `data/landing/`, to a folder of its own that the run works in;
    None means the repository. `reports` says that the last line the child prints is a number, the seconds or
    microseconds it measured itself. `group` is a control group that the child belongs to. `environment` is added to
    this process's. After `limit` seconds the child and what it started are killed.
    """

    args: Sequence[str]
    project: Path | None = None
    inputs: Sequence[Path] = ()
    reports: bool = False
    group: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    limit: float | None = None


class Failed(SystemExit):
    """A child failed; `reason` is why, in a line."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Sample:
    """One run, or the medians of several: seconds, MiB, and the number the child reported (0.0: none)."""

    cpu: float
    wall: float
    peak: float
    reported: float = 0.0


@dataclass(frozen=True)
class Row:
    """One line of the table; `limit` bounds the ratio, or with `bounds="value"` what flowpipe took.

    A `baseline` of None: there is nothing to compare with; `note` may say why.
    """

    name: str
    unit: str
    flowpipe: float
    baseline: float | None = None
    limit: float | None = None
    bounds: Literal["ratio", "value"] = "ratio"
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.baseline is None else self.flowpipe / self.baseline

    @property
    def ok(self) -> bool:
        bounded = self.ratio if self.bounds == "ratio" else self.flowpipe
        return self.limit is None or bounded is None or bounded <= self.limit


def alternately(commands: Mapping[str, Command], runs: int) -> dict[str, Sample]:
    """Run every command once, then every command again (A B A B); the medians by name.

    A first round is not counted: it fills the page cache and writes the bytecode.
    """
    rounds = [{name: once(command) for name, command in commands.items()} for _ in range(runs + 1)][1:]
    return {name: _median([samples[name] for samples in rounds]) for name in commands}


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(
        median(s.cpu for s in samples),
        median(s.wall for s in samples),
        median(s.peak for s in samples),
        median(s.reported for s in samples),
    )


def once(command: Command) -> Sample:
    """Run a command, in a fresh copy of its project.

    Raises:
        Failed: it failed, or took longer than its limit.
    """
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        cwd = REPOSITORY if command.project is None else _copy(command, Path(folder) / "project")
        return _measure(command, cwd)


def _scratch() -> Path:
    DATA.mkdir(exist_ok=True)
    return DATA


def _copy(command: Command, folder: Path) -> Path:
    assert command.project is not None
    shutil.copytree(command.project, folder, ignore=shutil.ignore_patterns("__pycache__"))
    landing = folder / "data" / "landing"
    landing.mkdir(parents=True)
    for path in command.inputs:
        os.link(path, landing / path.name)
    return folder


def _measure(command: Command, cwd: Path) -> Sample:
    # The peak that wait4 tells survives exec, so this process must stay small: it imports no data library.
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "HAMILTON_AUTOLOAD_EXTENSIONS": "0",
        **command.environment,
    }
    joining = ("sh", "-c", f'echo $$ > {command.group}/cgroup.procs && exec "$@"', "sh") if command.group else ()
    args = [*joining, *command.args]
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8") as output:
        started = time.perf_counter()
        child = subprocess.Popen(
            args, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        usage = _wait(child, command.limit)
        wall = time.perf_counter() - started
        output.seek(0)
        lines = output.read().splitlines() or [""]
    if child.returncode:
        killed = child.returncode == -signal.SIGKILL and command.limit is not None
        reason = f"not done after {command.limit:g} s" if killed else lines[-1].strip()
        raise Failed("\n".join([f"{' '.join(command.args)}: exit {child.returncode}", *lines]), reason)
    reported = float(lines[-1]) if command.reports else 0.0
    return Sample(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, reported)


def _wait(child: subprocess.Popen[bytes], limit: float | None) -> resource.struct_rusage:
    """What a child took; Ctrl-C, and a limit, kill it with all that it started."""
    timer = threading.Timer(limit or threading.TIMEOUT_MAX, os.killpg, (child.pid, signal.SIGKILL))
    timer.daemon = True
    timer.start()
    try:
        _, status, usage = os.wait4(child.pid, 0)
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    finally:
        timer.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage
