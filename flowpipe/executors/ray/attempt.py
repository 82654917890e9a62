"""What runs on a Ray worker: one attempt of one call.

Between driver and workers go only bytes, tuples and buffers, so that nothing of flowpipe is unpickled before it is
known to be the driver's version, and before Polars' threads are bounded.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from flowpipe.executors import Gathered
from flowpipe.executors.values import Packed
from flowpipe.executors.worker import Job, run
from flowpipe.importer import Importer


@dataclass(frozen=True, slots=True)
class Place:
    """Stands in a job for a value that Ray brings to the worker."""

    index: int


def entry(version: str, code: bytes, paths: Sequence[str]) -> Callable[..., Any]:
    """The one function that Ray knows: a worker process gets it, and the project's modules with it, once.

    It is pickled by value, so it imports what it needs where it runs. `paths` are the driver's for modules, if its disk
    is the worker's.
    """

    def flowpipe_node(job: bytes, *values: Any) -> tuple[bytes, Any]:
        import os

        # As Ray bounds the threads of others. A worker reads it when Polars is imported.
        os.environ.setdefault("POLARS_MAX_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
        import sys
        from importlib.metadata import version as version_of

        sys.path.extend(path for path in paths if path not in sys.path)
        if version_of("flowpipe-etl") != version:
            raise ImportError(f"it has version {version_of('flowpipe-etl')}")
        from flowpipe.executors.ray.attempt import answer

        return answer(code, job, values)

    return flowpipe_node


def answer(code: bytes, job: bytes, values: Sequence[Any]) -> tuple[bytes, Any]:
    """How an attempt ended, in bytes, and its value in parts; it raises nothing."""
    _install(code)
    found: Job = pickle.loads(job)  # noqa: S301 - made by the driver
    filled = {name: _filled(argument, values) for name, argument in found.arguments.items()}
    ended, packed = run(replace(found, arguments=filled))
    if _was_tried():
        warnings = (ended.warning, "its worker process died, and Ray ran it again")
        ended = replace(ended, warning="; ".join(filter(None, warnings)))
    return pickle.dumps(ended, 5), packed and parts_of(packed)


def parts_of(packed: Packed) -> tuple[Any, ...]:
    """A packed value as Ray keeps it: the buffers lie in its store, and are read there without a copy."""
    parts: tuple[Any, ...] = packed.__reduce_ex__(5)[1]
    return parts


def _was_tried() -> bool:
    from ray._private.worker import global_worker

    worker: Any = global_worker
    return bool(worker.core_worker.get_current_task_attempt_number())


@cache
def _install(code: bytes) -> None:
    importer: Importer = pickle.loads(code)  # noqa: S301 - made by the driver
    if importer not in sys.meta_path:
        sys.meta_path.insert(0, importer)


def _filled(argument: Any, values: Sequence[Any]) -> Any:
    if isinstance(argument, Gathered):
        return Gathered(tuple(_filled(value, values) for value in argument.values))
    return Packed(*values[argument.index]) if isinstance(argument, Place) else argument
