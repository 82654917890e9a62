"""Plain values checked against Python types as strictly as JSON, with every mistake told in plain words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_json

from flowpipe.conffile import Document, KeyPath
from flowpipe.errors import Problem, nearest, unknown

_KINDS = {
    "int": ("a whole number", "write digits without quotes, like 20"),
    "float": ("a number", "write it without quotes, like 0.5"),
    "decimal": ("a number", "write it without quotes, like 0.5"),
    "bool": ("true or false", "write true or false, without quotes"),
    "string": ("text", "put it in quotes"),
    "date": ("a date", "write it like 2013-01-31"),
    "datetime": ("a date and time", "write it like 2013-01-31T12:30:00"),
    "time": ("a time of day", "write it like 12:30"),
    "time_delta": ("a duration", "write it in ISO 8601, like PT10M"),
    "none": ("null", "leave it out"),
    **dict.fromkeys(("list", "tuple", "set", "frozen_set"), ("a list", "write it like [a, b]")),
    **dict.fromkeys(
        ("dict", "mapping", "model", "model_attributes", "dataclass"), ("a mapping", "write it like {key: value}")
    ),
}
_KIND = re.compile(rf"({'|'.join(_KINDS)})_(type|parsing|required|object_invalid|from_\w+)")
_MOST_KEYS = 8
_BOUNDS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
}


class Model(BaseModel):
    """A frozen model that takes no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclasses.dataclass(frozen=True)
class Flaw:
    """One mistake in a value: where inside it, what, and what to do; `shown` is the wrong value as `message` has it.

    `bounded`: it is a number on the wrong side of a bound, which says little without its key.
    """

    path: KeyPath
    message: str
    hint: str | None = None
    at_key: bool = False
    shown: str = ""
    bounded: bool = False


class MalformedError(ValueError):
    """What a field's own check raises to give a hint with its message."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def check(
    annotation: Any, value: Any, *, extra: Literal["forbid"] | None = None, by_name: bool | None = None
) -> tuple[Any, tuple[Flaw, ...]]:
    """The value as the annotation's type, and its flaws; the value is None where there are flaws.

    "2013-01-31" is a date and 1 a float, but "1" is no int and "no" no bool. `extra` overrides what the type says of
    unknown keys, `by_name` whether a field with an alias may also be given by its name.

    Raises:
        PydanticUserError: there is no way to write a value of this type in YAML.
    """
    content = to_json(value, inf_nan_mode="constants")
    try:
        return TypeAdapter(annotation).validate_json(content, strict=True, extra=extra, by_name=by_name), ()
    except ValidationError as error:
        groups: dict[tuple[KeyPath, str], list[ErrorDetails]] = {}
        for details in error.errors(include_url=False):
            path = _path(details["loc"], value)
            # The options of a union fail one by one at one place; a key, and each key that is missing, is its own flaw.
            is_key = details["type"].startswith("missing") or details["loc"][-1:] == ("[key]",)
            name = str(details["loc"][-1]) if is_key else ""
            groups.setdefault((path, name), []).append(details)
        return None, tuple(_flaw(path, group, annotation) for (path, _), group in groups.items())


def validate(annotation: Any, value: Any, document: Document, path: KeyPath = ()) -> tuple[Any, list[Problem]]:
    """The value at `path` of a document as the annotation's type, or None and its problems.

    What the document could not resolve is left out where that is possible, and no problem is made of it.
    """
    result, flaws = check(annotation, value, by_name=False)
    certain = [flaw for flaw in flaws if (*path, *flaw.path) not in document.unresolved]
    if flaws and not certain:
        result, _ = check(annotation, _without(value, {flaw.path for flaw in flaws}), by_name=False)
        certain = [] if result is not None or document.problems else list(flaws)
    return result, [problem(flaw, document, path) for flaw in certain]


def problem(flaw: Flaw, document: Document, path: KeyPath = ()) -> Problem:
    """A flaw in the value at `path` of a document as a problem, in its place and without secrets."""
    place = (*path, *flaw.path)
    hidden = flaw.shown and not flaw.at_key and document.is_secret(place)
    message = flaw.message.replace(flaw.shown, '"***"') if hidden else flaw.message
    if flaw.bounded:
        message = ": ".join((*[part for part in place if isinstance(part, str)][-1:], message))
    return Problem(message, document.where_key(place) if flaw.at_key else document.where(place), flaw.hint)


def _without(value: Any, paths: set[KeyPath]) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: _without(inner, {path[1:] for path in paths if path[:1] == (key,)})
        for key, inner in value.items()
        if (key,) not in paths
    }


def shown(value: Any) -> str:
    """A value as an error text shows it: short, on one line, as YAML has it.

    >>> shown("ten"), shown(None), shown(True), shown([1])
    ('"ten"', 'null', 'true', 'a list')
    """
    if isinstance(value, str):
        line = " ".join(value.split())
        return f'"{line}"' if len(line) <= 60 else f'"{line[:57]}..."'
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "null" if value is None else str(value).lower()


def _path(location: tuple[str | int, ...], value: Any) -> KeyPath:
    """The part of pydantic's location that is in the value; the rest names the options of unions and validators."""
    path: list[str | int] = []
    for part in location:
        inside = part in value if isinstance(value, dict) else isinstance(value, list) and part in range(len(value))
        if inside:
            path.append(part)
            value = value[part]
    return tuple(path)


def _flaw(path: KeyPath, group: list[ErrorDetails], annotation: Any) -> Flaw:
    """All that pydantic says of one place, as one flaw."""
    first = group[0]
    if first["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        known = _known_keys(annotation, path[:-1])
        problem = unknown("key", str(path[-1]), known)
        return Flaw(path, problem.message, problem.hint if known else "take it out", at_key=True)
    if first["type"].startswith("missing"):
        name = first["loc"][-1]
        return Flaw(path, f'the key "{name}" is missing', f"add {name}: ...")
    message, hint = _kind_words(group, _known_keys(annotation, path)) or _words(first)
    at_key = first["loc"][-1:] == ("[key]",)
    return Flaw(path, message, hint, at_key, shown(first["input"]), bounded=first["type"] in _BOUNDS)


def _kind_words(group: list[ErrorDetails], keys: list[str]) -> tuple[str, str | None] | None:
    """Message and hint for a value of the wrong kind; None when the kind is right."""
    kinds = [_KINDS[match[1]] for details in group if (match := _KIND.fullmatch(details["type"]))]
    if not kinds:
        return None
    few = ", ".join(keys) if len(keys) <= _MOST_KEYS else f"{', '.join(keys[:_MOST_KEYS])} and more"
    hint = f"write a mapping of {few}" if keys else kinds[0][1]
    return f"{shown(group[0]['input'])} is not {' or '.join(dict.fromkeys(words for words, _ in kinds))}", hint


def _words(details: ErrorDetails) -> tuple[str, str | None]:
    """Message and hint for a value of the right kind that is wrong all the same."""
    kind, given, said = details["type"], shown(details["input"]), details.get("ctx", {})
    if kind == "value_error":
        return str(said["error"]), getattr(said["error"], "hint", None)
    if kind in {"literal_error", "enum"}:
        known = re.split(", | or ", str(said["expected"]).replace("'", ""))
        close = nearest(str(details["input"]), known)
        return f"{given} is not one of {', '.join(known)}", f'did you mean "{close}"?' if close else None
    if kind in _BOUNDS:
        bounds = {name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in said.items()}
        return f"{given} {_BOUNDS[kind].format(**bounds)}", None
    if kind == "too_short":
        return f"at least {said['min_length']} is needed, there are {said['actual_length']}", None
    return f"{given}: {details['msg'][:1].lower()}{details['msg'][1:]}", None


def _known_keys(annotation: Any, path: KeyPath) -> list[str]:
    """The keys that a mapping at this path of a type may have, where the type says so."""
    for part in path:
        annotation = _inner(annotation, part)
    return [name for each in _alternatives(annotation) for name in _fields(each)]


def _inner(annotation: Any, part: str | int) -> Any:
    for each in _alternatives(annotation):
        fields = _fields(each)
        if part in fields:
            return fields[str(part)]
        if arguments := get_args(each):
            return arguments[-1] if isinstance(part, str) else arguments[0]
    return Any


def _alternatives(annotation: Any) -> list[Any]:
    """The types of a union, without the annotations around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return [each for argument in get_args(annotation) for each in _alternatives(argument)]
    return [annotation]


def _fields(annotation: Any) -> Mapping[str, Any]:
    """The keys of a model or dataclass and their types."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
    if dataclasses.is_dataclass(annotation):
        return get_type_hints(annotation)
    return {}
