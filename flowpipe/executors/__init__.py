"""Where node functions run: what an executor must do, and how one is found by name.

An executor is a class named by an entry point of the group `flowpipe.executors`. Built-in ones come in through the same
door. Nothing here knows a concrete executor; `flowpipe.executors.queue` decides what runs when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from flowpipe.config import Configuration, ExecutorConfig, RetryConfig, validate_options
from flowpipe.errors import ConfigError, Problem, unknown


@dataclass(frozen=True, slots=True)
class Call:
    """One node's function with its arguments."""

    node: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    retry: RetryConfig


@dataclass(frozen=True, slots=True)
class Result:
    """How a call ended: with a value, or with an error after so many attempts."""

    value: Any
    error: BaseException | None
    attempts: int
    started_at: datetime
    seconds: float


class Executor(Protocol):
    """A place where calls run. Made once per run in the driver, used by one thread at a time.

    `slots` is how many calls may be in flight: no more are submitted, so that nothing waits in a second queue.
    """

    Options: type[BaseModel]
    slots: int

    def __init__(self, options: Any) -> None:
        """`options` is an instance of the class's `Options`."""

    def submit(self, call: Call, done: Callable[[Result], None]) -> None:
        """Run `flowpipe.executors.retry.attempt` on the call, now or soon; `done` takes its result, on any thread."""
        ...

    def close(self) -> None:
        """Let go of threads, processes and connections; does not wait for a call that was given up."""
        ...


@dataclass(frozen=True, slots=True)
class NodeStart:
    """A node was given to the executor."""

    node: str
    at: datetime


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """A node's call ended; `value` is what its consumers get, None unless it is done. Keep no reference to it."""

    node: str
    started_at: datetime
    seconds: float
    attempts: int
    outcome: Literal["done", "failed"]
    value: Any = None


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


def create(config: ExecutorConfig, configuration: Configuration) -> Executor:
    """The executor of a profile; `close` it in the end.

    Raises:
        ConfigError: there is no such executor, or its options are wrong.
    """
    options = _options(config, configuration)
    made: Executor = installed()[config.type].load()(options)
    return made


def _options(config: ExecutorConfig, configuration: Configuration) -> BaseModel:
    points = installed()
    if config.type not in points:
        raise ConfigError([unknown("executor", config.type, points, configuration.where("executor", "type"))])
    options: BaseModel = validate_options(
        points[config.type].load().Options, config.model_extra or {}, configuration, "executor"
    )
    return options
