"""What can be said of how a node is run: tried again, given up, what it takes of the machines."""

# Annotations are no texts here: Pydantic would compile each at every start.
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from flowpipe.fields import Bytes, Duration, duration
from flowpipe.validation import MalformedError, Model

_ModelT = TypeVar("_ModelT", bound=Model)


def _some_time(text: str) -> str:
    if not duration(text):
        raise MalformedError(f'"{text}" is no time to run in', "write it like 30s, 10m or 2h")
    return text


Timeout = Annotated[Duration, AfterValidator(_some_time)]


class RetryConfig(Model):
    """How a failed node is tried again."""

    attempts: Annotated[int, Field(ge=1)] = 1
    wait: Duration = "1s"
    max_wait: Duration | None = Field(None, description="a bound of the wait, before `jitter`")
    exponential: bool = Field(False, description="wait twice as long after each attempt")
    jitter: Duration | None = Field(None, description="up to so much is added to each wait, at random")
    errors: list[str] = Field(default_factory=lambda: ["Exception"], description="exception names that are tried again")
    not_errors: list[str] = Field(default_factory=list, description="of these, names that are not")


class ResourcesConfig(Model):
    """What a node takes of the machines while it runs."""

    cpus: Annotated[float, Field(gt=0)] = 1
    memory: Bytes | None = None
    gpus: Annotated[float, Field(ge=0)] = 0


class NodeConfig(Model):
    """How one node is run, as far as something is said of it; null takes away what is said elsewhere."""

    retry: RetryConfig | None = None
    timeout: Timeout | None = Field(None, description="of each attempt")
    resources: ResourcesConfig | None = None
    checkpoint: bool | None = Field(None, description="keep its frame, so that a re-run does not compute it again")
    always: bool = Field(False, description="run even when nothing changed")


def laid_over(lower: _ModelT, upper: Model) -> _ModelT:
    """What one says with what another says over it: models merge, all else replaces.

    >>> laid_over(RetryConfig(attempts=2, wait="5s"), RetryConfig(attempts=3)).wait
    '5s'
    """
    said = {}
    for name in upper.model_fields_set:
        old, new = getattr(lower, name), getattr(upper, name)
        said[name] = laid_over(old, new) if isinstance(old, Model) and isinstance(new, Model) else new
    return lower.model_copy(update=said)
