"""The frozen models of every YAML file under `conf/`, and the one configuration they become."""

# Annotations are no texts here: Pydantic would compile each at every start.
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from flowpipe import partition
from flowpipe.conffile import Document
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import ConfigError, Problem, Where
from flowpipe.fields import Bytes, DatasetName, Duration, Name, NodeName, TimeZone
from flowpipe.layers import value
from flowpipe.partition import Every
from flowpipe.running import NodeConfig, RetryConfig, Timeout
from flowpipe.validation import MalformedError, Model, check, validate

_ModelT = TypeVar("_ModelT", bound=BaseModel)


class ReadConfig(Model):
    """A read that differs from its parameter's name or default."""

    dataset: Name
    trigger: bool = Field(True, description="whether a new version makes the outputs stale")
    watermark: str | None = Field(None, description="a column that grows: only rows above what was loaded are read")


class HookConfig(Model):
    """One of Hamilton's lifecycle adapters by its dotted name; its constructor checks the rest."""

    model_config = ConfigDict(frozen=True, extra="allow")
    hook: str


def _hooks(value: Any) -> Any:
    return [{"hook": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


Hooks = Annotated[list[HookConfig], BeforeValidator(_hooks)]


def _window_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


class PartitionsConfig(Model):
    """The windows a pipeline runs over; `end` is inclusive, absent means the last closed window."""

    every: Every
    timezone: TimeZone = "UTC"
    start: Annotated[str, BeforeValidator(_window_text)]
    end: Annotated[str, BeforeValidator(_window_text)] | None = None

    @field_validator("start", "end")
    @classmethod
    def _window(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is None or "every" not in info.data:
            return text
        try:
            window = partition.parse(text, info.data["every"], info.data.get("timezone", "UTC"))
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            raise MalformedError(message, hint) from None
        start = info.data.get("start")
        if start and window.start < partition.parse(start, info.data["every"], info.data.get("timezone", "UTC")).start:
            raise MalformedError(f'the end "{text}" is before the start "{start}"', "write the later window as end")
        return text


def _reads(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    named = {name: {"dataset": read} if isinstance(read, str) else read for name, read in value.items()}
    return {name: {"dataset": name, **read} if isinstance(read, dict) else read for name, read in named.items()}


def _writes(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return value
    if twice := sorted({name for name in value if value.count(name) > 1}):
        raise MalformedError(f'"{twice[0]}" is written twice', "name each node once")
    return {name: name for name in value}


class PipelineConfig(Model):
    """One `conf/pipelines/NAME.yml`, with project and profile merged in."""

    modules: Annotated[list[str], Field(min_length=1)]
    params: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict, description="Hamilton's configuration: it decides the graph")
    reads: Annotated[dict[Name, ReadConfig], BeforeValidator(_reads)] = Field(
        default_factory=dict, description="parameter: dataset, where the names differ"
    )
    writes: Annotated[dict[NodeName, Name], BeforeValidator(_writes)] = Field(
        description="node: dataset; a list when the names are the same"
    )
    partitions: PartitionsConfig | None = None
    retry: RetryConfig = RetryConfig()
    timeout: Timeout | None = Field(None, description="of each step as a whole")
    nodes: dict[NodeName, NodeConfig] = Field(default_factory=dict)
    always: bool = False
    hooks: Hooks = Field(default_factory=list, description="lifecycle adapters of Hamilton that watch, as module.Class")


class BreakerConfig(Model):
    """When a store that fails run after run is left alone, and for how long."""

    failures: Annotated[int, Field(ge=1)] = 5
    cool_down: Duration = "10m"


class StoreConfig(Model):
    """One store of a profile; the adapter validates the rest."""

    model_config = ConfigDict(frozen=True, extra="allow")
    adapter: str
    breaker: BreakerConfig | None = None


class ExecutorConfig(Model):
    """Where node functions run; the executor validates the rest."""

    model_config = ConfigDict(frozen=True, extra="allow")
    type: str = "threads"


class CheckpointsConfig(Model):
    """How long the frames of nodes are kept, and how much of them."""

    expire: Duration = Field("7d", description="since they were last used")
    max_size: Bytes = "10GB"


class Defaults(Model):
    """What every pipeline begins with."""

    params: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict)
    retry: RetryConfig = RetryConfig()
    executor: ExecutorConfig = ExecutorConfig()
    hooks: Hooks = Field(default_factory=list, description="lifecycle adapters of Hamilton that watch, as module.Class")
    memory_budget: Bytes | None = Field(None, description="memory for rows, such as `2GB`; what is more goes to disk")
    deadline: Duration | None = Field(None, description="the longest that a run may take, such as `2h`")
    max_parallel_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="how many steps run at once; as many as the executor has CPUs if absent"
    )


class ProjectConfig(Model):
    """`conf/project.yml`."""

    name: str
    profile: Name = "dev"
    timezone: TimeZone = Field("UTC", description="of every grain and windows that name none")
    tests: str = Field("tests", description="the folder whose tests `flowpipe test` runs")
    defaults: Defaults = Defaults()


class ProfileConfig(Defaults):
    """One `conf/profiles/NAME.yml`."""

    extends: str | None = None
    protected: bool = Field(False, description="inherits no stores")
    stores: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    scratch: Name | None = Field(None, description="the store in which the frames of nodes are kept")
    checkpoints: CheckpointsConfig = CheckpointsConfig()


class Tree(Model):
    """All files and flags merged: what a configuration is made of."""

    project: ProjectConfig
    stores: dict[Name, StoreConfig]
    executor: ExecutorConfig
    memory_budget: Bytes | None = None
    deadline: Duration | None = None
    max_parallel_steps: Annotated[int, Field(ge=1)] | None = None
    scratch: Name | None = None
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    catalog: dict[DatasetName, DatasetConfig]
    pipelines: dict[Name, PipelineConfig]


@dataclass(frozen=True)
class Configuration:
    """A project with one profile: every file and flag merged and checked, and the place of every value.

    Where there are `problems`, only what is valid is here; `flawed` are the datasets that are left out.
    """

    root: Path
    project: ProjectConfig
    profile: str
    stores: Mapping[str, StoreConfig] = field(repr=False)
    executor: ExecutorConfig = field(repr=False)
    catalog: Mapping[str, DatasetConfig] = field(repr=False)
    pipelines: Mapping[str, PipelineConfig] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)
    document: Document = field(repr=False)
    problems: tuple[Problem, ...] = ()
    flawed: frozenset[str] = frozenset()
    memory_budget: int | None = None
    """In bytes; None: the engines take what they like."""
    deadline: timedelta | None = None
    """Of a whole run; None: it may take as long as it likes."""
    max_parallel_steps: int | None = None
    scratch: str | None = None
    checkpoints: CheckpointsConfig = field(default_factory=CheckpointsConfig)
    sources: Path | None = None
    """The folder that holds `pipelines/`; None: it is `root`."""

    @property
    def code(self) -> Path:
        """The folder of the project's Python modules."""
        return (self.sources or self.root) / "pipelines"

    def where(self, *path: str | int) -> Where | None:
        """The place of a value, or of what is nearest around it, such as `("catalog", "flights", "mode")`."""
        return self.document.where(path)

    def where_key(self, *path: str | int) -> Where | None:
        """The place of a key, or of what is nearest around it."""
        return self.document.where_key(path)

    def where_written(self, pipeline: str, node: str) -> Where | None:
        """The place of a node among what a pipeline writes, which is a list or a mapping."""
        path = ("pipelines", pipeline, "writes")
        written = value(self.document, path)
        return self.where(*path, written.index(node) if isinstance(written, list) else node)

    def is_resolved(self, *path: str | int) -> bool:
        """Whether a value is known: no `${...}` in it stands as it was written."""
        return not any(place[: len(path)] == path for place in self.document.unresolved)

    def is_secret(self, *path: str | int) -> bool:
        """Whether a value, or one inside it, came through `${...}` or is a store's dsn, password or options."""
        return self.document.is_secret(path)


def validate_options(
    options: type[_ModelT], value: Mapping[str, Any], configuration: Configuration, *path: str | int
) -> _ModelT:
    """The rest of a store or executor at `path` as the options of its adapter or executor.

    Raises:
        ConfigError: all that is wrong with them.
    """
    result, problems = validate(options, dict(value), configuration.document, path)
    if problems:
        raise ConfigError(problems)
    return result  # type: ignore[no-any-return]  # `validate` gives an `options` where there are no problems


def coerce(value: Any, annotation: Any) -> Any:
    """A YAML value checked and converted to a Python annotation; a dataclass or pydantic model is built of a mapping.

    Raises:
        ValueError: the value is not of that type, or no value of that type can be written in YAML.

    >>> coerce(1, float)
    1.0
    >>> coerce("ten", int)
    Traceback (most recent call last):
    ...
    ValueError: "ten" is not a whole number (int)
    """
    if annotation is inspect.Parameter.empty or annotation is Any:
        return value
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
    # A model of the user's that says what it does with unknown keys is left to it.
    extra: Literal["forbid"] | None = None if "extra" in getattr(annotation, "model_config", {}) else "forbid"
    try:
        result, flaws = check(annotation, value, extra=extra)
    except (PydanticUserError, PydanticUndefinedAnnotation):
        raise ValueError(f"no value of type {name} can be written in YAML") from None
    if flaws:
        told = (f"{'.'.join(map(str, f.path))}: {f.message}" if f.path else f"{f.message} ({name})" for f in flaws)
        raise ValueError("; ".join(told))
    return result
