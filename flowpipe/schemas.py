"""Every YAML file of a project as a JSON Schema, from the models that read it: what editors check and complete by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from flowpipe import adapters, executors
from flowpipe.config import ProfileConfig, ProjectConfig, StoreConfig
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import UsageError, unknown
from flowpipe.fields import DatasetName
from flowpipe.interpolable import Schema, interpolable, is_one, one_of
from flowpipe.pipelinefile import PipelineConfig

# What VS Code's YAML server reads best; no later draft says anything that is needed here.
_DRAFT = "http://json-schema.org/draft-07/schema#"
FILES: Mapping[str, str] = {
    "project": "conf/project.yml",
    "profile": "conf/profiles/NAME.yml",
    "catalog": "conf/catalog.yml",
    "pipeline": "conf/pipelines/NAME.yml",
}
_MODELS: Mapping[str, Any] = {
    "project": ProjectConfig,
    "profile": ProfileConfig,
    "catalog": dict[DatasetName, DatasetConfig],
    "pipeline": PipelineConfig,
}


def schema(kind: str) -> Schema:
    """The JSON Schema of one kind of file, with the options of all adapters and executors that are installed.

    Raises:
        UsageError: there is no such kind.
    """
    if kind not in FILES:
        problem = unknown("kind of file", kind, FILES)
        raise UsageError(problem.message, hint=problem.hint)
    made = _of(_MODELS[kind])
    parts = made["definitions"]
    if "executor" in parts:
        parts |= _plugged(parts["executor"], "type", "executor", executors.installed())[0]
    if kind == "profile":
        store = _of(StoreConfig)
        parts |= store.pop("definitions") | {"store": store}
        options, required = _plugged(store, "adapter", "store", adapters.installed())
        parts |= options
        made["properties"]["stores"]["additionalProperties"] = {"$ref": "#/definitions/store"}
        made |= _whole_stores(required)
    return {"$schema": _DRAFT, "$comment": FILES[kind], **made}


def write(folder: Path) -> list[Path]:
    """Write the schema of every kind of file into a folder, as `KIND.json`; what was written.

    Raises:
        UsageError: the folder cannot be written.
    """
    texts = {folder / f"{kind}.json": as_text(schema(kind)) for kind in FILES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        hint = "name another folder: flowpipe schema --write FOLDER"
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}", hint=hint) from None
    return list(texts)


def as_text(made: Schema) -> str:
    """A schema as it stands in a file."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def first_line(kind: str) -> str:
    """The line at the head of a file of this kind by which an editor finds its schema in `conf/schema/`."""
    up = "../" * FILES[kind].removeprefix("conf/").count("/")
    return f"# yaml-language-server: $schema={up}schema/{kind}.json"


def _plugged(base: Schema, key: str, what: str, points: Mapping[str, Any]) -> tuple[Schema, dict[str, list[str]]]:
    """Let what plug-ins say of their own keys decide over a schema whose `key` names one of them.

    A mapping may be half of one that another file completes, so that nothing is required here, and without the `key`
    the keys of every plug-in are known. Gives the schemas of the plug-ins, and the keys that each requires.
    """
    named = {key: base["properties"][key] | one_of(*sorted(points))}
    del named[key]["type"]
    own = base["properties"] | named
    made = {name: options for name in sorted(points) if (options := _options(points[name], f"{what}_{name}_"))}
    parts: Schema = {}
    for options in made.values():
        parts |= options.pop("definitions")
    required = {name: options.pop("required", []) for name, options in made.items()}
    rules = [{"if": is_one(key, name), "then": {"$ref": f"#/definitions/{what}_{name}"}} for name in made]
    if len(made) == len(points) and not any(options.get("additionalProperties", True) for options in made.values()):
        anything = {"properties": _any_of(made.values()) | dict.fromkeys(own, True), "additionalProperties": False}
        rules.append({"if": {"not": {"required": [key]}}, "then": anything})
    parts |= {f"{what}_{name}": options | {"properties": own | options["properties"]} for name, options in made.items()}
    base |= {"properties": own, "required": [], "allOf": rules}
    return parts, required


def _any_of(options: Iterable[Schema]) -> Schema:
    """The keys of all options; what several have may be as any of them says."""
    said: dict[str, list[Schema]] = {}
    for each in options:
        for name, own in each["properties"].items():
            said.setdefault(name, []).append(own)
    return {name: {"anyOf": forms} if len(forms) > 1 else forms[0] for name, forms in said.items()}


def _options(point: Any, prefix: str) -> Schema | None:
    """The schema of a plug-in's options; None where its library is missing, or nothing can be said of them."""
    try:
        made = _of(point.load().Options, prefix)
    except (ImportError, PydanticUserError):
        return None
    return made if "properties" in made else None


def _whole_stores(required: Mapping[str, list[str]]) -> Schema:
    """What the stores of a profile need that extends no other."""
    rules = [{"if": is_one("adapter", name), "then": {"required": keys}} for name, keys in required.items() if keys]
    whole = {"required": ["adapter"], "allOf": rules}
    extends = {"properties": {"extends": {"type": "string"}}, "required": ["extends"]}
    return {"if": extends, "else": {"properties": {"stores": {"additionalProperties": whole}}}}


class _Generator(GenerateJsonSchema):
    """Pydantic's, but that the names of keys are held to their type, and parts have short names."""

    def normalize_name(self, name: str) -> str:
        return super().normalize_name(name).removesuffix("Config").lower()

    def dict_schema(self, schema: Any) -> Schema:
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        values = self.generate_inner(schema["values_schema"]) if "values_schema" in schema else {}
        names = {name: keys[name] for name in ("pattern", "patternErrorMessage") if name in keys}
        made: Schema = {"type": "object"}
        return made | ({"propertyNames": names} if names else {}) | ({"additionalProperties": values} if values else {})


def _of(kind: Any, prefix: str = "") -> Schema:
    """The schema of a type; the names of its parts begin with `prefix`."""
    made = TypeAdapter(kind).json_schema(schema_generator=_Generator, ref_template=f"#/definitions/{prefix}{{model}}")
    parts = made.pop("$defs", {})
    made["definitions"] = {f"{prefix}{name}": part for name, part in parts.items()}
    return interpolable(made)
