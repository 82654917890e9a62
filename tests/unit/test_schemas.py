"""The JSON Schemas of the YAML files say what `check` says: what it accepts they accept, what they refuse it refuses."""

from __future__ import annotations

import ast
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from flowpipe import conffile, executors, schemas
from flowpipe.catalog import Catalog
from flowpipe.errors import ConfigError
from flowpipe.loading import load_valid
from tests.test_docs import blocks

ROOT = Path(__file__).parents[2]
AROUND = {
    "project": "name: demo\n",
    "profile": "stores: {here: {adapter: files, url: data}}\n",
    "catalog": "",
    "pipeline": "modules: [a]\nwrites: [a]\n",
}
PLACES = {
    "project": "conf/project.yml",
    "profile": "conf/profiles/{profile}.yml",
    "catalog": "conf/catalog.yml",
    "pipeline": "conf/pipelines/a.yml",
}


@cache
def validator(kind: str) -> Draft7Validator:
    """What an editor holds a file of this kind to."""
    schema = schemas.schema(kind)
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def refused(kind: str, text: str) -> list[str]:
    """What an editor says of a file."""
    document = conffile.parse(text, "", resolve=False)
    assert document.problems == ()
    return [error.message for error in validator(kind).iter_errors(document.data or {})]


def told(kind: str, text: str, base: str = AROUND["profile"]) -> list[str]:
    """What `check` says of a file, in a project where all else is right; `base` is the profile that one extends."""
    data = conffile.parse(text, "").data or {}
    named = data.get("profile", "dev") if kind == "project" and isinstance(data, dict) else "dev"
    profile = named if isinstance(named, str) and named.isidentifier() else "dev"
    extended = data.get("extends") if kind == "profile" and isinstance(data, dict) else None
    files = {PLACES[other].format(profile=profile): content for other, content in AROUND.items()}
    files |= {f"conf/profiles/{extended}.yml": base} if isinstance(extended, str) else {}
    files[PLACES[kind].format(profile="this")] = text
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
        try:
            found = load_valid(Path(folder), profile="this" if kind == "profile" else None)
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        problems = [*found.problems, *Catalog(found).store_problems, *executors.problems(found.executor, found)]
    # Which stores there are is another file's.
    return [str(problem) for problem in problems if not problem.message.startswith("unknown store")]


def of_the_repository() -> Iterator[tuple[str, str, str]]:
    """Every YAML file of the project, the docs, and the tests' projects: where it is, its kind, its text."""
    for path in sorted((ROOT / "conf").rglob("*.yml")):
        yield str(path.relative_to(ROOT)), kind_of(str(path.relative_to(ROOT))), path.read_text("utf-8")
    for block in blocks("yaml"):
        name = block.text.partition("\n")[0].lstrip("# ")
        yield f"{block.page} {name}", kind_of(name), block.text
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                    name = str(key.value)
                    if name.startswith("conf/") and name.endswith(".yml"):
                        yield f"{path.name}:{value.lineno}", kind_of(name), str(value.value)


def kind_of(name: str) -> str:
    """The kind of a file by its path."""
    return next(
        kind for kind, part in zip(schemas.FILES, ("project.", "profiles/", "catalog.", "pipelines/")) if part in name
    )


POOL: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 2013, 0.5, 2.5, 1.0),
    *(
        "",
        "x",
        "a b",
        "5",
        "5%",
        "200%",
        "10m",
        "0s",
        "2GB",
        ">= 1",
        "10..500",
        "9..5",
        "2013-02",
        "2013-02-01",
        "2013",
    ),
    *("UTC", "Mars/Base", "a.b", "a:b", "at within 2d", "op = D", "x__rejected", "run_time", "keep", "merge", "close"),
    *("${env:X}", "a${env:X}", "${env:NO:-}", "${env:NO:-merge}", "$${env:X}", "host:1", "auto"),
    *([], ["a"], ["a", "a"], [1], {}, {"a": "b"}, {"a": 1}, {"store": "here"}, {"every": "month"}),
]


def values(schema: Any, definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that are near to what a schema says: its own examples, keys and forms, and now and then any other."""
    pool = st.sampled_from(POOL)
    if not isinstance(schema, dict):
        return pool
    if "$ref" in schema:
        return values(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    near = [st.sampled_from(schema[key]) for key in ("examples", "enum") if schema.get(key)]
    near += [st.just(schema["default"])] if "default" in schema else []
    near += [values(each, definitions) for each in schema.get("anyOf", ())]
    if schema.get("type") == "array":
        near.append(st.lists(values(schema.get("items"), definitions), max_size=2))
    if schema.get("type") == "object" and not schema.get("properties"):
        near.append(
            st.dictionaries(
                st.sampled_from(["a", "b"]), values(schema.get("additionalProperties"), definitions), max_size=2
            )
        )
    if schema.get("properties"):
        near.append(mappings(schema, definitions))
    return st.integers(0, 9).flatmap(lambda dice: pool if dice == 0 or not near else st.one_of(near))


def mappings(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings of some keys of a schema, those of a plug-in where it is one."""
    if rules := [rule for rule in schema.get("allOf", ()) if "$ref" in rule.get("then", {})]:
        named = [(next(iter(rule["if"]["properties"])), rule["then"]["$ref"].rpartition("/")[2]) for rule in rules]
        plugged = [
            mappings(definitions[part], definitions).map(
                lambda own, key=key, part=part: {key: part.partition("_")[2], **own}
            )
            for key, part in named
        ]
        return st.one_of(plugged)
    keys = {key: values(inner, definitions) for key, inner in schema["properties"].items()}
    needed = {key: keys[key] for key in schema.get("required", ())}
    return st.lists(st.sampled_from(sorted(keys)), max_size=5, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries(needed | {key: keys[key] for key in chosen})
    )
