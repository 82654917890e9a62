"""JSON Schemas of YAML in which any scalar may be `${env:NAME}`: how Pydantic's become such, and rules between keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

_TOKEN = r"\$\{(?:env:[A-Za-z_][A-Za-z0-9_]*(?::-[^{}]*)?|file:/[^{}]+)\}"  # noqa: S105 - a pattern
IN_A_TEXT = rf"(?:^|[^$]){_TOKEN}"
WHOLE = rf"^{_TOKEN}$"
_SCALARS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "", "null": ""}
_OF_MANY = ("properties", "patternProperties", "definitions")
_OF_ONE = ("items", "additionalProperties")
_TOLD = ("description", "markdownDescription", "default", "examples")


def interpolable(schema: Mapping[str, Any]) -> Schema:
    """The schema without titles and what a model has by default, in which every scalar may be an interpolation.

    Rules (`allOf`, `if`, `not`) and the names of keys stay as they are.

    >>> interpolable({"title": "N", "type": "integer", "minimum": 1})["type"]
    ['integer', 'string']
    """
    result = {key: value for key, value in schema.items() if key != "title" and not _says_nothing(key, value)}
    if "`" in result.get("description", ""):
        result["markdownDescription"] = result["description"]
    for key in _OF_MANY:
        if key in result:
            result[key] = {name: interpolable(inner) for name, inner in result[key].items()}
    for key in _OF_ONE:
        if isinstance(result.get(key), dict):
            result[key] = interpolable(result[key])
    if "anyOf" in result:
        return _opened(result.pop("anyOf"), result)
    if _is_plain(result) or _is_choice(result):
        return _opened([result], {key: result.pop(key) for key in _TOLD if key in result})
    return result


def absent(message: str) -> Schema:
    """A key that must not be there; null is as good, and so is what may turn out to be null."""
    told = {"errorMessage": message, "patternErrorMessage": message, "doNotSuggest": True}
    return {"type": ["string", "null"], "pattern": WHOLE, **told}


def excludes(key: str, others: Sequence[str], message: str, *, unless: Sequence[Any] = (None, "")) -> Schema:
    """A rule: where a key surely has a value that counts, others have none; `message` is of `{key}` and `{other}`."""
    told = {other: absent(message.format(key=key, other=other)) for other in others}
    maybe = {"anyOf": [{"enum": list(unless)}, {"type": "string", "pattern": WHOLE}]}
    return {"if": {"required": [key], "properties": {key: {"not": maybe}}}, "then": {"properties": told}}


def present(key: str, message: str, *, unless: Sequence[Any] = (None,)) -> Schema:
    """A mapping that has a value for this key."""
    nothing = {"required": [key], "properties": {key: {"enum": list(unless)}}}
    return {"required": [key], "not": nothing, "errorMessage": message}


def is_one(key: str, *names: str) -> Schema:
    """A mapping in which this key has one of these values."""
    return {"required": [key], "properties": {key: {"enum": list(names)}}}


def one_of(*names: str) -> Schema:
    """One of these texts, or an interpolation."""
    return interpolable({"type": "string", "enum": list(names)})


def ruled(rules: Sequence[Schema]) -> Callable[[Schema], None]:
    """What puts rules into the JSON Schema of a model, as its `json_schema_extra`."""

    def put(schema: Schema) -> None:
        schema["allOf"] = list(rules)

    return put


def _says_nothing(key: str, value: Any) -> bool:
    return key == "default" and (value is None or (isinstance(value, dict) and bool(value)))


def _opened(alternatives: list[Schema], around: Schema) -> Schema:
    """Alternatives as one schema, in which those that are plain scalars are one, and may be interpolations."""
    plain = [each for each in alternatives if _is_plain(each)]
    choices = [each for each in alternatives if _is_choice(each)]
    others = [interpolable(each) for each in alternatives if not _is_plain(each) and not _is_choice(each)]
    scalar = [_merged(plain, choices)] if plain or choices else []
    found = [*choices, *others, *scalar]
    return {**found[0], **around} if len(found) == 1 else {"anyOf": found, **around}


def _is_plain(schema: Schema) -> bool:
    types = schema.get("type", ())
    types = [types] if isinstance(types, str) else types
    return bool(types) and _SCALARS.keys() >= set(types) and not _is_choice(schema)


def _is_choice(schema: Schema) -> bool:
    return not {"enum", "const", "format"}.isdisjoint(schema)


def _merged(plain: Sequence[Schema], choices: Sequence[Schema]) -> Schema:
    """Scalars as one schema of several types: what bounds numbers says nothing of texts, and the other way round."""
    result: Schema = {}
    types: list[str] = []
    for each in plain:
        types += [each["type"]] if isinstance(each["type"], str) else each["type"]
        result |= each
    if any("string" in each["type"] and "pattern" not in each for each in plain):
        result.pop("pattern", None)
    else:
        named = [f"one of {', '.join(map(str, each['enum']))}" for each in choices if "enum" in each]
        said = " or ".join([*named, *filter(None, (_SCALARS[name] for name in types))]) or "null"
        own = result.get("pattern")
        result["pattern"] = f"{own}|{IN_A_TEXT}" if own else IN_A_TEXT if choices else WHOLE
        told = result.setdefault("patternErrorMessage", f"write {said}, or ${{env:NAME}}")
        result["errorMessage"] = told
        types.append("string")
    types = list(dict.fromkeys(types))
    return result | {"type": types if len(types) > 1 else types[0]}
