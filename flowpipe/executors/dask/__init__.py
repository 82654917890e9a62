"""Where node functions run on Dask: calls become tasks of its scheduler, values that stay are its futures."""

from __future__ import annotations

import itertools
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from flowpipe.errors import FlowpipeError
from flowpipe.executors import Call, ClusterLost, Gathered, Remote, Resources, Result, Site, WorkerLost
from flowpipe.executors.dask import joining
from flowpipe.executors.dask.cluster import Cluster
from flowpipe.executors.dask.options import DaskOptions
from flowpipe.executors.machines import host_of, is_here
from flowpipe.executors.values import pack_argument, pack_function
from flowpipe.executors.worker import Ended, Job, trace_parent

if TYPE_CHECKING:
    from distributed import Future

    from flowpipe.executors.dask.attempt import Answer

# What is larger is brought to the cluster once, and not with every call.
_LARGE = 1_000_000


@dataclass(slots=True)
class _Pending:
    """A call from its submission to its answer."""

    call: Call
    done: Callable[[Result], None]
    at: datetime
    place: str | None = None
    future: Future | None = None
    ended: Ended | None = None
    at_worker: tuple[str | None, int] = (None, 0)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A value on a worker; it is freed there with the last reference to its future."""

    future: Future
    place: str | None = None
    nbytes: int = 0


class Dask:
    """Runs calls on the workers of a cluster; values stay there, and go from worker to worker."""

    Options: type[BaseModel] = DaskOptions
    requires = ("distributed",)
    isolated = True
    shares_disk: bool

    def __init__(self, options: DaskOptions, site: Site) -> None:
        from flowpipe.executors.dask import attempt

        self._attempt = attempt
        self._run = site.run
        self._numbers = itertools.count()
        self._pending: dict[str, _Pending] = {}
        self._ending: dict[str, str | None] = {}
        self._given: dict[int, Future] = {}
        # Talking to the cluster takes a while: the queue's thread does not wait for it, nor Dask's own for a value.
        self._talks = ThreadPoolExecutor(4, thread_name_prefix="flowpipe-dask")
        self._cluster = Cluster(options, site, self._lose, self._seen)
        self.shares_disk = self._cluster.shares_disk
        self._cluster.client.subscribe_topic(attempt.TOPIC, self._told)

    @staticmethod
    def most(options: DaskOptions) -> Resources | None:
        """What workers of our own have; of a running cluster only itself knows."""
        if options.address:
            return None
        gpus = options.options.get("resources", {}).get("GPU", 0)
        return Resources(options.workers * options.threads_per_worker, float("inf"), gpus)

    @staticmethod
    def answers(options: DaskOptions) -> str | None:
        """How many workers a running cluster has, all with our versions."""
        return joining.counted(options.address, options.options) if options.address else None

    @staticmethod
    def elsewhere(options: DaskOptions) -> str | None:
        """The scheduler's address, unless it is one of this machine's."""
        address = options.address
        return address if address and not is_here(host_of(address)) else None

    @property
    def capacity(self) -> Resources:
        there = self._cluster.capacity
        return replace(there, cpus=max(0, there.cpus - len(self._ending)))

    def submit(self, call: Call, done: Callable[[Result], None]) -> str:
        key = f"flowpipe-{self._run}-{call.node}-{next(self._numbers)}"
        pending = self._pending[key] = _Pending(call, done, datetime.now(UTC))
        try:
            if not self._cluster.is_there:
                raise self._cluster.gone()
            labels = self._cluster.labels(call)
            job, kept = self._job(call)
            pending.place = self._place(kept, labels)
            pending.future = self._cluster.client.submit(
                self._attempt.attempt,
                key,
                job,
                *(value.future for value in kept),
                key=key,
                pure=False,
                resources=labels or None,
                workers=pending.place,
                allow_other_workers=pending.place is not None,
            )
            pending.future.add_done_callback(self._done)
        except FlowpipeError as error:
            self._fail(key, error)
        return key

    def cancel(self, ticket: str) -> None:
        """End the worker process that runs it, where a nanny can start another."""
        pending = self._pending.pop(ticket, None)
        if pending and pending.future:
            self._ending[ticket] = pending.place
            self._talks.submit(self._end, ticket, pending.future)

    def fetch(self, remote: Remote) -> Any:
        answer = self._brought(remote.ref.future)
        if answer.packed is None:
            raise WorkerLost("a value was lost with its worker, and could not be made again")
        return answer.packed.unpack()

    def close(self) -> None:
        for key in list(self._pending):
            if self._cluster.is_there:
                self.cancel(key)
        self._pending.clear()
        self._talks.shutdown(wait=self._cluster.is_there)
        self._given.clear()
        self._cluster.close()

    def _place(self, kept: Sequence[_Kept], labels: Mapping[str, float]) -> str | None:
        """The free worker that has most of the arguments.

        Dask would put a call where its arguments are even behind one that runs there: it takes all our calls for alike.
        """
        taken = Counter(pending.place for pending in list(self._pending.values()))
        taken.update(list(self._ending.values()))
        held: Counter[str | None] = Counter()
        for value in kept:
            held[value.place] += value.nbytes
        free = self._cluster.free(labels, taken)
        return max(free, key=lambda place: (held[place], free[place]), default=None)

    def _job(self, call: Call) -> tuple[Job, list[_Kept]]:
        """A call as it travels, and the values in its places."""
        kept: list[_Kept] = []
        arguments = {name: self._packed(call.node, name, value, kept) for name, value in call.arguments.items()}
        return Job(call.node, pack_function(call.node, call.function), arguments, trace_parent()), kept

    def _packed(self, node: str, name: str, value: Any, kept: list[_Kept]) -> Any:
        if isinstance(value, Gathered):
            return Gathered(tuple(self._packed(node, name, each, kept) for each in value.values))
        if isinstance(value, Remote):
            found = value.ref
        elif (known := self._given.get(id(value))) and known.status == "finished":
            found = _Kept(known)
        else:
            packed = pack_argument(node, name, value)
            if packed.nbytes < _LARGE:
                return packed
            found = _Kept(self._scattered(value, packed))
        kept.append(found)
        return self._attempt.Place(len(kept) - 1)

    def _scattered(self, value: Any, packed: Any) -> Future:
        key = f"flowpipe-{self._run}-given-{next(self._numbers)}"
        future: Future = self._cluster.client.scatter({key: packed}, hash=False)[key]
        with suppress(TypeError):  # it cannot be watched, so its address may become another's
            weakref.finalize(value, self._given.pop, id(value), None).atexit = False
            self._given[id(value)] = future
        return future

    def _end(self, key: str, future: Future) -> None:
        with suppress(Exception):  # of a cluster that is gone
            self._cluster.end(key, future)
        del self._ending[key]

    def _told(self, event: tuple[float, dict[str, Any]]) -> None:
        """A worker tells how an attempt ended, just before Dask does; also one of another run's."""
        message = event[1]
        if pending := self._pending.get(message["key"]):
            pending.ended, pending.at_worker = self._attempt.ended(message), (message["worker"], message["nbytes"])

    def _done(self, future: Future) -> None:
        key = future.key
        pending = self._pending.get(key)
        if pending is None:
            return
        if future.status != "finished":
            self._fail(key, self._failure(future))
        elif pending.ended and pending.call.stays:
            self._answer(key, pending.ended.result(Remote(_Kept(future, *pending.at_worker), pending.ended.rows)))
        else:
            self._talks.submit(self._bring, key, future)

    def _bring(self, key: str, future: Future) -> None:
        pending = self._pending[key]
        try:
            answer = self._brought(future)
            value = answer.packed.unpack() if answer.packed else None
        except Exception as error:  # noqa: BLE001 - also one of a class that only the worker can make
            self._fail(key, error)
            return
        if answer.packed and pending.call.stays:
            value = Remote(_Kept(future), answer.ended.rows)
        self._answer(key, answer.ended.result(value))

    def _brought(self, future: Future) -> Answer:
        """The answer from the worker that has it.

        Raises:
            WorkerLost: no worker has it any more.
        """
        try:
            answer: Answer = future.result()
        except Exception as error:
            raise self._failure(future) from error
        return answer

    def _failure(self, future: Future) -> Exception:
        """Why a task has no answer of ours."""
        from distributed.scheduler import KilledWorker

        if not self._cluster.is_there:
            return self._cluster.gone()
        try:
            error = future.exception(timeout=1)
        except Exception as raised:  # noqa: BLE001 - it tells of some futures by raising
            error = raised
        if isinstance(error, KilledWorker):
            return WorkerLost(f"the Dask worker {error.last_worker.address} died while it ran the node")
        if error is None or isinstance(error, (CancelledError, OSError)):
            return WorkerLost("the Dask worker died, or its task was cancelled by somebody else")
        return FlowpipeError(
            f"Dask could not run the node: {type(error).__name__}: {error}",
            hint="look into the log of its workers; they need the packages that this process has",
        )

    def _seen(self, workers: Collection[str]) -> None:
        """Find calls whose worker died before they began: Dask waits for it, if there was no other at that moment."""
        lost = {key: call for key, call in list(self._pending.items()) if call.place and call.place not in workers}
        if not lost:
            return
        client = self._cluster.client
        busy = {key for keys in client.processing().values() for key in keys}
        for key, call in lost.items():
            if key not in busy and call.future and call.future.status == "pending":
                self._fail(key, WorkerLost(f"the Dask worker {call.place} died before it ran the node"))
                client.cancel([call.future])

    def _lose(self, error: ClusterLost) -> None:
        for key in list(self._pending):
            self._fail(key, error)

    def _fail(self, key: str, error: BaseException) -> None:
        if pending := self._pending.get(key):
            self._answer(key, Result(None, error, pending.at, (datetime.now(UTC) - pending.at).total_seconds()))

    def _answer(self, key: str, result: Result) -> None:
        pending = self._pending.pop(key, None)  # whoever takes it out answers
        if pending:
            pending.done(result)
