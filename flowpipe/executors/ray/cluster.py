"""The Ray cluster of a run: joined, or started; silent; and seen to be there while nodes run."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flowpipe.errors import ConfigError, Problem
from flowpipe.executors import Resources
from flowpipe.executors.machines import is_here
from flowpipe.executors.ray.instance import Folder
from flowpipe.executors.ray.options import RayOptions

_PATIENCE = 5
_LOOK = 30
# A head with fault tolerance may start again meanwhile; one of our own does not.
_SILENCE = 8.0
_SILENCE_OF_OURS = 2.0
_NEW_NODES = 5.0
# What nodes printed comes through files that Ray looks at now and then.
_LAST_LINES = 0.3
# What Ray reads from the environment of the process that starts or joins: no usage report, nothing on the terminal, no
# endless tries of what runs out of memory.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_task_oom_retries": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class Cluster:
    """The connection of this process to a cluster; one that others have made stays.

    Raises:
        ConfigError: it cannot be reached, or started.
    """

    def __init__(self, options: RayOptions) -> None:
        import ray

        self._folder: Folder | None = None
        self._is_ours = not (options.address == "auto" and ray.is_initialized())
        self._is_client = options.address.startswith("ray://")
        self._silent_since: float | None = None
        self._counted = 0.0
        if self._is_ours:
            self._connect(options)
        elif options.options:
            raise ConfigError(
                [
                    Problem(
                        "Ray is already initialised in this process, so that options change nothing",
                        hint="give them to ray.init there, or leave them out",
                    )
                ]
            )
        self._resources: tuple[Resources, ...] = ()
        address = options.address.removeprefix("ray://")
        self.address = address if self._is_client else ray.get_runtime_context().gcs_address

    @property
    def is_local(self) -> bool:
        """Whether it is an instance of our own."""
        return self._folder is not None

    @property
    def capacity(self) -> Resources:
        nodes = self._nodes()
        return Resources(
            sum(node.cpus for node in nodes), sum(node.memory for node in nodes), sum(node.gpus for node in nodes)
        )

    def largest(self, wanted: Resources) -> str | None:
        """What no node has of what is wanted, in words; None: one has it all."""
        nodes = self._nodes()
        if not nodes or any(
            wanted.cpus <= node.cpus and wanted.memory <= node.memory and wanted.gpus <= node.gpus for node in nodes
        ):
            return None
        return ", ".join(
            f"{node.cpus:g} CPUs, {node.memory / 1e9:.1f} GB and {node.gpus:g} GPUs" for node in dict.fromkeys(nodes)
        )

    def sees(self, folder: Path) -> bool:
        """Whether every node finds a folder where we have it."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes: Any = ray.nodes  # untyped
        there = [node["NodeID"] for node in nodes() if node["Alive"] and not is_here(node["NodeManagerAddress"])]
        if there:
            folder.mkdir(parents=True, exist_ok=True)
        look = ray.remote(num_cpus=0, max_retries=0)(os.path.exists)
        try:
            strategies = [NodeAffinitySchedulingStrategy(node, soft=False) for node in there]
            asked = [look.options(scheduling_strategy=each).remote(str(folder)) for each in strategies]
            return all(ray.get(asked, timeout=_LOOK))
        except Exception:  # noqa: BLE001 - what cannot be found out is not so
            return False

    def is_there(self) -> bool:
        """Whether head and local node have answered lately; asks them."""
        if _answers(self.address, 2) and (self._is_client or _listens(_socket())):
            self._silent_since = None
            return True
        self._silent_since = self._silent_since or time.monotonic()
        return time.monotonic() - self._silent_since < (_SILENCE_OF_OURS if self.is_local else _SILENCE)

    def close(self) -> None:
        """Leave a cluster; end one of our own with all its processes and files."""
        import ray

        if not self._is_ours:
            return
        time.sleep(_LAST_LINES)
        # Without its head it can wait for ever.
        leaving = threading.Thread(target=ray.shutdown, daemon=True)
        leaving.start()
        leaving.join(20)
        if self._folder:
            self._folder.remove()
        # How it spoke to this cluster must not decide how what we start speaks to another.
        for name in [name for name in os.environ if name.startswith("RAY_") and name not in self._environment]:
            del os.environ[name]

    def _nodes(self) -> tuple[Resources, ...]:
        import ray

        nodes: Any = ray.nodes  # untyped
        if time.monotonic() - self._counted > _NEW_NODES:
            with suppress(Exception):  # it is asked again; whether the head is lost, is found out elsewhere
                alive = [node["Resources"] for node in nodes() if node["Alive"]]
                self._resources = tuple(
                    Resources(node.get("CPU", 0.0), node.get("memory", 0.0), node.get("GPU", 0.0)) for node in alive
                )
            self._counted = time.monotonic()
        return self._resources

    def _connect(self, options: RayOptions) -> None:
        import ray

        settings: dict[str, Any] = {"log_to_driver": True, "logging_level": logging.CRITICAL, **options.options}
        self._environment = frozenset(os.environ)
        address = _found(options.address)
        if address == "local":
            self._folder = Folder()
            settings |= {
                "address": "local",
                "num_cpus": options.workers,
                "include_dashboard": False,
                "object_store_memory": options.object_store_memory,
                "_temp_dir": str(self._folder.path),
            }
        else:
            settings["address"] = options.address  # for what it finds itself, Ray also finds the token
        try:
            with _quiet():
                ray.init(**settings)
        except Exception as error:
            if self._folder:
                self._folder.remove()
            raise ConfigError([_refused(options.address, error)]) from error
        if not self._is_client:
            _echo_only_nodes()


def _found(address: str) -> str:
    """Where to connect to; Ray itself would try a closed port for minutes.

    Raises:
        ConfigError: nothing answers there.
    """
    if address == "local":
        return address
    if address.startswith("ray://"):
        if find_spec("grpc") is None:
            text = f"{address} needs Ray's client, which is not installed"
            raise ConfigError([Problem(text, hint='pip install "ray[client]"')])
    elif address == "auto":
        from ray._private.services import canonicalize_bootstrap_address_or_die

        try:
            address = canonicalize_bootstrap_address_or_die("auto")
        except ConnectionError:
            raise ConfigError([_unreachable("auto", "none runs on this machine")]) from None
    if not _answers(address.removeprefix("ray://"), _PATIENCE):
        raise ConfigError([_unreachable(address, "nothing answers")])
    return address


def _unreachable(address: str, reason: str) -> Problem:
    return Problem(
        f"ray cluster {address} cannot be reached: {reason}",
        hint="start one with `ray start --head`, or write `address: local`",
    )


def _refused(address: str, error: Exception) -> Problem:
    text = " ".join(str(error).split())
    if "Version mismatch" in text:
        return Problem(
            f"ray cluster {address} has other versions: {text}", hint="use its versions of Ray and Python here"
        )
    if "calling ray.init() again" in text or "ray.init twice" in text:
        return Problem("Ray is already initialised in this process", hint="write `address: auto` to use it")
    if isinstance(error, TypeError | ValueError) or "Unknown keyword" in text:
        return Problem(f"Ray does not take the executor's options: {text}", hint="options are arguments of ray.init")
    return Problem(f"ray cluster {address} cannot be reached: {text[:300] or type(error).__name__}")


def _answers(address: str, timeout: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout).close()
    except OSError:
        return False
    return True


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as door:
        return door.connect_ex(path) not in {errno.ECONNREFUSED, errno.ENOENT}  # others it gives when it is busy


def _socket() -> str:
    from ray._private.worker import global_worker

    node: Any = global_worker.node
    return str(node.raylet_socket_name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray's environment while the block runs, and our own signals after it: Ray puts its own in their place."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    os.environ.update(added)
    sys.stderr.flush()
    terminal, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # where Ray's library tells of its log level, and of each try
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(silence)
        for name in added:
            os.environ.pop(name, None)
        for number, old in before.items():
            signal.signal(number, old)


def _echo_only_nodes() -> None:
    """Let what nodes print through, as they print it, and nothing of what Ray's own processes say."""
    from ray._private import ray_logging, worker

    dispatcher = ray_logging.global_worker_stdstream_dispatcher
    dispatcher.remove_handler("ray_print_logs")
    dispatcher.remove_handler("flowpipe")
    dispatcher.add_handler("flowpipe", _echo)
    worker.print_to_stdstream = _nothing


def _echo(data: Mapping[str, Any]) -> None:
    if str(data["pid"]).isdigit():
        stream = sys.stderr if data["is_err"] else sys.stdout
        stream.write("".join(f"{line}\n" for line in data["lines"]))
        stream.flush()


def _nothing(*_: object, **__: object) -> None:
    """Instead of Ray's printing of errors that are told otherwise."""
