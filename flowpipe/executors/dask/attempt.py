"""What runs on a Dask worker: one attempt of one call, and the project's modules that it needs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from dask.sizeof import sizeof
from distributed import WorkerPlugin, get_worker

from flowpipe.executors import Gathered, WorkerLost
from flowpipe.executors.travelling import TravellingError
from flowpipe.executors.values import Packed
from flowpipe.executors.worker import Ended, Job, label, run
from flowpipe.importer import Importer

# One topic for all runs: a scheduler keeps the newest events of each topic that it has ever seen.
TOPIC = "flowpipe"


@dataclass(frozen=True, slots=True)
class Place:
    """Stands in a job for a value that Dask brings to the worker."""

    index: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker keeps under a task's key."""

    ended: Ended
    packed: Packed | None


def attempt(key: str, job: Job, *values: Answer | Packed) -> Answer:
    """Run a job whose places are filled with values; the driver is told how it ended without asking.

    It raises nothing: Dask would write the arguments of a task that failed into its worker's log.
    """
    try:
        filled = {name: _filled(argument, values) for name, argument in job.arguments.items()}
    except WorkerLost as lost:
        return Answer(Ended(TravellingError.of(lost), datetime.now(UTC), 0.0, label()), None)
    answer = Answer(*run(replace(job, arguments=filled)))
    if answer.packed is not None:
        get_worker().log_event(TOPIC, _message(key, answer.ended, answer.packed.nbytes))
    return answer


def _filled(argument: Any, values: Sequence[Answer | Packed]) -> Any:
    if isinstance(argument, Gathered):
        return Gathered(tuple(_filled(value, values) for value in argument.values))
    if not isinstance(argument, Place):
        return argument
    value = values[argument.index]
    if isinstance(value, Packed):
        return value
    if value.packed is None:
        raise WorkerLost("a value was lost with its worker, and could not be made again")
    return value.packed


def _message(key: str, ended: Ended, nbytes: int) -> Mapping[str, Any]:
    """An end without an error, of what Dask takes for a message; it writes over `worker`."""
    return {
        "key": key,
        "started_at": ended.started_at.timestamp(),
        "seconds": ended.seconds,
        "label": ended.worker,
        "rows": ended.rows,
        "nbytes": nbytes,
        "warning": ended.warning,
    }


def ended(message: Mapping[str, Any]) -> Ended:
    """What a worker told."""
    started_at = datetime.fromtimestamp(message["started_at"], UTC)
    return Ended(None, started_at, *(message[name] for name in ("seconds", "label", "rows", "warning")))


class Code(WorkerPlugin):  # type: ignore[misc]  # distributed's plugins are untyped
    """A project's modules on every worker as long as a run needs them, also on those that come later."""

    def __init__(self, code: Importer, *, is_quiet: bool) -> None:
        self.code = code
        self._is_quiet = is_quiet

    def setup(self, worker: Any) -> None:
        del worker
        sizeof.register(Packed, _size)
        if self._is_quiet:
            logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)
        if self.code not in sys.meta_path:
            sys.meta_path.insert(0, self.code)

    def teardown(self, worker: Any) -> None:
        if any(isinstance(other, Code) and other.code == self.code for other in worker.plugins.values()):
            return
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder != self.code]
        package = self.code.package
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]


def _size(packed: Packed) -> int:
    return packed.nbytes


async def end_process(dask_worker: Any) -> None:
    """On a nanny: end its worker's process, whatever that does; the nanny starts another."""
    await dask_worker.kill(timeout=0.5)
