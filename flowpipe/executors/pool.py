"""Processes that run jobs one by one, each at the end of a pipe of its own: the death of one harms no other.

Written for want of one that holds up (2026-11). pebble's workers share one pipe under a lock, which a killed worker
takes along; it never tells of a worker that ends with code 0, and needs up to 3 s to kill one that computes. loky's
pool breaks when a worker dies. multiprocessing imports the driver's `__main__` again.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from flowpipe.executors import WorkerLost

# How a worker begins: without the driver's `__main__`, but with its path.
_START = (
    "import sys; from multiprocessing.connection import Connection; pipe = Connection(int(sys.argv[1])); "
    "sys.path[:] = pipe.recv(); from flowpipe.executors.pool import serve; serve(pipe, int(sys.argv[2]))"
)
# A worker whose pipe is held open by processes that it forked is seen to be dead so late.
_LOOK = 1.0
_PATIENCE = 1.0

Ended = Callable[[bytes | None, str], None]


class Job:
    """What a worker was given; `ended` takes its answer once, or None and how the process died."""

    def __init__(self, ended: Ended) -> None:
        self.ended: Ended | None = ended
        self.worker: _Worker | None = None


class _Worker:
    def __init__(self, leash: int, setup: bytes, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-c", _START, str(theirs.fileno()), str(leash)]
            self.process = subprocess.Popen(  # noqa: S603 - this interpreter
                command,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), leash),
                start_new_session=True,
            )
        self.pipe = Connection(ours.detach())
        self.job: Job | None = None
        self.pipe.send(sys.path)
        self.pipe.send_bytes(setup)

    def answer(self) -> bytes | None:
        """What it sent; None: it is dead."""
        with suppress(OSError, EOFError):
            if self.pipe.poll(0):
                return self.pipe.recv_bytes()
        return None

    def end(self) -> int:
        """Wait for its death, which it began itself or was told; its exit code. What it started ends, too."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        self.kill()
        return self.process.wait()

    def kill(self) -> None:
        """End it and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Pool:
    """Starts a worker for every job that finds none idle; how many there are is up to whoever submits.

    Args:
        setup: what `serve` gets before the first job.
        environment: what workers have besides the driver's.
    """

    def __init__(self, setup: bytes, environment: Mapping[str, str]) -> None:
        self._setup = setup
        self._environment = environment
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._is_closed = False
        # Nobody writes to it: its end is the driver's.
        self._leash, self._held = os.pipe()
        self._woken, self._wake = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._listen, name="flowpipe-workers", daemon=True)
        self._thread.start()

    def submit(self, message: bytes, ended: Ended) -> Job:
        """Give a job to an idle worker, or a new one; `ended` is called on the pool's thread.

        Raises:
            WorkerLost: no process can be started.
        """
        job = Job(ended)
        with self._lock:
            if self._is_closed:
                return job
            try:
                worker = self._idle.pop() if self._idle else self._new()
            except OSError as error:
                raise WorkerLost(f"no worker process can be started ({error})") from error
            worker.job, job.worker = job, worker
        with suppress(OSError):  # it just died, which the listener sees
            worker.pipe.send_bytes(message)
        return job

    def cancel(self, job: Job) -> None:
        """Kill the worker of a job that has not ended; its `ended` is not called any more."""
        with self._lock:
            worker = job.worker
            if worker is None or worker.job is not job:
                return
            worker.job = job.ended = None
            self._remove(worker)
        worker.kill()
        worker.process.wait()

    def close(self) -> None:
        """Let idle workers go and kill the others; waits until no process is left."""
        with self._lock:
            self._is_closed = True
            workers, busy = list(self._workers), [each for each in self._workers if each.job]
        for worker in busy:
            worker.kill()
        self._wake.send(b"x")
        if threading.current_thread() is not self._thread:
            self._thread.join()
        for worker in workers:
            worker.pipe.close()
        deadline = time.monotonic() + _PATIENCE
        for worker in workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.process.wait()
        for end in (self._leash, self._held):
            os.close(end)
        self._selector.close()
        self._woken.close()
        self._wake.close()

    def _new(self) -> _Worker:
        worker = _Worker(self._leash, self._setup, self._environment)
        self._workers.add(worker)
        self._selector.register(worker.pipe, selectors.EVENT_READ, worker)
        return worker

    def _remove(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        with suppress(KeyError, ValueError):
            self._selector.unregister(worker.pipe)

    def _listen(self) -> None:
        while not self._is_closed:
            found = [key.data for key, _ in self._selector.select(_LOOK) if key.data is not None]
            dead = [] if found else [each for each in list(self._workers) if each.process.poll() is not None]
            for worker in found or dead:
                if not self._is_closed:
                    self._take(worker)

    def _take(self, worker: _Worker) -> None:
        """The answer of a worker, or its end."""
        answer, how = worker.answer(), ""
        if answer is None:
            how = _death(worker.end())
        with self._lock:
            job, worker.job = worker.job, None
            if answer is None:
                self._remove(worker)
            elif worker in self._workers:
                self._idle.append(worker)
        if job is not None and job.ended is not None:
            ended, job.ended = job.ended, None  # whoever holds the job holds no more of it
            ended(answer, how)


def _death(code: int) -> str:
    """How a process ended.

    >>> _death(-9), _death(-11), _death(3)
    ('killed by signal 9; out of memory?', 'killed by signal 11', 'it ended itself with code 3')
    """
    if code >= 0:
        return f"it ended itself with code {code}"
    return f"killed by signal {-code}" + ("; out of memory?" if code == -signal.SIGKILL else "")


def serve(pipe: Connection, leash: int) -> None:
    """Run jobs in a worker's process until the driver lets go of the pipe."""
    import pickle

    for end in (pipe.fileno(), leash):
        os.set_inheritable(end, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interrupt ends
    threading.Thread(target=_die_with_driver, args=(leash,), daemon=True).start()
    with suppress(EOFError, OSError):
        answer: Callable[[bytes], Any] = pickle.loads(pipe.recv_bytes())  # noqa: S301 - made by the driver
        while True:
            message = pipe.recv_bytes()
            reply = answer(message)
            del message
            sys.stdout.flush()
            sys.stderr.flush()
            pipe.send_bytes(reply)
            del reply
    os._exit(0)


def _die_with_driver(leash: int) -> None:
    os.read(leash, 1)
    os.killpg(0, signal.SIGKILL)
