"""Executors inside the driver's own process: one after another, or on threads."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel, Field

from flowpipe.executors import Call, Result
from flowpipe.executors.retry import attempt
from flowpipe.validation import Model


class SyncOptions(Model):
    """`sync` has no options."""


class Sync:
    """Runs every call at once, in the driver's thread: for debugging, and for graphs of many tiny nodes."""

    Options: type[BaseModel] = SyncOptions
    slots = 1

    def __init__(self, options: SyncOptions) -> None:
        del options

    def submit(self, call: Call, done: Callable[[Result], None]) -> None:
        done(attempt(call))

    def close(self) -> None:
        """Nothing is held."""


def _workers() -> int:
    return max(4, os.cpu_count() or 1)


class ThreadsOptions(Model):
    """`threads`: how many calls run at once."""

    workers: int = Field(
        default_factory=_workers, ge=1, description="threads; as many as CPUs and at least 4 if absent"
    )


def _attempt(call: Call, done: Callable[[Result], None]) -> None:
    done(attempt(call))


class Threads:
    """Runs calls on a bounded pool of threads; each sees the driver's context variables."""

    Options: type[BaseModel] = ThreadsOptions

    def __init__(self, options: ThreadsOptions) -> None:
        self.slots = options.workers
        self._pool = ThreadPoolExecutor(options.workers, thread_name_prefix="flowpipe")

    def submit(self, call: Call, done: Callable[[Result], None]) -> None:
        self._pool.submit(contextvars.copy_context().run, _attempt, call, done)

    def close(self) -> None:
        # After an interrupt a node may still be at work: nothing can stop it, and nothing waits for it.
        self._pool.shutdown(wait=False)
