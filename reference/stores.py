"""The pages of stores and executors: what every adapter and executor of flowpipe takes, and what stores can do."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from flowpipe import adapters, executors, schemas
from flowpipe.adapters import Dataset
from flowpipe.adapters.files.formats import FORMATS
from flowpipe.datasets import DatasetConfig, Mode, PartitionBy
from flowpipe.interpolable import Schema
from reference.tables import keys, parts, together

_SMALLEST = {
    "files": {"url": "data"},
    "delta": {"url": "data"},
    "duckdb": {"database": "data.duckdb"},
    "postgres": {},
}


_HEAD = """# {title} reference

{text}
This page is made by `python -m reference`.
"""


def stores() -> str:
    """The page of stores."""
    schema = schemas.schema("profile")
    text = "What a store of a profile takes, by its adapter; [Stores](../stores.md) explains them."
    own = _own(schema, "store", adapters.installed(), _required(schema))
    common = _common(schema, "store", ["adapter"])
    return "\n".join([_HEAD.format(title="Stores", text=text), *common, *own, _modes(), _formats()])


def executor_page() -> str:
    """The page of executors."""
    schema = schemas.schema("profile")
    text = (
        "What `executor:` of a profile, or of the project's `defaults:`, takes, by its type;\n"
        "[Executors](../executors.md) explains them."
    )
    own = _own(schema, "executor", executors.installed(), {})
    return "\n".join([_HEAD.format(title="Executors", text=text), *_common(schema, "executor", []), *own])


def _common(schema: Schema, what: str, required: Sequence[str]) -> Iterator[str]:
    """What all of them take, and its parts."""
    part = schema["definitions"][what]
    yield f"## Every {what}\n"
    yield keys(part | {"required": required}, _link)
    for name in parts(part):
        inner = schema["definitions"][name]
        yield f"### {name}\n\n{inner['description']}\n\n{keys(inner, _link)}"


def _own(schema: Schema, what: str, points: Mapping[str, Any], required: Mapping[str, list[str]]) -> Iterator[str]:
    """The keys that each has of its own."""
    common = schema["definitions"][what]["properties"]
    for name in points:
        part = schema["definitions"][f"{what}_{name}"]
        own = {key: said for key, said in part["properties"].items() if key not in common}
        yield f"## {name}\n"
        yield f"{(inspect.getdoc(points[name].load()) or '').partition(chr(10) * 2)[0]}\n"
        if own:
            yield keys({"properties": own, "required": required.get(name, [])}, _link)
        else:
            yield "It has no keys of its own.\n"
        if rules := together(part):
            yield f"Refused, by editors too:\n\n{rules}"


def _required(schema: Schema) -> dict[str, list[str]]:
    """The keys that each adapter requires, as the schema of a profile that extends no other has it."""
    rules = schema["else"]["properties"]["stores"]["additionalProperties"]["allOf"]
    return {rule["if"]["properties"]["adapter"]["enum"][0]: rule["then"]["required"] for rule in rules}


def _modes() -> str:
    """Which modes each store has, as its own check says of a dataset that has all that a mode needs."""
    points = adapters.installed()
    rows = [f"| mode | {' | '.join(points)} |", f"|---|{'---|' * len(points)}"]
    for mode in get_args(Mode):
        cells = (_has(points[name].load(), name, mode) for name in points)
        rows.append(f"| `{mode}` | {' | '.join(cells)} |")
    return "## Modes\n\nWhat a dataset may have as `mode:` in each store.\n\n" + "\n".join(rows) + "\n"


def _has(adapter: Any, name: str, mode: Any) -> str:
    whole = mode == "overwrite"
    path = "a.parquet" if whole else "a/{partition}.parquet"
    place = {"path": path} if name == "files" else {"table": "a"}
    by = None if whole else PartitionBy(every="month", column="at")
    config = DatasetConfig(store="a", mode=mode, key=["id"], partition=by, **place)
    found = adapter(adapter.Options(**_SMALLEST[name]), Path()).check(Dataset("a", config), written=True)
    return "; ".join(message for _, message, _ in found) or "yes"


def _formats() -> str:
    """The formats of files, and whose keywords their `options:` are."""
    rows = ["| format | endings | to read | to write |", "|---|---|---|---|"]
    for form in FORMATS:
        endings = ", ".join(f"`.{ending}`" for ending in form.endings)
        writer = "read only" if form.writer is None else f"`{form.writer.__qualname__}`" if form.write else "none"
        rows.append(f"| `{form.name}` | {endings} | `polars.{form.reader.__name__}` | {writer} |")
    text = "The keys of a dataset's `options:` are keywords of these functions of Polars."
    return "\n".join(["## Formats of files\n", f"{text}\n", *rows]) + "\n"


def _link(name: str) -> str:
    return f"[{name}](#{name})"
