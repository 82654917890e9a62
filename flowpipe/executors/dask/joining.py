"""How a Dask cluster is reached, or started on this machine; what is wrong with it is told before anything runs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from flowpipe.errors import ConfigError, FlowpipeError, Problem
from flowpipe.executors import Site
from flowpipe.executors.dask.options import DaskOptions

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

# What values and functions need to mean the same on both sides.
_PACKAGES = ("flowpipe-etl", "polars", "pyarrow", "cloudpickle")
_CHECKED = ("python", *_PACKAGES, "dask", "distributed")
_PATIENCE = 10
_LOOK = 5
_FAREWELL = 5.0
# A scheduler listens for browsers even without one.
_NO_DASHBOARD = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}


@dataclass
class Silence:
    """Whether Dask stays silent afterwards: one that was lost still complains when nobody listens any more."""

    lasts: bool = False


# Dask's client has a level of its own.
_LOGGERS = ("distributed", "distributed.client")


@contextmanager
def quiet() -> Iterator[Silence]:
    """Without Dask's own words, which would be a wall of lines beside our error; at the level of debug they stay."""
    logs = [logging.getLogger(name) for name in _LOGGERS]
    silence, before = Silence(), [log.level for log in logs]
    if not logs[0].isEnabledFor(logging.DEBUG):
        for log in logs:
            log.setLevel(logging.CRITICAL + 1)
    yield silence
    if not silence.lasts:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)


@contextmanager
def started(options: DaskOptions, site: Site) -> Iterator[LocalCluster]:
    """Worker processes of our own on this machine, each with a nanny in this process; they end with it.

    Raises:
        ConfigError: the options are not Dask's.
    """
    import dask

    settings = {
        # A nanny sets its variables in this process; those that bound the threads of a worker would bound ours.
        "distributed.nanny.pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": 65536},
        # A worker that was lost and came back would be closed for good, if just then it is lost again.
        "distributed.deploy.lost-worker-timeout": "52w",
    }
    with dask.config.set(settings):
        cluster = _local_cluster(options, site)
        try:
            yield cluster
        finally:
            # Workers are asked only shortly: what still runs there is wanted by nobody.
            with suppress(Exception):
                cluster.sync(_end_all, list(cluster.workers.values()), callback_timeout=_FAREWELL)
            cluster.close(timeout=_FAREWELL)


def _local_cluster(options: DaskOptions, site: Site) -> LocalCluster:
    from distributed import LocalCluster
    from distributed.worker_memory import parse_memory_limit

    given, logger = dict(options.options), logging.getLogger(__name__)
    threads, workers = options.threads_per_worker, options.workers
    try:
        memory = parse_memory_limit(given.pop("memory_limit", "auto"), threads, workers, logger=logger)
        # The queue counts what calls take together, so each worker may give all the CPUs to one call.
        labels = {"cpus": threads * workers} | ({"memory": memory} if memory else {})
        share = os.environ.get("POLARS_MAX_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
        settings = {
            "silence_logs": logging.CRITICAL,
            "local_directory": str(site.scratch / "dask"),
            "dashboard_address": None,
            **given,
            "env": {"POLARS_MAX_THREADS": share} | given.get("env", {}),
            # What was beside a call that was ended deserves another worker; what lost two, the queue counts.
            "scheduler_kwargs": {"allowed_failures": 1, **_NO_DASHBOARD, **given.get("scheduler_kwargs", {})},
            "resources": labels | given.get("resources", {}),
            "memory_limit": memory,
        }
        with _deaf_children():
            return LocalCluster(n_workers=workers, threads_per_worker=threads, processes=True, **settings)
    except (TypeError, ValueError) as error:
        raise ConfigError([_not_taken(error)]) from error
    except RuntimeError as error:
        if isinstance(error.__cause__, TypeError):
            raise ConfigError([_not_taken(error.__cause__)]) from error
        text = f"Dask cannot start worker processes: {error.__cause__ or error}"
        raise FlowpipeError(text, hint="look at the executor's options, and at what this machine has left") from error


async def _end_all(nannies: Sequence[Any]) -> None:
    await asyncio.gather(*(nanny.close(timeout=0.5) for nanny in nannies))


@contextmanager
def connected(target: LocalCluster | str, options: Mapping[str, Any]) -> Iterator[Client]:
    """A client of a cluster.

    Raises:
        ConfigError: it cannot be reached, or the options are not Dask's.
    """
    from distributed import Client

    try:
        if isinstance(target, str):
            _knock(target)
        client = Client(target, set_as_default=False, timeout=_PATIENCE, **options)
    except (OSError, ImportError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        reason = f"no answer in {_PATIENCE} s" if isinstance(error, TimeoutError) else reason
        hint = "look whether the scheduler runs, and whether this machine may connect to its port"
        raise ConfigError([Problem(f"dask scheduler {target} cannot be reached: {reason}", hint=hint)]) from error
    except (TypeError, ValueError) as error:
        raise ConfigError([_not_taken(error)]) from error
    # It waits so long to send several calls at once, and its default of 10 ms is longer than most other ways take.
    client.scheduler_comm.interval = 0.001
    try:
        yield client
    finally:
        with suppress(Exception):  # of a cluster that is gone
            client.close(timeout=_FAREWELL)


def agree(client: Client, address: str, patience: float) -> None:
    """See that there are workers, and that they and the scheduler have what this process has.

    Raises:
        ConfigError: they have not.
    """
    from distributed.exceptions import WorkerStartTimeoutError

    try:
        client.wait_for_workers(1, timeout=patience)
    except WorkerStartTimeoutError:
        raise ConfigError([no_workers(address, patience)]) from None
    found = client.get_versions(packages=_PACKAGES)
    ours = found["client"]["packages"]
    places = {f"the Dask scheduler {address}": found["scheduler"]}
    places |= {f"the Dask worker {worker}": versions for worker, versions in found["workers"].items()}
    problems = [
        problem
        for place, versions in places.items()
        if (problem := _difference(place, ours, versions.get("packages", {})))
    ]
    if problems:
        raise ConfigError(problems)


def counted(address: str, options: Mapping[str, Any]) -> str:
    """How many workers a running cluster has.

    Raises:
        ConfigError: it cannot be reached, or is not of our versions.
    """
    with quiet(), connected(address, options) as client:
        agree(client, address, _LOOK)
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
    return f"{workers} {'worker' if workers == 1 else 'workers'} at {address}"


def no_workers(address: str, patience: float) -> Problem:
    """That a cluster has nobody to run anything."""
    return Problem(
        f"the Dask cluster at {address} has had no worker for {patience:.0f} s",
        hint=f"start one: dask worker {address}",
    )


def _difference(place: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Problem | None:
    differing = [name for name in _CHECKED if _version(name, ours) != _version(name, theirs)]
    if not differing:
        return None
    told = ", ".join(f"{name} {_version(name, theirs) or '(none)'}" for name in differing)
    needed = ", ".join(f"{name} {_version(name, ours)}" for name in differing)
    return Problem(f"{place} has {told}", hint=f"give it what this process has: {needed}")


def _version(name: str, packages: Mapping[str, Any]) -> str | None:
    found = packages.get(name)
    return ".".join(found.split(".")[:2]) if found and name == "python" else found


def _knock(address: str) -> None:
    """Dask would try a closed port again and again, and believe whatever answers.

    Raises:
        OSError: no scheduler answers.
    """
    from distributed.comm import get_address_host_port

    scheme = address.rpartition("://")[0] or "tcp"
    if scheme not in {"tcp", "tls"}:
        return
    with socket.create_connection(get_address_host_port(address), timeout=_PATIENCE) as door:
        if scheme == "tcp":  # where both sides begin with the length of what they say of themselves
            greeting = door.recv(8, socket.MSG_WAITALL)
            if len(greeting) < 8 or int.from_bytes(greeting, "little") > 1_000_000:
                raise OSError("what answers there is no Dask scheduler")


def _not_taken(error: Exception) -> Problem:
    hint = "options are arguments of distributed.Client if there is an address, else of distributed.LocalCluster"
    return Problem(f"Dask does not take the executor's options: {error}", hint=hint)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes that are started meanwhile, and by threads that are, do not see the terminal's Ctrl-C: it is ours."""
    resource_tracker.ensure_running()  # which would take the block away where it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
