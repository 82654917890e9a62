"""How a JSON Schema reads as Markdown: a table of its keys, and which of them go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from flowpipe.interpolable import IN_A_TEXT, WHOLE, Schema

_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
    "array": "list",
}


def keys(schema: Schema, link: Callable[[str], str]) -> str:
    """The keys of a mapping as a table; `link` makes the name of a part one that leads to it."""
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    required = schema.get("required", ())
    for name, said in schema["properties"].items():
        default = "required" if name in required else _code(said["default"]) if "default" in said else ""
        cells = (f"`{name}`", _type(said, link), default, _meaning(said))
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |".replace("|  |", "| |"))
    return "\n".join(rows) + "\n"


def together(schema: Schema) -> str:
    """Which keys go together, in the words that an editor tells them by; empty where all do."""
    found = dict.fromkeys(message for rule in schema.get("allOf", ()) for message in _messages(rule))
    return "".join(f"- {message}\n" for message in found)


def parts(schema: Schema) -> Iterator[str]:
    """The names of the parts that the keys of a mapping consist of, in their order."""
    for said in [*schema.get("properties", {}).values(), schema.get("additionalProperties")]:
        for each in _alternatives(said) if isinstance(said, dict) else ():
            if "$ref" in each:
                yield each["$ref"].rpartition("/")[2]
            inner = [each.get("items"), each.get("additionalProperties")]
            yield from parts({"properties": dict(enumerate(one for one in inner if isinstance(one, dict)))})


def _messages(rule: Any) -> Iterator[str]:
    """The messages of a rule; of its `if` there are none."""
    if isinstance(rule, Mapping):
        if "errorMessage" in rule and not str(rule["errorMessage"]).startswith("write "):
            yield rule["errorMessage"]
        for inner in rule.values():
            yield from _messages(inner)
    elif isinstance(rule, list):
        for inner in rule:
            yield from _messages(inner)


def _alternatives(said: Schema) -> list[Schema]:
    """The forms of a value, without interpolations, which any scalar may be."""
    forms: list[Schema] = said.get("anyOf", [said])
    return [each for each in forms if each.get("pattern") not in {WHOLE, IN_A_TEXT} or _own(each)]


def _own(said: Schema) -> list[str]:
    """The types of a scalar, without null and without the text that an interpolation is."""
    types = [said["type"]] if isinstance(said.get("type"), str) else said.get("type", [])
    also = {"null", "string"} if said.get("pattern") in {WHOLE, IN_A_TEXT} else {"null"}
    return [name for name in types if name not in also]


def _type(said: Schema, link: Callable[[str], str]) -> str:
    forms = dict.fromkeys(_form(each, link) for each in _alternatives(said))
    return " or ".join(forms) or "any"


def _form(said: Schema, link: Callable[[str], str]) -> str:
    if "$ref" in said:
        return link(str(said["$ref"]).rpartition("/")[2])
    if "enum" in said:
        return ", ".join(f"`{name}`" for name in said["enum"])
    if "$comment" in said:
        return str(said["$comment"])
    items, values = said.get("items"), said.get("additionalProperties")
    if items or isinstance(values, dict):
        return f"list of {_type(items, link)}" if items else f"mapping of {_type(values or {}, link)}"
    bound = f" from {said['minimum']:,}" if said.get("minimum") else ""
    bound = f" above {said['exclusiveMinimum']:g}" if "exclusiveMinimum" in said else bound
    return " or ".join(_TYPES[name] for name in _own(said)) + bound


def _meaning(said: Schema) -> str:
    examples = ", ".join(map(_code, said.get("examples", ())))
    return str(said.get("description", "")) + (f"; for example {examples}" if examples else "")


def _code(value: Any) -> str:
    """A value as YAML has it."""
    style = None if isinstance(value, str) else True
    text = str(yaml.safe_dump(value, default_flow_style=style, width=1000, sort_keys=False, allow_unicode=True))
    return f"`{text.strip().removesuffix('...').strip()}`"
