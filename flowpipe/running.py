"""What can be said of how a node is run: tried again, given up, what it takes of the machines."""

# Annotations are no texts here: Pydantic would compile each at every start.
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from flowpipe.fields import DURATION, Bytes, Duration, duration, written
from flowpipe.validation import MalformedError, Model

_ModelT = TypeVar("_ModelT", bound=Model)


def _some_time(text: str) -> str:
    if not duration(text):
        raise MalformedError(f'"{text}" is no time to run in', "write it like 30s, 10m or 2h")
    return text


Timeout = Annotated[
    Duration,
    AfterValidator(_some_time),
    written("duration", f"(?=[0-9]*[1-9]){DURATION}", "write it like 30s, 10m or 2h", "10m"),
]


class RetryConfig(Model):
    """How a failed node is tried again."""

    attempts: Annotated[int, Field(ge=1)] = Field(
        1, description="how often it is tried in all; 1 means once", examples=[3]
    )
    wait: Duration = Field("1s", description="how long to wait before the next attempt", examples=["500ms", "10s"])
    max_wait: Duration | None = Field(None, description="a bound of the wait, before `jitter`", examples=["1m"])
    exponential: bool = Field(False, description="wait twice as long after each attempt")
    jitter: Duration | None = Field(
        None, description="up to so much is added to each wait, at random", examples=["500ms"]
    )
    errors: list[str] = Field(
        ["Exception"],
        description="exceptions that are tried again: of Python, dotted, or of the project's modules",
        examples=[["ConnectionError", "requests.exceptions.Timeout", "rates.RateLimited"]],
    )
    not_errors: list[str] = Field(
        [], description="of these, exceptions that are not tried again", examples=[["FileNotFoundError"]]
    )


class ResourcesConfig(Model):
    """What a node takes of the machines while it runs."""

    cpus: Annotated[float, Field(gt=0)] = Field(1, description="CPUs; may be a fraction", examples=[2])
    memory: Bytes | None = Field(None, description="memory, in powers of 1,000", examples=["4GB"])
    gpus: Annotated[float, Field(ge=0)] = Field(0, description="GPUs; may be a fraction", examples=[1])


class NodeConfig(Model):
    """How one node is run, as far as something is said of it; null takes away what is said elsewhere."""

    retry: RetryConfig | None = Field(None, description="how it is tried again; merged over the pipeline's `retry`")
    timeout: Timeout | None = Field(None, description="the longest that each attempt may take")
    resources: ResourcesConfig | None = Field(None, description="what it takes of the machines while it runs")
    checkpoint: bool | None = Field(None, description="keep its frame, so that a re-run does not compute it again")
    always: bool = Field(False, description="run it even when nothing changed")


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
