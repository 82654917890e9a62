"""Where node functions run on Ray: calls become its tasks, values that stay are objects in its store."""

from __future__ import annotations

import itertools
import math
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any

from pydantic import BaseModel

from flowpipe.errors import FlowpipeError
from flowpipe.executors import Call, Gathered, Remote, Resources, Result, Site, WorkerLost
from flowpipe.executors.machines import host_of, is_here
from flowpipe.executors.ray.attempt import Place, entry, parts_of
from flowpipe.executors.ray.cluster import Cluster
from flowpipe.executors.ray.failures import gone, told
from flowpipe.executors.ray.options import RayOptions
from flowpipe.executors.values import Packed, pack_argument, pack_function
from flowpipe.executors.worker import Ended, Job, trace_parent

# What is larger is put into the store, where it is read without a copy.
_LARGE = 100_000
# Ray makes a value that was lost with its node again only where it may run its task again, and the first time it may
# try that on the node that is gone. So it also runs again what killed its worker, before the queue hears of it.
_RAYS_OWN_TRIES = 2
_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class _Pending:
    """A call from its submission to its answer."""

    call: Call
    done: Callable[[Result], None]
    at: datetime
    value: Any


class Ray:
    """Runs calls on the workers of a cluster; values stay there, and go from node to node.

    Ray's threads only say that a call ended. One thread of ours takes the answers, and looks whether the cluster is
    there while there are none.
    """

    Options: type[BaseModel] = RayOptions
    requires = ("ray",)
    isolated = True
    shares_disk: bool

    def __init__(self, options: RayOptions, site: Site) -> None:
        self._version = version("flowpipe-etl")
        self._cluster = Cluster(options)
        self.shares_disk = self._cluster.is_local or self._cluster.sees(site.scratch)
        self._function = self._made(site)
        self._tickets = itertools.count()
        self._pending: dict[int, _Pending] = {}
        self._given: dict[int, Any] = {}  # what the driver has put into the store
        self._lost: FlowpipeError | None = None
        self._headers: SimpleQueue[tuple[int, Future[bytes]] | None] = SimpleQueue()
        self._listener = threading.Thread(target=self._listen, name="flowpipe-ray", daemon=True)
        self._listener.start()

    @staticmethod
    def most(options: RayOptions) -> Resources | None:
        """What an instance of our own has; a cluster is asked when a node needs it."""
        gpus = options.options.get("num_gpus", math.inf)
        return Resources(options.workers, math.inf, gpus) if options.address == "local" else None

    @staticmethod
    def answers(options: RayOptions) -> str | None:
        """What a running cluster has."""
        if options.address == "local":
            return None
        cluster = Cluster(options)
        try:
            return f"{cluster.capacity.cpus:g} CPUs at {cluster.address}"
        finally:
            cluster.close()

    @staticmethod
    def elsewhere(options: RayOptions) -> str | None:
        """The head's address, unless it is one of this machine's."""
        address = options.address
        return address if address not in {"local", "auto"} and not is_here(host_of(address)) else None

    @property
    def capacity(self) -> Resources:
        return self._cluster.capacity

    def submit(self, call: Call, done: Callable[[Result], None]) -> int:
        ticket = next(self._tickets)
        try:
            self._refuse(call)
            job, values = self._job(call)
            header, value = self._function.options(**_takes(call.takes), name=call.node).remote(job, *values)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises of its connection is the call's answer
            done(_failed(error if isinstance(error, FlowpipeError) else self._told(error), datetime.now(UTC)))
            return ticket
        self._pending[ticket] = _Pending(call, done, datetime.now(UTC), value)
        header.future().add_done_callback(lambda future: self._headers.put((ticket, future)))
        return ticket

    def cancel(self, ticket: int) -> None:
        """Kill the worker process that runs it."""
        import ray

        if (pending := self._pending.pop(ticket, None)) and self._lost is None:
            with suppress(Exception):  # it may have ended meanwhile
                ray.cancel(pending.value, force=True)

    def fetch(self, remote: Remote) -> Any:
        try:
            return self._value(remote.ref)
        except Exception as error:  # noqa: BLE001 - told apart there
            raise (error if isinstance(error, FlowpipeError) else self._told(error)) from None

    def close(self) -> None:
        for ticket in list(self._pending):
            self.cancel(ticket)
        self._headers.put(None)
        self._listener.join(5)
        self._given.clear()
        self._cluster.close()

    def _made(self, site: Site) -> Any:
        import ray

        paths = tuple(sys.path) if self._cluster.is_local else ()
        function = entry(self._version, pickle.dumps(site.code, 5), paths)
        known: Any = ray.remote(num_returns=2, max_retries=_RAYS_OWN_TRIES, retry_exceptions=False)(function)
        return known

    def _refuse(self, call: Call) -> None:
        if self._lost:
            raise self._lost
        if there := self._cluster.largest(call.takes):
            takes = f"{call.takes.cpus:g} CPUs, {call.takes.memory / 1e9:.1f} GB and {call.takes.gpus:g} GPUs"
            raise FlowpipeError(
                f"node {call.node} asks for {takes}, and no node of the Ray cluster has that: {there}",
                hint="lower its resources, or start a larger Ray node",
            )

    def _job(self, call: Call) -> tuple[bytes, list[Any]]:
        """A call as it travels, and what Ray brings to its places."""
        values: list[Any] = []
        arguments = {name: self._packed(call.node, name, value, values) for name, value in call.arguments.items()}
        job = Job(call.node, pack_function(call.node, call.function), arguments, trace_parent())
        return pickle.dumps(job, 5), values

    def _packed(self, node: str, name: str, value: Any, values: list[Any]) -> Any:
        if isinstance(value, Gathered):
            return Gathered(tuple(self._packed(node, name, each, values) for each in value.values))
        if isinstance(value, Remote):
            values.append(value.ref)
        else:
            known = self._given.get(id(value))
            if known is None:
                packed = pack_argument(node, name, value)
                if packed.nbytes < _LARGE:
                    return packed
                known = self._put(value, packed)
            values.append(known)
        return Place(len(values) - 1)

    def _put(self, value: Any, packed: Packed) -> Any:
        import ray

        ref = ray.put(parts_of(packed))
        with suppress(TypeError):  # it cannot be watched, so its address may become another's
            weakref.finalize(value, self._given.pop, id(value), None).atexit = False
            self._given[id(value)] = ref
        return ref

    def _listen(self) -> None:
        while True:
            try:
                landed = self._headers.get(timeout=_LOOK)
            except Empty:
                self._look()
                continue
            if landed is None:
                return
            ticket, future = landed
            if pending := self._pending.get(ticket):
                result = self._result(pending, future)
                if self._pending.pop(ticket, None):  # nobody has cancelled it
                    pending.done(result)

    def _result(self, pending: _Pending, future: Future[bytes]) -> Result:
        try:
            ended: Ended = pickle.loads(future.result())  # noqa: S301 - made by a worker of ours
            if ended.error:
                return ended.result(None)
            if pending.call.stays:
                return ended.result(Remote(pending.value, ended.rows))
            return ended.result(self._value(pending.value))
        except Exception as error:  # noqa: BLE001 - all kinds are told apart there
            return _failed(error if isinstance(error, FlowpipeError) else self._told(error), pending.at)

    def _value(self, ref: Any) -> Any:
        """A value in this process; copied, for the store goes with the cluster."""
        import ray

        while True:
            if self._lost:
                raise self._lost
            try:
                data, buffers, *rest = ray.get(ref, timeout=_LOOK)
            except ray.exceptions.GetTimeoutError:
                self._look()
                continue
            return Packed(bytes(data), tuple(map(bytes, buffers)), *rest).unpack()

    def _look(self) -> None:
        """See whether the cluster is there; if not, answer all that waits for it."""
        if self._lost or self._cluster.is_there():
            return
        self._lost = gone(self._cluster.address)
        for ticket in list(self._pending):
            if pending := self._pending.pop(ticket, None):
                pending.done(_failed(self._lost, pending.at))

    def _told(self, error: BaseException) -> BaseException:
        found = told(error, self._cluster.address, self._version)
        if isinstance(found, WorkerLost):
            self._given.clear()  # so that the next attempt brings what was given anew, if it was that
        return found


def _takes(resources: Resources) -> dict[str, float]:
    return {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "memory": resources.memory}


def _failed(error: BaseException, started_at: datetime) -> Result:
    return Result(None, error, started_at, (datetime.now(UTC) - started_at).total_seconds())
