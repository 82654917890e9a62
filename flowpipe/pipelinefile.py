"""One `conf/pipelines/NAME.yml` as it is written: its keys, and the short forms of some."""

# Annotations are no texts here: Pydantic would compile each at every start.
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator

from flowpipe import partition
from flowpipe.fields import Name, NodeName, TimeZone
from flowpipe.interpolable import IN_A_TEXT, is_one, ruled
from flowpipe.partition import Every
from flowpipe.running import NodeConfig, RetryConfig, Timeout
from flowpipe.validation import MalformedError, Model


def _requires_nothing(schema: dict[str, Any]) -> None:
    del schema["required"]


class ReadConfig(Model):
    """A read that differs from its parameter's name or default."""

    model_config = ConfigDict(json_schema_extra=_requires_nothing)

    dataset: Name = Field(description="the dataset that is read; the parameter's name if absent", examples=["flights"])
    trigger: bool = Field(True, description="whether a new version makes the outputs stale")
    watermark: str | None = Field(
        None,
        description="a column that grows: only rows above what was loaded are read",
        examples=["updated_at"],
    )


class HookConfig(Model):
    """One of Hamilton's lifecycle adapters by its dotted name; its constructor checks the rest."""

    model_config = ConfigDict(frozen=True, extra="allow")

    hook: str = Field(
        description="the class, as module.Class, installed or the project's; the other keys are its arguments",
        examples=["hamilton.lifecycle.default.PrintLn", "timing.Timer"],
    )


def _hooks(value: Any) -> Any:
    return [{"hook": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


Hooks = Annotated[list[HookConfig], BeforeValidator(_hooks, json_schema_input_type=list[str | HookConfig])]


def _window_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


_MONTH, _DAY = "(?:0?[1-9]|1[0-2])", "(?:0?[1-9]|[12][0-9]|3[01])"
_STARTS: dict[Every, tuple[str, str]] = {
    "day": (f"[0-9]{{4}}-{_MONTH}-{_DAY}", "2013-02-01"),
    "month": (f"[0-9]{{4}}-{_MONTH}(?:-0?1)?", "2013-02"),
    "year": ("[0-9]{4}(?:-0?1){0,2}", "2013"),
}


def _starts(every: Every) -> dict[str, Any]:
    """What editors are told of `start` and `end`: each begins a window."""
    pattern, example = _STARTS[every]
    said = {"pattern": f"^{pattern}$|{IN_A_TEXT}", "patternErrorMessage": f"write it like {example}"}
    types = ["string", "null", *(["integer"] if every == "year" else [])]
    one = {"type": types, "errorMessage": f"write it like {example}", **said}
    return {"if": is_one("every", every), "then": {"properties": {"start": one, "end": one}}}


_WindowText = Annotated[
    str,
    BeforeValidator(_window_text),
    WithJsonSchema({"$comment": "window", "type": ["string", "integer"], "minimum": 1, "maximum": 9999}),
]


class PartitionsConfig(Model):
    """The windows a pipeline runs over; `end` is inclusive, absent means the last closed window."""

    model_config = ConfigDict(json_schema_extra=ruled([_starts(every) for every in _STARTS]))

    every: Every = Field(description="the length of a window; each is a step")
    timezone: TimeZone = Field(
        "UTC", description="the time zone whose calendar cuts the windows; the project's `timezone` if absent"
    )
    start: _WindowText = Field(description="the first window", examples=["2013-01"])
    end: _WindowText | None = Field(
        None, description="the last window, included; the last that has closed if absent", examples=["2013-12"]
    )

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


_Names = Annotated[list[Name], Field(json_schema_extra={"uniqueItems": True})]


class PipelineConfig(Model):
    """One `conf/pipelines/NAME.yml`, with project and profile merged in."""

    modules: Annotated[list[str], Field(min_length=1)] = Field(
        description="modules of `pipelines/` whose functions are the graph", examples=[["daily_delays"]]
    )
    params: dict[str, Any] = Field(
        {},
        description="values of parameters, checked against their annotations; a mapping becomes a dataclass or model",
        examples=[{"late_minutes": 15}],
    )
    config: dict[str, Any] = Field(
        {}, description="Hamilton's configuration: it decides the graph (`@config.when`)", examples=[{"region": "eu"}]
    )
    reads: Annotated[
        dict[Name, ReadConfig], BeforeValidator(_reads, json_schema_input_type=dict[Name, Name | ReadConfig])
    ] = Field(
        {},
        description="parameter: dataset, where the names differ; or a mapping that says more of the read",
        examples=[{"orders": "raw_orders"}, {"orders": {"watermark": "updated_at"}}],
    )
    writes: Annotated[
        dict[NodeName, Name], BeforeValidator(_writes, json_schema_input_type=_Names | dict[NodeName, Name])
    ] = Field(
        description="the nodes that are published: a list, or node: dataset where the names differ",
        examples=[["daily_delays"], {"delays": "daily_delays"}],
    )
    partitions: PartitionsConfig | None = Field(
        None, description="the windows to run over; one step for all that is read if absent"
    )
    retry: RetryConfig = Field(RetryConfig(), description="how its nodes are tried again when they fail")
    timeout: Timeout | None = Field(None, description="the longest that each step may take as a whole")
    nodes: dict[NodeName, NodeConfig] = Field({}, description="how single nodes are run")
    always: bool = Field(False, description="run every time, also when nothing changed")
    hooks: Hooks = Field(
        [],
        description="lifecycle adapters of Hamilton that watch, as module.Class or with their arguments",
        examples=[["hamilton.lifecycle.default.PrintLn"]],
    )
