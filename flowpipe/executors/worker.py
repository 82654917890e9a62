"""What runs on a worker, in whatever process of whatever cluster: one attempt of one node, which always comes back."""

from __future__ import annotations

import os
import pickle
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from flowpipe.executors import Gathered, Result
from flowpipe.executors.travelling import TravellingError
from flowpipe.executors.values import Carried, Packed, pack_result


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt as it travels.

    `function` is what `pack_function` gave. Arguments are `Carried`, such as `Packed`, `Gathered` of them, or plain.
    `trace` is what `trace_parent` gave in the driver.
    """

    node: str
    function: bytes
    arguments: Mapping[str, Any]
    trace: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended, without its value: small."""

    error: TravellingError | None
    started_at: datetime
    seconds: float
    worker: str
    rows: int | None = None
    warning: str | None = None

    def result(self, value: Any) -> Result:
        """It as what the queue takes; `value` counts unless there was an error."""
        error = self.error.error() if self.error else None
        return Result(
            None if error else value, error, self.started_at, self.seconds, worker=self.worker, warning=self.warning
        )


def run(job: Job) -> tuple[Ended, Packed | None]:
    """Run a job here; the value, if there is one, is packed."""
    started_at, clock = datetime.now(UTC), time.perf_counter()
    packed, error = None, None
    try:
        with _traced(job.trace):
            function = pickle.loads(job.function)  # noqa: S301 - made by the driver
            value = function(**{name: _unpacked(argument) for name, argument in job.arguments.items()})
        packed = pack_result(job.node, value)
    except BaseException as raised:  # noqa: BLE001 - also sys.exit, a panic of Polars, a late Ctrl-C: it must come back
        error = TravellingError.of(raised)
    ended = Ended(error, started_at, time.perf_counter() - clock, label())
    return (ended if packed is None else replace(ended, rows=packed.rows, warning=packed.warning)), packed


def _unpacked(argument: Any) -> Any:
    if isinstance(argument, Gathered):
        return [_unpacked(value) for value in argument.values]
    return argument.unpack() if isinstance(argument, Carried) else argument


@cache
def label() -> str:
    """What this process is called where people read it."""
    return f"pid {os.getpid()} on {platform.node()}"


def trace_parent() -> dict[str, str]:
    """The OpenTelemetry span that is open here, if anybody uses it."""
    carrier: dict[str, str] = {}
    if "opentelemetry" in sys.modules:
        from opentelemetry import propagate

        propagate.inject(carrier)
    return carrier


@contextmanager
def _traced(carrier: Mapping[str, str]) -> Iterator[None]:
    """Let spans of the block hang below the driver's."""
    if not carrier:
        yield
        return
    from opentelemetry import context, propagate

    token = context.attach(propagate.extract(carrier))
    try:
        yield
    finally:
        context.detach(token)
