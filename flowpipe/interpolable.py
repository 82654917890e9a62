"""How a JSON Schema of Pydantic's becomes one that editors read well, and that takes `${env:NAME}` for any scalar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

INTERPOLATION = r"(?:^|[^$])\$\{(?:env:[A-Za-z_][A-Za-z0-9_]*(?::-[^{}]*)?|file:/[^{}]+)\}"
_SCALARS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "",
    "string": "",
}
_OF_MANY = ("properties", "patternProperties", "definitions")
_OF_ONE = ("items", "additionalProperties")
_TOLD = ("description", "default", "examples")


def interpolable(schema: Mapping[str, Any]) -> Schema:
    """The schema without titles, in which every scalar may be an interpolation.

    Conditions (`if`, `then`, `allOf`, `not`) and the names of keys stay as they are.

    >>> interpolable({"title": "N", "type": "integer", "minimum": 1})["type"]
    ['integer', 'string']
    """
    result = {key: value for key, value in schema.items() if (key, value) != ("default", None) and key != "title"}
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


def _opened(alternatives: list[Schema], around: Schema) -> Schema:
    """Alternatives as one schema, in which those that are plain scalars are one, and may be interpolations."""
    plain = [each for each in alternatives if _is_plain(each)]
    choices = [each for each in alternatives if _is_choice(each)]
    others = [interpolable(each) for each in alternatives if not _is_plain(each) and not _is_choice(each)]
    scalar = [_merged(plain)] if plain or choices else []
    found = [*choices, *others, *scalar]
    return {**found[0], **around} if len(found) == 1 else {"anyOf": found, **around}


def _is_plain(schema: Schema) -> bool:
    types = schema.get("type", ())
    types = [types] if isinstance(types, str) else types
    return bool(types) and _SCALARS.keys() >= set(types) and not _is_choice(schema)


def _is_choice(schema: Schema) -> bool:
    return not {"enum", "const", "format"}.isdisjoint(schema)


def _merged(plain: list[Schema]) -> Schema:
    """Scalars as one schema of several types: what bounds numbers says nothing of texts, and the other way round."""
    result: Schema = {}
    types: list[str] = []
    for each in plain:
        types += [each["type"]] if isinstance(each["type"], str) else each["type"]
        result |= each
    if any("string" in each["type"] and "pattern" not in each for each in plain):
        result.pop("pattern", None)
    else:
        said = " or ".join(filter(None, (_SCALARS[name] for name in types)))
        own = result.get("pattern")
        result["pattern"] = f"(?:{own})|{INTERPOLATION}" if own else INTERPOLATION
        result.setdefault("patternErrorMessage", f"write {said or 'nothing'}, or ${{env:NAME}}")
        types.append("string")
    types = list(dict.fromkeys(types))
    return result | {"type": types if len(types) > 1 else types[0]}
