"""The page of every YAML file and every key, made from the JSON Schemas that editors read."""

from __future__ import annotations

from flowpipe import schemas
from flowpipe.interpolable import Schema
from reference.tables import keys, parts, together

_HEAD = """# Configuration reference

Every key of every file, as `flowpipe schema` has it; [Configuration](../configuration.md) explains them.
This page is made by `python -m reference`.

Any text, number, true or false may be `${env:NAME}`, `${env:NAME:-default}` or `${file:/path}`. Durations are a whole
number and `ms`, `s`, `m`, `h`, `d` or `w`; sizes a number and `MB`, `GB` or `TB`, in powers of 1,000. Unknown keys are
errors.

`flowpipe schema --write` puts the JSON Schemas into `conf/schema/`. With the first line of a file as it stands below,
VS Code (its YAML extension) and other editors that run the YAML language server check and complete the file as you
write.
"""
_ELSEWHERE = {"store": "stores.md", "executor": "executors.md"}


def page() -> str:
    """The whole page: file by file, each followed by its parts; a part of several files stands under the last."""
    texts = [_HEAD]
    made = {kind: schemas.schema(kind) for kind in schemas.FILES}
    owner = {part: kind for kind, schema in made.items() for part in _all_parts(schema, schema)}
    for kind, schema in made.items():
        texts += [f"## {schemas.FILES[kind]}\n", f"First line: `{schemas.first_line(kind)}`\n"]
        if kind == "catalog":
            texts.append("A mapping of datasets by name.\n")
        else:
            texts.append(keys(schema, _link))
        texts += [_part(name, schema["definitions"][name]) for name, of in owner.items() if of == kind]
    return "\n".join(texts)


def _all_parts(schema: Schema, whole: Schema) -> dict[str, None]:
    """The parts of a schema and theirs, in the order in which they are named."""
    found: dict[str, None] = {}
    for name in parts(schema):
        if name not in _ELSEWHERE:
            found |= {name: None} | _all_parts(whole["definitions"][name], whole)
    return found


def _part(name: str, schema: Schema) -> str:
    rules = together(schema)
    rules = f"\nRefused, by editors too:\n\n{rules}" if rules else ""
    return f"### {name}\n\n{schema['description']}\n\n{keys(schema, _link)}{rules}"


def _link(name: str) -> str:
    return f"[{name}]({_ELSEWHERE.get(name, '')}{'' if name in _ELSEWHERE else '#' + name})"
