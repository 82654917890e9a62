"""Executors inside the driver's own process: one after another, or on threads."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from flowpipe.executors import Call, Gathered, Remote, Resources, Result, Site
from flowpipe.fields import Bytes, size
from flowpipe.validation import Model


def _result(call: Call) -> Result:
    started_at, clock = datetime.now(UTC), time.perf_counter()
    value, error = None, None
    try:
        value = call.function(**{name: _plain(argument) for name, argument in call.arguments.items()})
    except BaseException as raised:  # noqa: BLE001 - a panic of Polars and sys.exit are a node's failures too
        error = raised
    return Result(value, error, started_at, time.perf_counter() - clock)


def _plain(argument: Any) -> Any:
    return list(argument.values) if isinstance(argument, Gathered) else argument


class SyncOptions(Model):
    """`sync` has no options."""


class Sync:
    """Runs every call at once, in the driver's thread: for debugging, and for graphs of many tiny nodes."""

    Options: type[BaseModel] = SyncOptions
    isolated = False
    shares_disk = True
    overdue = "that it took too long is noticed when it ends"
    capacity = Resources(cpus=1)

    def __init__(self, options: SyncOptions, site: Site) -> None:
        del options, site

    def submit(self, call: Call, done: Callable[[Result], None]) -> None:
        done(_result(call))

    def cancel(self, ticket: Any) -> None:
        """Nothing runs beside the driver."""

    def fetch(self, remote: Remote) -> Any:
        raise AssertionError(remote)  # no value stays away

    def close(self) -> None:
        """Nothing is held."""


def _workers() -> int:
    return max(4, os.cpu_count() or 1)


def _memory() -> str:
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 10**6}MB"


class ThreadsOptions(Model):
    """`threads`: what the calls that run at once may take together."""

    workers: int = Field(
        default_factory=_workers, ge=1, description="how many; as many as CPUs, at least 4, if absent", examples=[4]
    )
    memory: Bytes = Field(
        default_factory=_memory,
        description="what the calls that run at once may take together, by their `resources`; the machine's if absent",
        examples=["16GB"],
    )


def _call(call: Call, done: Callable[[Result], None]) -> None:
    done(_result(call))


class Threads:
    """Runs calls on a bounded pool of threads; each sees the context variables of the thread that submitted it."""

    Options: type[BaseModel] = ThreadsOptions
    isolated = False
    shares_disk = True
    overdue = "after that time it fails or is tried again, but its thread goes on unseen until it ends"

    def __init__(self, options: ThreadsOptions, site: Site) -> None:
        del site
        self.capacity = self.most(options)
        self._workers = options.workers
        self._lock = threading.Lock()
        self._pool = self._new_pool()

    @staticmethod
    def most(options: ThreadsOptions) -> Resources:
        """All that there is for calls."""
        return Resources(options.workers, size(options.memory))

    def submit(self, call: Call, done: Callable[[Result], None]) -> None:
        with self._lock:  # another step may be giving up this pool
            self._pool.submit(contextvars.copy_context().run, _call, call, done)

    def cancel(self, ticket: Any) -> None:
        """Nothing can stop a thread; so that it takes nobody's place, what comes runs on a new pool."""
        del ticket
        with self._lock:
            self.close()
            self._pool = self._new_pool()

    def fetch(self, remote: Remote) -> Any:
        raise AssertionError(remote)  # no value stays away

    def close(self) -> None:
        # After an interrupt a node may still be at work: nothing can stop it, and nothing waits for it.
        self._pool.shutdown(wait=False)

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, thread_name_prefix="flowpipe")
