"""Nodes on the standard library's pool of processes, as somebody else would write it.

Values go through the driver. To end one call is to end the pool: what ran beside it runs again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flowpipe.executors import Call, Gathered, Remote, Resources, Result, Site, WorkerLost
from flowpipe.executors.values import Packed, pack_argument, pack_function
from flowpipe.executors.worker import Ended, Job, run, trace_parent


class PoolOptions(BaseModel):
    """`pool`: how many processes there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: int = Field(2, ge=1, description="processes")


class Pool:
    """Runs calls on processes of `concurrent.futures`, which are spawned."""

    Options: type[BaseModel] = PoolOptions
    isolated = True
    shares_disk = True

    def __init__(self, options: PoolOptions, site: Site) -> None:
        self.capacity = self.most(options)
        self._workers = options.workers
        self._site = site
        self._lock = threading.Lock()
        self._pool = self._new()

    @staticmethod
    def most(options: PoolOptions) -> Resources:
        """All that there is for calls."""
        return Resources(options.workers, float("inf"))

    def submit(self, call: Call, done: Callable[[Result], None]) -> Future[tuple[Ended, Packed | None]]:
        at = datetime.now(UTC)

        def ended(future: Future[tuple[Ended, Packed | None]]) -> None:
            if not future.cancelled():
                done(_result(future, at))

        future: Future[tuple[Ended, Packed | None]]
        try:
            arguments = {name: _packed(call.node, name, value) for name, value in call.arguments.items()}
            job = Job(call.node, pack_function(call.node, call.function), arguments, trace_parent())
            future = self._submitted(job)
        except Exception as error:
            future = Future()
            future.set_exception(error)
        future.add_done_callback(ended)
        return future

    def cancel(self, ticket: Future[tuple[Ended, Packed | None]]) -> None:
        if not ticket.cancel() and not ticket.done():
            with self._lock:
                old, self._pool = self._pool, self._new()
            _end(old)

    def fetch(self, remote: Remote) -> Any:
        raise AssertionError(remote)  # no value stays away

    def close(self) -> None:
        _end(self._pool)

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, get_context("spawn"), self._site.code.install)

    def _submitted(self, job: Job) -> Future[tuple[Ended, Packed | None]]:
        with self._lock:
            try:
                return self._pool.submit(run, job)
            except BrokenProcessPool:
                self._pool = self._new()
                return self._pool.submit(run, job)


def _packed(node: str, name: str, value: Any) -> Any:
    if isinstance(value, Gathered):
        return Gathered(tuple(_packed(node, name, each) for each in value.values))
    return pack_argument(node, name, value)


def _result(future: Future[tuple[Ended, Packed | None]], at: datetime) -> Result:
    try:
        ended, packed = future.result()
        return ended.result(packed.unpack() if packed else None)
    except BrokenProcessPool:
        error: Exception = WorkerLost("a process of the pool died")
    except Exception as raised:
        error = raised
    return Result(None, error, at, (datetime.now(UTC) - at).total_seconds())


def _end(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):  # it has no other way to end what runs
        if process.pid != os.getpid():
            process.kill()
    pool.shutdown(cancel_futures=True)
