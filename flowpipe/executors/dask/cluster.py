"""One Dask cluster while a run lasts: who its workers are, whether it is still there, and leaving it as it was."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from flowpipe.errors import FlowpipeError
from flowpipe.executors import Call, ClusterLost, Resources, Site
from flowpipe.executors.dask import joining
from flowpipe.executors.dask.options import DaskOptions
from flowpipe.fields import duration

if TYPE_CHECKING:
    from distributed import Client

_BEAT = 1.0
_FAREWELL = 5.0


@dataclass(frozen=True, slots=True)
class Worker:
    """What one worker has; `labels` are what Dask calls its resources."""

    threads: int
    memory: float
    labels: Mapping[str, float]

    def has(self, labels: Mapping[str, float]) -> bool:
        """Whether it declares as much."""
        return all(self.labels.get(label, 0) >= amount for label, amount in labels.items())


class Cluster:
    """A cluster and our client of it.

    `lost` is called once, when nothing will run there any more; `seen` again and again with the workers of the moment.
    """

    client: Client

    def __init__(
        self,
        options: DaskOptions,
        site: Site,
        lost: Callable[[ClusterLost], None],
        seen: Callable[[Collection[str]], None],
    ) -> None:
        self._lost = lost
        self._tell = seen
        self._patience = duration(options.wait_for_workers).total_seconds()
        self._closing = threading.Event()
        self._is_own = not options.address
        self.error: ClusterLost | None = None
        with ExitStack() as leaving:
            self._silence = leaving.enter_context(joining.quiet())
            target: Any = options.address or leaving.enter_context(joining.started(options, site))
            self.address = options.address or str(target.scheduler_address)
            self.client = leaving.enter_context(joining.connected(target, {} if self._is_own else options.options))
            joining.agree(self.client, self.address, self._patience)
            leaving.enter_context(self._shipped(site))
            self.shares_disk = self._is_own or self._sees(site)
            self._workers = self._seen()
            watch = threading.Thread(target=self._watched, name="flowpipe-dask", daemon=True)
            watch.start()
            leaving.callback(watch.join)
            self._leaving = leaving.pop_all()

    @property
    def capacity(self) -> Resources:
        workers = self._workers.values()
        return Resources(
            cpus=sum(worker.threads for worker in workers),
            memory=sum(worker.memory for worker in workers),
            gpus=sum(worker.labels.get("GPU", 0) for worker in workers),
        )

    def labels(self, call: Call) -> dict[str, float]:
        """What a call needs of one worker, as Dask counts it.

        Raises:
            FlowpipeError: no worker says that it has so much, so the call would wait for ever.
        """
        takes = call.takes
        wanted = {"cpus": takes.cpus if takes.cpus > 1 else 0, "memory": takes.memory, "GPU": takes.gpus}
        wanted = {label: amount for label, amount in wanted.items() if amount}
        workers = self._workers.values()
        if self._is_own:  # its workers say what they have, and what asks for more runs alone
            most = {label: max((w.labels[label] for w in workers if label in w.labels), default=0) for label in wanted}
            wanted = {
                label: amount if label == "GPU" else min(amount, most[label])
                for label, amount in wanted.items()
                if label == "GPU" or most[label]
            }
        if not workers or any(worker.has(wanted) for worker in workers):
            return wanted
        text = " ".join(f"{label}={amount:g}" for label, amount in wanted.items())
        hint = f'start workers with: dask worker {self.address} --resources "{text}"'
        if self._is_own:
            hint = f"tell it in the profile: executor: {{options: {{resources: {{GPU: {takes.gpus:g}}}}}}}"
        raise FlowpipeError(f"node {call.node} takes {text}, and no Dask worker declares so much", hint=hint)

    def end(self, key: str, future: Any) -> None:
        """Give a task up, and end the process that runs it; Dask runs elsewhere what else was running there."""
        from flowpipe.executors.dask.attempt import end_process

        where = [worker for worker, keys in self.client.processing().items() if key in keys]
        self.client.cancel([future], force=True)
        if where:
            self.client.run(end_process, workers=where, nanny=True, on_error="ignore")
            self._workers = self._seen()

    def lose(self, reason: str, hint: str) -> ClusterLost:
        """Nothing will run there any more."""
        if self.error is None:
            self.error = ClusterLost(reason, hint=hint)
            self._lost(self.error)
        return self.error

    def gone(self) -> ClusterLost:
        """The scheduler does not answer any more."""
        text = f"the Dask scheduler at {self.address} is gone"
        return self.lose(text, "start it again, and run the same command again to go on")

    @property
    def is_there(self) -> bool:
        return self.error is None and self.client.status == "running"

    def close(self) -> None:
        """Leave it; end it, if it is ours."""
        self._closing.set()
        if self.error:
            self._silence.lasts = True
        self._leaving.close()

    @contextmanager
    def _shipped(self, site: Site) -> Iterator[None]:
        """The project's modules are on the workers, also on those that come later."""
        from flowpipe.executors.dask.attempt import Code

        # Named for the run: two runs of the same content must not take it away from each other.
        name = f"flowpipe-{site.run}-{site.code.package}"
        self.client.register_plugin(Code(site.code, is_quiet=self._is_own), name)
        try:
            yield
        finally:
            if self.is_there and not self._is_own:
                _within(_FAREWELL, lambda: self.client.unregister_worker_plugin(name))

    def _sees(self, site: Site) -> bool:
        """Whether every worker finds a file of ours where we have it."""
        site.scratch.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=site.scratch, prefix="dask-") as file:
            return all(self.client.run(os.path.exists, file.name).values())

    def _seen(self) -> Mapping[str, Worker]:
        workers = self.client.scheduler_info()["workers"].items()
        return {
            address: Worker(each["nthreads"], each["memory_limit"] or float("inf"), each["resources"])
            for address, each in workers
            if each["status"] == "running"
        }

    def free(self, labels: Mapping[str, float], taken: Counter[str | None]) -> dict[str, int]:
        """The workers that can take a call with these labels at once, and how many threads are free there."""
        return {
            address: worker.threads - taken[address]
            for address, worker in self._workers.items()
            if worker.threads > taken[address] and worker.has(labels)
        }

    def _watched(self) -> None:
        last_seen = time.monotonic()
        while not self._closing.wait(_BEAT):
            if not self.is_there:
                self.gone()
                return
            with suppress(OSError):
                self._workers = self._seen()
            if self._workers:
                last_seen = time.monotonic()
                with suppress(Exception):  # of a cluster that goes just now: the next look tells
                    self._tell(self._workers)
            elif time.monotonic() - last_seen > self._patience:
                problem = joining.no_workers(self.address, self._patience)
                self.lose(problem.message, problem.hint or "")
                return


def _within(seconds: float, work: Callable[[], Any]) -> None:
    """Do something that may never come back; its failure is nobody's."""

    def quietly() -> None:
        with suppress(Exception):
            work()

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    thread.join(seconds)
