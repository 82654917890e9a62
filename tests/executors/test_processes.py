"""Processes of this machine: the suite, and what only they promise: no other is harmed, and nothing is left."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_local import configured

from flowpipe import executors, sharedmemory
from flowpipe.errors import NodeError
from flowpipe.executors import Call, Gathered, Remote, Result, Site, WorkerLost, processes, segments
from flowpipe.executors.processes import Processes, ProcessesOptions
from flowpipe.executors.values import pack_function
from flowpipe.executors.worker import Job
from flowpipe.importer import Importer
from flowpipe.testing import ExecutorSuite

BIG = 200_000  # rows that do not fit into a message
MEMORY = Path("/dev/shm")


def site(folder: Path, run: str = "run") -> Site:
    return Site(run, folder / "scratch", Importer("_flowpipe_none", {}))


def folders(run: str = "run") -> list[Path]:
    return list(MEMORY.glob(f"flowpipe-{run}-*"))


def files(executor: Processes) -> list[str]:
    return [path.name for folder in executor._folders for path in folder.glob("*") if path.name != "alive"]


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Processes]:
    with closing(Processes(ProcessesOptions(workers=2), site(tmp_path))) as made:
        yield made


class Answers:
    """Takes results as they come."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self._came = threading.Condition()

    def __call__(self, result: Result) -> None:
        with self._came:
            self.results.append(result)
            self._came.notify_all()

    def wait(self, count: int = 1) -> list[Result]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.results) >= count, 60)
            return self.results


def ran(executor: Processes, function: Callable[..., Any], *, stays: bool = False, **arguments: Any) -> Result:
    answers = Answers()
    executor.submit(Call("x", function, arguments, stays), answers)
    (result,) = answers.wait()
    return result


def value(executor: Processes, function: Callable[..., Any], *, stays: bool = False, **arguments: Any) -> Any:
    result = ran(executor, function, stays=stays, **arguments)
    if result.error:
        raise result.error
    return result.value


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


class TestSuite(ExecutorSuite):
    many = 300

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[Processes]:
        with closing(Processes(ProcessesOptions(workers=2), site(tmp_path))) as made:
            answers = Answers()  # once both are warm, timing is that of the nodes
            for _ in range(2):
                made.submit(Call("warm", lambda: time.sleep(0.2), {}), answers)
            answers.wait(2)
            yield made


class TestValues:
    def test_a_big_one_stays_in_shared_memory_until_nobody_needs_it(self, executor: Processes) -> None:
        frame = value(executor, lambda: pl.DataFrame({"x": range(BIG)}), stays=True)
        assert isinstance(frame, Remote)
        assert (frame.rows, len(files(executor))) == (BIG, 1)
        assert value(executor, lambda one, both: one["x"].sum() + len(both), one=frame, both=Gathered((frame, 1))) == (
            BIG * (BIG - 1) // 2 + 2
        )
        kept = executor.fetch(frame)
        del frame
        assert eventually(lambda: files(executor) == [])
        assert kept["x"][-1] == BIG - 1

    def test_a_small_one_needs_no_file(self, executor: Processes) -> None:
        small = value(executor, lambda: {"a": 1}, stays=True)
        assert isinstance(small, Remote)
        assert files(executor) == []
        assert executor.fetch(small) == {"a": 1}

    def test_one_that_is_needed_here_leaves_no_file(self, executor: Processes) -> None:
        assert value(executor, lambda: pl.DataFrame({"x": range(BIG)})).height == BIG
        assert eventually(lambda: files(executor) == [])

    def test_a_frame_of_the_drivers_is_written_once(self, executor: Processes) -> None:
        frame = pl.DataFrame({"x": range(BIG)})
        assert value(executor, lambda frame: frame.height, frame=frame) == BIG
        assert value(executor, lambda frame: frame.height, frame=frame) == BIG
        assert len(files(executor)) == 1
        del frame
        assert eventually(lambda: files(executor) == [])

    def test_an_array_may_be_changed_without_harm(self, executor: Processes) -> None:
        array = value(executor, lambda: np.zeros(BIG), stays=True)

        def change(array: Any) -> float:
            array += 1
            return float(array.sum())

        assert [value(executor, change, array=array) for _ in range(2)] == [BIG, BIG]

    def test_full_memory_falls_back_to_the_disk(self, executor: Processes, tmp_path: Path) -> None:
        packed = segments.store(segments.Packed(b"\x80\x05K\x01."), "n", [tmp_path / "file" / "none", tmp_path])
        assert packed.path == tmp_path / "file" / "none" / "n"
        (tmp_path / "full").touch()
        packed = segments.store(segments.Packed(b"\x80\x05K\x01."), "n", [tmp_path / "full", tmp_path])
        assert (packed.path, packed.unpack()) == (tmp_path / "n", 1)

    def test_no_room_anywhere(self, executor: Processes, tmp_path: Path) -> None:
        (tmp_path / "full").touch()
        with pytest.raises(segments.NoRoom) as caught:
            segments.store(segments.Packed(bytes(2_000_000)), "n", [tmp_path / "full"])
        assert str(caught.value) == f"its value of 2 MB fits into none of {tmp_path / 'full'}"

    def test_no_room_for_a_result_or_an_argument(self, executor: Processes, tmp_path: Path) -> None:
        full = tmp_path / "full"
        full.touch()
        job = Job("x", pack_function("x", lambda: bytes(2_000_000)), {})
        ended, packed = pickle.loads(processes._answer((full,), pickle.dumps(("0", job))))
        assert packed is None
        assert str(ended.result(None).error) == (
            f"node x: its value of 2 MB fits into none of {full}\n  hint: make room, or run fewer nodes at once"
        )
        executor._folders = (full,)
        assert str(ran(executor, lambda data: 1, data=bytes(2_000_000)).error) == (
            f"data of node x: its value of 2 MB fits into none of {full}\n"
            "  hint: make room, or run it with `executor: {type: threads}`"
        )


class Odd:
    """Cannot be made again in the process of the tests."""

    def __reduce__(self) -> Any:
        return _only_elsewhere, (os.getpid(),)


def _only_elsewhere(pid: int) -> None:
    if os.getpid() != pid:
        raise RuntimeError("not here")


class TestErrors:
    def test_a_value_that_cannot_be_made_again(self, executor: Processes) -> None:
        result = ran(executor, Odd)
        assert (result.value, repr(result.error)) == (None, "RuntimeError('not here')")
        assert value(executor, lambda: 1) == 1

    def test_an_argument_that_cannot_travel(self, executor: Processes) -> None:
        result = ran(executor, lambda lock: 1, lock=threading.Lock())
        assert isinstance(result.error, NodeError)
        assert result.error.problems[0].message == (
            "node x gets a lock as lock, which cannot travel to another process"
        )

    def test_the_worker_is_named(self, executor: Processes) -> None:
        result = ran(executor, os.getpid)
        assert str(result.worker).startswith(f"pid {result.value} on ")
        assert result.value != os.getpid()


class TestDeath:
    @pytest.mark.parametrize(
        ("end", "text"),
        [
            (lambda: os.kill(os.getpid(), 9), "the worker process died (killed by signal 9; out of memory?)"),
            (lambda: os.kill(os.getpid(), 11), "the worker process died (killed by signal 11)"),
            (lambda: os._exit(0), "the worker process died (it ended itself with code 0)"),
            (lambda: os._exit(3), "the worker process died (it ended itself with code 3)"),
        ],
        ids=["kill", "segfault", "exit 0", "exit 3"],
    )
    def test_it_is_told_and_the_next_call_runs(self, executor: Processes, end: Callable[[], Any], text: str) -> None:
        result = ran(executor, end)
        assert isinstance(result.error, WorkerLost)
        assert str(result.error) == text
        assert value(executor, lambda: 1) == 1

    def test_what_it_began_to_write_is_removed(self, executor: Processes) -> None:
        memory = executor._folders[0]

        def torn() -> None:
            (memory / "0").write_bytes(b"the first call's file")
            os._exit(1)

        ran(executor, torn)
        assert files(executor) == []

    def test_another_worker_goes_on(self, executor: Processes) -> None:
        answers = Answers()

        def slow() -> str:
            time.sleep(1)
            return "done"

        executor.submit(Call("slow", slow, {}, stays=False), answers)
        ran(executor, lambda: os._exit(1))
        assert [result.value for result in answers.wait()] == ["done"]

    def test_an_idle_one_that_is_killed_is_replaced(self, executor: Processes) -> None:
        pid = value(executor, os.getpid)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not executor._pool._workers)
        assert value(executor, os.getpid) != pid

    def test_one_whose_pipe_a_child_holds_open(self, executor: Processes) -> None:
        def fork_and_die() -> None:
            if os.fork() == 0:
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGKILL)

        assert isinstance(ran(executor, fork_and_die).error, WorkerLost)


class TestCancel:
    def test_it_kills_at_once_with_all_that_was_started(self, executor: Processes, tmp_path: Path) -> None:
        answers = Answers()

        def slow() -> None:
            child = subprocess.Popen(["sleep", "60"])
            (tmp_path / "pids.part").write_text(f"{os.getpid()} {child.pid}")
            (tmp_path / "pids.part").rename(tmp_path / "pids")
            time.sleep(60)

        ticket = executor.submit(Call("slow", slow, {}), answers)
        assert eventually((tmp_path / "pids").exists)
        began = time.monotonic()
        executor.cancel(ticket)
        assert time.monotonic() - began < 2
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert eventually(lambda: not any(map(alive, pids)))
        assert value(executor, lambda: 1) == 1
        assert answers.results == []
        executor.cancel(ticket)

    def test_what_is_done_cannot_be_cancelled(self, executor: Processes) -> None:
        answers = Answers()
        ticket = executor.submit(Call("x", os.getpid, {}, stays=False), answers)
        (result,) = answers.wait()
        executor.cancel(ticket)
        assert value(executor, os.getpid) == result.value


class TestClose:
    def test_nothing_is_left(self, tmp_path: Path) -> None:
        before = threading.active_count()
        executor = Processes(ProcessesOptions(workers=2), site(tmp_path, f"close{os.getpid()}"))
        frame = value(executor, lambda: pl.DataFrame({"x": range(BIG)}), stays=True)
        pids = [value(executor, os.getpid)]
        answers = Answers()

        def slow() -> None:
            (tmp_path / "slow").write_text(f"{os.getpid()}")
            time.sleep(60)

        executor.submit(Call("slow", slow, {}), answers)
        assert eventually(lambda: (tmp_path / "slow").exists() and (tmp_path / "slow").read_text() != "")
        pids.append(int((tmp_path / "slow").read_text()))
        assert len(folders(f"close{os.getpid()}")) == 1
        began = time.monotonic()
        executor.close()
        assert time.monotonic() - began < 2
        assert (folders(f"close{os.getpid()}"), [pid for pid in pids if alive(pid)]) == ([], [])
        assert threading.active_count() == before
        del frame

    def test_what_a_node_printed_is_there(self, tmp_path: Path) -> None:
        done = driven(tmp_path, "run(lambda: print('seen'))\nexecutor.close()")
        assert (done.stdout, done.stderr) == ("seen\n", "")


DRIVER = """
import os, sys, threading, time
from pathlib import Path
import polars as pl
from flowpipe.executors import Call, Site
from flowpipe.executors.processes import Processes, ProcessesOptions
from flowpipe.importer import Importer

site = Site("driver" + Path.cwd().parent.name, Path({scratch!r}), Importer("_flowpipe_none", {{}}))
executor = Processes(ProcessesOptions(workers=2), site)

def run(function, **arguments):
    came, results = threading.Event(), []
    executor.submit(Call("x", function, arguments, False), lambda result: (results.append(result), came.set()))
    came.wait()
    if results[0].error:
        raise results[0].error
    return results[0].value

class Mine:
    def __init__(self, n): self.n = n

"""


def driven(folder: Path, code: str, *start: str) -> subprocess.CompletedProcess[str]:
    """Run a driver of its own, without a guard of its `__main__`."""
    script = folder / "script.py"
    script.write_text(DRIVER.format(scratch=str(folder / "scratch")) + textwrap.dedent(code))
    command = [sys.executable, *(start or (str(script),))]
    text = script.read_text() if start == ("-",) else None
    return subprocess.run(command, input=text, capture_output=True, text=True, cwd=folder, timeout=60, check=False)


class TestDriver:
    @pytest.mark.parametrize("start", [(), ("-",), ("-m", "script")], ids=["script", "stdin", "module"])
    def test_its_main_is_not_run_again(self, tmp_path: Path, start: tuple[str, ...]) -> None:
        code = """
        print("main")
        print(run(lambda n: [Mine(n)], n=3)[0].n, type(run(lambda: Mine(1))) is Mine)
        executor.close()
        """
        done = driven(tmp_path, code, *start)
        assert (done.stdout, done.stderr) == ("main\n3 True\n", "")

    def test_what_a_killed_one_leaves_goes_with_the_next(self, tmp_path: Path) -> None:
        code = """
        pids = [run(os.getpid)]
        value = []
        executor.submit(Call("x", lambda: pl.DataFrame({"x": range(200_000)}), {}), value.append)
        while not value: time.sleep(0.01)
        def slow(path=Path("slow")):
            path.write_text("x")
            time.sleep(60)
        executor.submit(Call("x", slow, {}), print)
        while not Path("slow").exists(): time.sleep(0.01)
        print(*[worker.process.pid for worker in executor._pool._workers], flush=True)
        os.kill(os.getpid(), 9)
        """
        done = driven(tmp_path, code)
        assert (done.returncode, done.stderr) == (-9, "")
        assert eventually(lambda: not any(alive(int(pid)) for pid in done.stdout.split()))
        assert len(folders(f"driver{tmp_path.parent.name}")) == 1
        configuration = configured(tmp_path, "{type: sync}")  # whatever the next one is
        executors.create(configuration.executor, configuration, site(tmp_path)).close()
        assert folders(f"driver{tmp_path.parent.name}") == []

    def test_an_exception_leaves_no_process(self, tmp_path: Path) -> None:
        done = driven(tmp_path, "print(run(os.getpid), flush=True)\nraise SystemExit(5)")
        assert done.returncode == 5
        assert eventually(lambda: not alive(int(done.stdout)))
        sharedmemory.sweep()
        assert folders(f"driver{tmp_path.parent.name}") == []

    def test_a_live_one_keeps_its_memory(self, executor: Processes) -> None:
        frame = value(executor, lambda: pl.DataFrame({"x": range(BIG)}), stays=True)
        sharedmemory.sweep()
        assert executor.fetch(frame).height == BIG

    def test_ctrl_c_ends_no_worker_by_itself(self, executor: Processes) -> None:
        pid = value(executor, os.getpid)
        os.kill(pid, signal.SIGINT)
        assert value(executor, os.getpid) == pid


class TestOptions:
    def test_defaults(self, tmp_path: Path) -> None:
        with closing(Processes(ProcessesOptions(), site(tmp_path))) as made:
            assert made.capacity.cpus == os.cpu_count()
            physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            assert made.capacity.memory == physical // 10**6 * 10**6

    def test_memory(self, tmp_path: Path) -> None:
        with closing(Processes(ProcessesOptions(workers=3, memory="8GB"), site(tmp_path))) as made:
            assert (made.capacity.cpus, made.capacity.memory) == (3, 8e9)

    @pytest.mark.parametrize(("env", "threads"), [(None, str(max(1, (os.cpu_count() or 1) // 2))), ("7", "7")])
    def test_polars_takes_its_share(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: str | None, threads: str
    ) -> None:
        monkeypatch.delenv("POLARS_MAX_THREADS", raising=False)
        if env:
            monkeypatch.setenv("POLARS_MAX_THREADS", env)
        with closing(Processes(ProcessesOptions(workers=2), site(tmp_path))) as made:
            assert value(made, lambda: os.environ["POLARS_MAX_THREADS"]) == threads

    def test_the_projects_modules_are_there(self, tmp_path: Path) -> None:
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "late.py").write_text("def f(): return 5\n")
        (tmp_path / "code" / "mine.py").write_text("def g():\n    import late\n    return late.f()\n")
        code = Importer.of(tmp_path / "code")
        with closing(Processes(ProcessesOptions(workers=1), Site("run", tmp_path / "scratch", code))) as made:
            assert value(made, code.load("mine").g) == 5
