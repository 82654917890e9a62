"""Executor `processes`: nodes on other processes of this machine, with values in shared memory."""

from __future__ import annotations

import os
import pickle
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from flowpipe import frames
from flowpipe.errors import FlowpipeError, NodeError
from flowpipe.executors import Call, Gathered, Remote, Resources, Result, Site, WorkerLost, pool, worker
from flowpipe.executors.segments import INLINE, NoRoom, Stored, store
from flowpipe.executors.travelling import TravellingError
from flowpipe.executors.values import Packed, pack_argument, pack_function
from flowpipe.fields import Bytes, size
from flowpipe.importer import Importer
from flowpipe.sharedmemory import SharedMemory
from flowpipe.validation import Model


def _cpus() -> int:
    return os.cpu_count() or 1


def _memory() -> str:
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 10**6}MB"


class ProcessesOptions(Model):
    """`processes`: how many calls run at once, and what they may take together."""

    workers: int = Field(default_factory=_cpus, ge=1, description="how many; as many as CPUs if absent", examples=[4])
    memory: Bytes = Field(
        default_factory=_memory,
        description="what the calls that run at once may take together, by their `resources`; the machine's if absent",
        examples=["16GB"],
    )


@dataclass(frozen=True)
class _Setup:
    """What a worker is told once; unpickled there it answers jobs."""

    code: Importer
    folders: tuple[Path, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _ready, (self.code, self.folders)


def _ready(code: Importer, folders: tuple[Path, ...]) -> Callable[[bytes], bytes]:
    code.install()
    return partial(_answer, folders)


def _answer(folders: tuple[Path, ...], message: bytes) -> bytes:
    """What a job came to, on a worker."""
    name, job = pickle.loads(message)  # noqa: S301 - made by the driver
    ended, packed = worker.run(job)
    value: Packed | Stored | None = packed
    if packed is not None and packed.nbytes >= INLINE:
        try:
            value = store(packed, name, folders)
        except NoRoom as error:
            value, full = None, NodeError(f"node {job.node}: {error}", hint="make room, or run fewer nodes at once")
            ended = replace(ended, error=TravellingError.of(full))
    return pickle.dumps((ended, value), protocol=5)


class _Ref:
    """A value that is away: its file goes when the last reference to this does."""

    def __init__(self, value: Packed | Stored) -> None:
        self.value = value
        if isinstance(value, Stored):
            weakref.finalize(self, _unlink, value.path)


def _unlink(path: Path) -> None:
    with suppress(OSError):  # the folder may be gone
        path.unlink()


@dataclass(eq=False, slots=True)
class _Ticket:
    """A call in flight; it holds what the call's arguments lie in."""

    name: str
    node: str
    stays: bool
    held: list[_Ref] = field(default_factory=list)
    job: pool.Job | None = None


class Processes:
    """Runs each call on one of some processes that are started when they are needed and stay for the run.

    Polars on a worker takes its share of the CPUs, unless POLARS_MAX_THREADS says otherwise.
    """

    Options: type[BaseModel] = ProcessesOptions
    isolated = True
    shares_disk = True

    def __init__(self, options: ProcessesOptions, site: Site) -> None:
        self.capacity = self.most(options)
        self._shared = SharedMemory(site.run)
        self._scratch = site.scratch
        self._folders = tuple(filter(None, (self._shared.folder, self._scratch)))
        share = str(max(1, _cpus() // options.workers))
        environment = {"POLARS_MAX_THREADS": os.environ.get("POLARS_MAX_THREADS", share)}
        self._pool = pool.Pool(pickle.dumps(_Setup(site.code, self._folders)), environment)
        self._numbers = count()
        self._kept: dict[int, _Ref] = {}
        self._lock = threading.Lock()

    @staticmethod
    def most(options: ProcessesOptions) -> Resources:
        """All that there is for calls."""
        return Resources(options.workers, size(options.memory))

    def submit(self, call: Call, done: Callable[[Result], None]) -> _Ticket:
        ticket = _Ticket(f"{next(self._numbers)}", call.node, call.stays)
        started_at, clock = datetime.now(UTC), time.perf_counter()

        def ended(answer: bytes | None, death: str) -> None:
            ticket.held.clear()
            if answer is not None:
                done(self._result(ticket, answer))
                return
            self._forget(ticket)
            lost = WorkerLost(f"the worker process died ({death})")
            done(Result(None, lost, started_at, time.perf_counter() - clock))

        try:
            ticket.job = self._pool.submit(self._message(ticket, call), ended)
        except Exception as error:  # noqa: BLE001 - whatever an argument raises when it is pickled
            done(Result(None, error, started_at, time.perf_counter() - clock))
        return ticket

    def cancel(self, ticket: _Ticket) -> None:
        if ticket.job:
            self._pool.cancel(ticket.job)
            ticket.held.clear()
            self._forget(ticket)

    def fetch(self, remote: Remote) -> Any:
        return remote.ref.value.unpack()

    def close(self) -> None:
        self._pool.close()
        self._shared.remove()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _message(self, ticket: _Ticket, call: Call) -> bytes:
        arguments = {name: self._carried(ticket, name, value) for name, value in call.arguments.items()}
        job = worker.Job(call.node, pack_function(call.node, call.function), arguments, worker.trace_parent())
        return pickle.dumps((ticket.name, job), protocol=5)

    def _carried(self, ticket: _Ticket, name: str, value: Any) -> Any:
        if isinstance(value, Gathered):
            return Gathered(tuple(self._carried(ticket, name, each) for each in value.values))
        ref = value.ref if isinstance(value, Remote) else self._placed(ticket, name, value)
        ticket.held.append(ref)
        return ref.value

    def _placed(self, ticket: _Ticket, name: str, value: Any) -> _Ref:
        """A value of the driver's own for workers; a frame is written once for all calls that take it."""
        with self._lock:
            if (kept := self._kept.get(id(value))) is not None:
                return kept
        packed = pack_argument(ticket.node, name, value)
        if packed.nbytes < INLINE:
            return _Ref(packed)
        try:
            ref = _Ref(store(packed, f"given-{next(self._numbers)}", self._folders))
        except NoRoom as error:
            text = f"{name} of node {ticket.node}: {error}"
            raise FlowpipeError(text, hint="make room, or run it with `executor: {type: threads}`") from error
        if frames.kind_of(type(value)) in {"lazy", "eager", "arrow"}:  # these do not change
            with self._lock:
                self._kept[id(value)] = ref
                weakref.finalize(value, self._kept.pop, id(value), None)
        return ref

    def _result(self, ticket: _Ticket, answer: bytes) -> Result:
        ended: worker.Ended
        ended, value = pickle.loads(answer)  # noqa: S301 - made by our worker
        try:
            if value is None:
                return ended.result(None)
            ref = _Ref(value)
            return ended.result(Remote(ref, ended.rows) if ticket.stays else value.unpack())
        except Exception as error:  # noqa: BLE001 - whatever a class of the user's raises when it is made again here
            return Result(None, error, ended.started_at, ended.seconds, ended.worker, ended.warning)

    def _forget(self, ticket: _Ticket) -> None:
        """Remove what a worker that was killed may have begun to write."""
        for folder in self._folders:
            _unlink(folder / ticket.name)
