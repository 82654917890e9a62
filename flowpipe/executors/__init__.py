"""Where node functions run: what an executor must do, and how one is found by name.

An executor is a class named by an entry point of the group `flowpipe.executors`. Built-in ones come in through the same
door. Nothing here knows a concrete executor; `flowpipe.executors.queue` decides what runs when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from flowpipe import sharedmemory
from flowpipe.config import Configuration, ExecutorConfig, validate_options
from flowpipe.errors import ConfigError, FlowpipeError, Problem, unknown
from flowpipe.extras import install_line, missing
from flowpipe.importer import Importer


@dataclass(frozen=True, slots=True)
class Resources:
    """What a call takes of the machines while it runs, or what there is of it: CPUs, bytes of memory, GPUs."""

    cpus: float = 1
    memory: float = 0
    gpus: float = 0


ONE_CPU = Resources()


@dataclass(frozen=True, slots=True)
class Remote:
    """A value that stayed where it was made; `ref` is its executor's own.

    It is freed when the last reference to it goes. `rows` is the length of a frame that knows it.
    """

    ref: Any
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """The values of one node for every item of a fan-out, in order; its function gets a list."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of one node's function.

    Arguments are plain values, what this executor gave as `Remote`, and `Gathered` of either. A result that `stays` may
    be a `Remote`; any other is needed in the driver.
    """

    node: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    stays: bool = True
    takes: Resources = ONE_CPU


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended: with a value, or with an error.

    `worker` names where it ran, if that was not the driver's process. `warning` is what its user should know.
    """

    value: Any
    error: BaseException | None
    started_at: datetime
    seconds: float
    worker: str | None = None
    warning: str | None = None


class WorkerLost(Exception):
    """The process that ran a call died; the call may be tried again."""


class ClusterLost(FlowpipeError):
    """The cluster itself is gone: its scheduler or head does not answer."""


@dataclass(frozen=True, slots=True)
class Site:
    """What every executor is given besides its options.

    `run` names the run, `scratch` is a folder of its own on the driver's disk, made when it is needed; `code` are the
    project's modules, which functions refer to by the names of their private package.
    """

    run: str
    scratch: Path
    code: Importer


class Executor(Protocol):
    """A place where calls run. Made once per run in the driver; its methods may be called from any thread.

    `capacity` is what calls in flight may take together; the queue submits no more, so that nothing waits in a second
    queue. `isolated` says that calls run in other processes: values travel, and `cancel` kills; `shares_disk` that
    these see the driver's files under the same paths.

    A class may say with `requires` which modules of an extra it cannot do without: `check` looks for them. Its own
    module must be importable without them.
    """

    Options: type[BaseModel]
    isolated: bool
    shares_disk: bool

    def __init__(self, options: Any, site: Site) -> None:
        """`options` is an instance of the class's `Options`.

        Raises:
            ConfigError: a library is missing, or the cluster cannot be reached; says what to do.
        """

    @property
    def capacity(self) -> Resources:
        """May change, with the workers of a cluster."""
        ...

    def submit(self, call: Call, done: Callable[[Result], None]) -> Any:
        """Run a call, now or soon; `done` takes its result, on any thread, once.

        What it gives is a ticket for `cancel`. Whatever goes wrong is in the result: `WorkerLost` where the process
        died, `ClusterLost` where nothing will run any more.
        """
        ...

    def cancel(self, ticket: Any) -> None:
        """Give a call up: nobody waits for its result; end it, if that can be done."""
        ...

    def fetch(self, remote: Remote) -> Any:
        """The value that stayed away.

        Raises:
            WorkerLost: it is gone, and cannot be made again.
        """
        ...

    def close(self) -> None:
        """End what still runs, if that can be done, and leave nothing behind; a cluster of others' stays."""
        ...


@dataclass(frozen=True, slots=True)
class Prospect:
    """What can be told of an executor before it starts.

    `most` is what it can ever have, None where only the running cluster knows. `overdue` is what becomes of a node that
    it cannot stop at its timeout. `elsewhere` is the address of workers that are on other machines.
    """

    name: str
    isolated: bool
    most: Resources | None
    overdue: str
    elsewhere: str | None = None


@dataclass(frozen=True, slots=True)
class NodeStart:
    """A node is given to the executor for the first time. Keep no reference to its arguments beyond its end."""

    node: str
    at: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """A node ended; `value` is what its consumers get, None unless it is done. Keep no reference to it.

    Where it was tried more than once, `seconds` are those from its first start to its end.
    """

    node: str
    started_at: datetime
    seconds: float
    attempts: int
    outcome: Literal["done", "failed"]
    value: Any = None
    error: BaseException | None = None
    worker: str | None = None
    warning: str | None = None


NodeProgress = NodeStart | NodeEnd


@cache
def installed() -> Mapping[str, Any]:
    """The entry points of all executors by name, not loaded yet."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="flowpipe.executors")}


def problems(config: ExecutorConfig, configuration: Configuration) -> tuple[Problem, ...]:
    """What is wrong with an executor's name and options; starts nothing."""
    try:
        _options(config, configuration)
    except ConfigError as error:
        return error.problems
    return ()


def prospect(config: ExecutorConfig, configuration: Configuration) -> Prospect | None:
    """What can be told of an executor that is not started; None where something is wrong with it.

    Its class may have `most(options)`, which gives `Resources` or None, `elsewhere(options)`, and a text `overdue`.
    """
    try:
        options = _options(config, configuration)
    except ConfigError:
        return None
    kind = _class(config, configuration)
    told = {
        name: getattr(kind, name)(options) if hasattr(kind, name) and configuration.is_resolved("executor") else None
        for name in ("most", "elsewhere")
    }
    return Prospect(config.type, kind.isolated, overdue=getattr(kind, "overdue", ""), **told)


def answer(config: ExecutorConfig, configuration: Configuration) -> str:
    """What an executor has; a cluster that runs is asked, and none is started.

    Its class may have `answers(options)`, which gives what the cluster says, None where it would be one of our own.

    Raises:
        ConfigError: something is wrong with its options, or the cluster does not answer.
    """
    options, kind = _options(config, configuration), _class(config, configuration)
    told = kind.answers(options) if hasattr(kind, "answers") else None
    most = kind.most(options) if hasattr(kind, "most") else None
    return f"{config.type}, " + (told or (f"{most.cpus:g} at once on this machine" if most else "on this machine"))


def create(config: ExecutorConfig, configuration: Configuration, site: Site) -> Executor:
    """The executor of a profile; `close` it in the end. What killed runs left in shared memory goes.

    Raises:
        ConfigError: there is no such executor, its options are wrong, or its library is not installed.
    """
    options = _options(config, configuration)
    sharedmemory.sweep()
    made: Executor = _class(config, configuration)(options, site)
    return made


def _options(config: ExecutorConfig, configuration: Configuration) -> BaseModel:
    options: BaseModel = validate_options(
        _class(config, configuration).Options, config.model_extra or {}, configuration, "executor"
    )
    return options


def _class(config: ExecutorConfig, configuration: Configuration) -> Any:
    points, where = installed(), configuration.where("executor", "type")
    if config.type not in points:
        raise ConfigError([unknown("executor", config.type, points, where)])
    point = points[config.type]
    try:
        found = point.load()
    except ImportError as error:
        text = f'executor "{config.type}" cannot be loaded: {error}'
        raise ConfigError([Problem(text, where, install_line(point))]) from error
    if libraries := missing(getattr(found, "requires", ())):
        text = f'executor "{config.type}" needs {" and ".join(libraries)}, which is not installed'
        raise ConfigError([Problem(text, where, install_line(point))])
    return found
