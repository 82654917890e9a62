"""The frozen models of every YAML file under `conf/`, and the one configuration they become."""

# Annotations are no texts here: Pydantic would compile each at every start.
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from flowpipe.conffile import Document
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import ConfigError, Problem, Where
from flowpipe.fields import Bytes, DatasetName, Duration, Name, TimeZone
from flowpipe.layers import value
from flowpipe.pipelinefile import Hooks, PipelineConfig
from flowpipe.running import RetryConfig
from flowpipe.validation import Model, check, validate

_ModelT = TypeVar("_ModelT", bound=BaseModel)


class BreakerConfig(Model):
    """When a store that fails run after run is left alone, and for how long."""

    failures: Annotated[int, Field(ge=1)] = Field(5, description="failing runs in a row after which it is left alone")
    cool_down: Duration = Field("10m", description="how long it is left alone before one run tries it again")


class StoreConfig(Model):
    """One store of a profile; the adapter validates the rest."""

    model_config = ConfigDict(frozen=True, extra="allow")

    adapter: str = Field(description="what kind of store it is; the other keys are the adapter's own")
    breaker: BreakerConfig | None = Field(
        None, description="leave the store alone for a while when it fails again and again; none by default"
    )


class ExecutorConfig(Model):
    """Where node functions run; the executor validates the rest."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str = Field("threads", description="where node functions run; the other keys are the executor's own")


class CheckpointsConfig(Model):
    """How long the frames of nodes are kept, and how much of them."""

    expire: Duration = Field("7d", description="how long a frame is kept after it was last used")
    max_size: Bytes = Field("10GB", description="beyond so much the least used frames go first")


class Defaults(Model):
    """What every pipeline begins with."""

    params: dict[str, Any] = Field({}, description="values of parameters", examples=[{"late_minutes": 15}])
    config: dict[str, Any] = Field(
        {}, description="Hamilton's configuration: it decides the graph (`@config.when`)", examples=[{"region": "eu"}]
    )
    retry: RetryConfig = Field(RetryConfig(), description="how nodes are tried again when they fail")
    executor: ExecutorConfig = Field(ExecutorConfig(), description="where node functions run; threads by default")
    hooks: Hooks = Field(
        [],
        description="lifecycle adapters of Hamilton that watch, as module.Class or with their arguments",
        examples=[["hamilton.lifecycle.default.PrintLn"]],
    )
    memory_budget: Bytes | None = Field(
        None, description="memory for rows, of each process; what sorts, joins and groups need beyond it goes to disk"
    )
    deadline: Duration | None = Field(None, description="the longest that a run may take", examples=["2h"])
    max_parallel_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="how many steps run at once; as many as the executor has CPUs if absent", examples=[4]
    )


class ProjectConfig(Model):
    """`conf/project.yml`."""

    name: str = Field(description="the project's name", examples=["nycflights"])
    profile: Name = Field("dev", description="the profile that is used without --profile and FLOWPIPE_PROFILE")
    timezone: TimeZone = Field("UTC", description="of every grain and of all windows that name none")
    tests: str = Field("tests", description="the folder whose tests `flowpipe test` runs", examples=["tests/pipelines"])
    defaults: Defaults = Field(
        Defaults(), description="what every pipeline begins with; pipelines, profiles and flags are stronger"
    )


class ProfileConfig(Defaults):
    """One `conf/profiles/NAME.yml`."""

    extends: str | None = Field(None, description="the profile that this one is merged over", examples=["dev"])
    protected: bool = Field(False, description="inherit no store through `extends`")
    stores: dict[Name, dict[str, Any]] = Field(
        {},
        description="the places of datasets, by the names that the catalog uses",
        examples=[{"lake": {"adapter": "delta", "url": "data/lake"}}],
    )
    scratch: Name | None = Field(
        None,
        description="a files or delta store that keeps the frames of `checkpoint:`; the project's folder if absent",
        examples=["lake"],
    )
    checkpoints: CheckpointsConfig = Field(
        CheckpointsConfig(), description="how long the frames of `checkpoint:` are kept, and how much of them"
    )


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
