"""The JSON Schemas of the YAML files and `check` say the same of a file, in either direction."""

from __future__ import annotations

import ast
import itertools
import json
import re
import tempfile
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from flowpipe import conffile, executors, schemas
from flowpipe.catalog import Catalog
from flowpipe.datasets import flaws
from flowpipe.errors import ConfigError
from flowpipe.loading import load_valid
from tests.pages import blocks

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
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in blocks(page):
            if block.kind == "yaml" and (block.title or "").startswith("conf/"):
                yield block.place, kind_of(block.title or ""), block.text
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                    name = str(key.value)
                    if name.startswith("conf/") and name.endswith(".yml"):
                        yield f"{path.name}:{value.lineno}", kind_of(name), str(value.value)


def kind_of(name: str) -> str:
    """The kind of a file by its path."""
    parts = {"project.": "project", "profiles/": "profile", "catalog.": "catalog", "pipelines/": "pipeline"}
    return next(kind for part, kind in parts.items() if part in name)


def test_what_check_accepts_an_editor_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    base = (ROOT / "conf/profiles/dev.yml").read_text("utf-8")
    seen = 0
    for where, kind, written in of_the_repository():
        text = textwrap.dedent(written)
        if conffile.parse(text, "", resolve=False).problems:
            continue
        for name in re.findall(r"\$\{env:(\w+)", text):
            monkeypatch.setenv(name, "host=/tmp" if "DSN" in name else "1")
        if not told(kind, text, base):
            assert (where, refused(kind, text)) == (where, [])
            seen += 1
    assert seen > 150


BAD = [
    ("project", "nme: demo\n"),
    ("project", "name: 3\n"),
    ("project", "name: demo\nprofile: my-dev\n"),
    ("project", "name: demo\ntimezone: Europe Berlin\n"),
    ("project", "name: demo\ndefaults: {stores: {}}\n"),
    ("project", "name: demo\ndefaults: {executor: {type: spark}}\n"),
    ("project", "name: demo\ndefaults: {executor: {type: threads, worker: 4}}\n"),
    ("project", "name: demo\ndefaults: {memory_budget: much}\n"),
    ("project", "- a\n"),
    ("profile", "store: {}\n"),
    ("profile", "stores: {here: {adapter: flies, url: data}}\n"),
    ("profile", "stores: {here: {adapter: files, ulr: data}}\n"),
    ("profile", "stores: {here: {adapter: files}}\n"),
    ("profile", "stores: {here: {url: data}}\n"),
    ("profile", "extends: dev\nstores: {here: {ulr: data}}\n"),
    ("profile", "extends: dev\nstores: {here: {target_file_size: 1}}\n"),
    ("profile", "executor: {workers: many}\n"),
    ("profile", "stores: {my-store: {adapter: files, url: data}}\n"),
    ("profile", "stores: {lake: {adapter: delta, url: x, target_file_size: 128}}\n"),
    ("profile", "stores: {lake: {adapter: delta, url: x, durability: none_}}\n"),
    ("profile", "stores: {w: {adapter: postgres, dsn: 'host=x', host: y}}\n"),
    ("profile", "stores: {w: {adapter: postgres, schema: ''}}\n"),
    ("profile", "stores: {w: {adapter: duckdb, database: 5}}\n"),
    ("profile", "stores: {h: {adapter: files, url: x, breaker: {failures: 0}}}\n"),
    ("profile", "executor: {type: threads, workers: 0}\n"),
    ("profile", "executor: {type: ray, address: here}\n"),
    ("profile", "executor: {type: dask, address: 'tcp://h:1', workers: 2}\n"),
    ("profile", "executor: {type: sync, workers: 2}\n"),
    ("profile", "executor: {workrs: 2}\n"),
    ("profile", "protected: yes\n"),
    ("profile", "checkpoints: {expire: 7}\n"),
    ("profile", "deadline: noon\n"),
    ("profile", "max_parallel_steps: 0\n"),
    ("profile", "params:\n"),
    ("catalog", "a: {store: here, path: x, mod: merge}\n"),
    ("catalog", "a: {path: x}\n"),
    ("catalog", "a: {store: here}\n"),
    ("catalog", "a: {store: here, path: x, table: y}\n"),
    ("catalog", "a: {store: here, table: x, query: y}\n"),
    ("catalog", "a-b: {store: here, path: x}\n"),
    ("catalog", "a__rejected: {store: here, path: x}\n"),
    ("catalog", "a: [1]\n"),
    ("catalog", "a: {store: here, table: x, mode: replac}\n"),
    ("catalog", "a: {store: here, table: x, mode: replace}\n"),
    ("catalog", "a: {store: here, table: x, mode: merge}\n"),
    ("catalog", "a: {store: here, table: x, mode: snapshot, key: []}\n"),
    ("catalog", "a: {store: here, table: x, order_by: at}\n"),
    ("catalog", "a: {store: here, table: x, mode: append, track: [a]}\n"),
    ("catalog", "a: {store: here, table: x, mode: merge, key: [a], missing: delete}\n"),
    ("catalog", "a: {store: here, table: x, mode: merge, key: [a], missing: close, max_deleted: 1}\n"),
    ("catalog", "a: {store: here, table: x, mode: snapshot, key: [a], missing: close, max_deleted: 1, effective: b}\n"),
    ("catalog", "a: {store: here, table: x, mode: merge, key: [a], schema_change: replace}\n"),
    ("catalog", "a: {store: here, table: x, mode: merge, key: [a], delete_when: gone}\n"),
    ("catalog", "a: {store: here, path: x, partition: {every: week}}\n"),
    ("catalog", "a: {store: here, path: x, schema: Flights}\n"),
    ("catalog", "a: {store: here, path: x, max_invalid: 200%}\n"),
    ("catalog", "a: {store: here, path: x, max_invalid: 1.5}\n"),
    ("catalog", "a: {store: here, path: x, expect: {rows: many}}\n"),
    ("catalog", "a: {store: here, path: x, expect: {freshness: 2d}}\n"),
    ("catalog", "a: {store: here, path: x, allow_empty: no}\n"),
    ("pipeline", "modules: [a]\n"),
    ("pipeline", "modules: []\nwrites: [a]\n"),
    ("pipeline", "modules: a\nwrites: [a]\n"),
    ("pipeline", "modules: [a]\nwrites: [a, a]\n"),
    ("pipeline", "modules: [a]\nwrites: {a: b-c}\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\nreads: {x: {dataset: y, trig: true}}\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\npartitions: {every: month, start: 2013}\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\npartitions: {every: month, start: 2013-01-15}\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\npartitions: {start: 2013-01}\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\nretry: {attempts: ten}\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\nretry: {wait: soon}\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\ntimeout: 0s\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\nnodes: {a: {resources: {cpus: 0}}}\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\nnodes: {1b: {}}\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\nhooks: [{module: a.B}]\n"),
    ("pipeline", "modules: [a]\nwrites: [a]\nalways: on\n"),
]


@pytest.mark.parametrize(("kind", "text"), BAD, ids=lambda part: part.partition("\n")[0])
def test_what_check_refuses_an_editor_refuses(kind: str, text: str) -> None:
    assert told(kind, text)
    assert refused(kind, text)


FORMS: dict[str, list[Any]] = {
    "mode": ["overwrite", "replace", "append", "merge", "snapshot"],
    "key": [["id"]],
    "missing": ["keep", "delete", "close"],
    "max_deleted": ["5%"],
    "effective": ["run_time", "at"],
    "partition": [{"every": "month", "column": "at"}],
    "schema_change": ["add", "replace"],
    "order_by": ["at"],
}


def test_keys_that_go_together_or_do_not() -> None:
    """Every mode with every form of the keys that have to do with it."""
    choices = [[None, *values] for values in FORMS.values()]
    of_catalog = validator("catalog")
    for chosen in itertools.product(*choices):
        given = {key: value for key, value in zip(FORMS, chosen, strict=True) if value is not None}
        dataset = {"store": "here", "table": "a", **given}
        assert (dataset, of_catalog.is_valid({"a": dataset})) == (dataset, not any(flaws(dataset)))


# What an editor cannot see, by the message of `check`, and why.
UNSEEN = {
    "unknown time zone": "which there are is in the machine's own tables",
    "is not the start of a": "a pattern does not count the days of a month",
    "is before the start": "JSON Schema compares no two values",
    "is not a number of rows": "nor the two ends of 9..5",
    "unknown profile": "which there are, other files say",
    "unknown kind of url": "which there are, the installed libraries say",
    "urls need": "so do they here",
    "delta-rs": "what it cannot quote is no short pattern, and schemes may be written in any case",
    "is no connection string": "libpq's own parser decides",
    'unknown key "address"': "where an executor has no type, the project or another profile may say it",
    "neither rows nor a share": "a number such as 1e-05 is written as 0.00001 there",
}
NOT_SEEN = [
    ("project", "name: demo\ntimezone: Mars/Base\n", "unknown time zone"),
    ("pipeline", "modules: [a]\nwrites: [a]\npartitions: {every: day, start: 2013-02-30}\n", "is not the start of a"),
    (
        "pipeline",
        "modules: [a]\nwrites: [a]\npartitions: {every: year, start: 2013, end: 2012}\n",
        "is before the start",
    ),
    ("catalog", "a: {store: here, path: x, expect: {rows: 9..5}}\n", "is not a number of rows"),
    ("profile", "stores: {h: {adapter: files, url: 'gopher://x'}}\n", "unknown kind of url"),
    ("profile", "stores: {h: {adapter: delta, url: 'gopher://x'}}\n", "delta-rs"),
    ("profile", "stores: {h: {adapter: postgres, dsn: 'x'}}\n", "is no connection string"),
    ("profile", "executor: {address: 'h:1'}\n", 'unknown key "address"'),
]


@pytest.mark.parametrize(("kind", "text", "message"), NOT_SEEN, ids=lambda part: part[:20])
def test_what_an_editor_cannot_see(kind: str, text: str, message: str) -> None:
    assert message in UNSEEN
    (problem,) = set(told(kind, text))
    assert message in problem
    assert refused(kind, text) == []


POOL: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 2013, 0.5, 2.5, 1.0),
    *("", "x", "a b", "5", "5%", "200%", "10m", "0s", "2GB", ">= 1", "10..500", "9..5"),
    *("2013-02", "2013-02-01", "2013"),
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
    near: list[st.SearchStrategy[Any]] = [
        st.sampled_from(schema[key]) for key in ("examples", "enum") if schema.get(key)
    ]
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
        chosen = {part: st.fixed_dictionaries({key: st.just(part.partition("_")[2])}) for key, part in named}
        both = [st.tuples(mappings(definitions[part], definitions), one) for part, one in chosen.items()]
        # A store may be half of one that another profile completes.
        whole = st.integers(0, 5) if named[0][0] == "adapter" else st.just(1)
        return st.tuples(st.one_of(both), whole).map(lambda drawn: drawn[0][0] | (drawn[0][1] if drawn[1] else {}))
    keys = {key: values(inner, definitions) for key, inner in schema["properties"].items()}
    needed = {key: keys[key] for key in schema.get("required", ())}
    return st.lists(st.sampled_from(sorted(keys)), max_size=5, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries(needed | {key: keys[key] for key in chosen})
    )


@pytest.mark.parametrize("kind", schemas.FILES)
@pytest.mark.parametrize("found", ["3", "true", "", "month"])
def test_any_file(kind: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in a file: an editor refuses nothing that `check` accepts, and sees all but what it cannot."""
    monkeypatch.setenv("X", found)
    monkeypatch.setenv("WAREHOUSE_DSN", "host=/tmp")
    schema: Any = validator(kind).schema
    whole = mappings(schema, schema["definitions"]) if "properties" in schema else datasets(schema)

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(whole)
    def holds(data: Any) -> None:
        text = json.dumps(data)
        problems, errors = told(kind, text), refused(kind, text)
        if errors:
            assert problems, errors
        elif problems and "${" not in text and "extends" not in data:
            assert [each for each in problems if not any(message in each for message in UNSEEN)] == []

    holds()


def datasets(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A catalog of one dataset, which often says where it is."""
    one = values(schema["additionalProperties"], schema["definitions"])
    place = st.sampled_from([{}, {"path": "a.csv"}, {"table": "a"}])
    return st.tuples(one, place).map(lambda pair: {"a": pair[1] | pair[0] if isinstance(pair[0], dict) else pair[0]})


def test_every_key_says_what_it_is() -> None:
    silent = []
    for kind in schemas.FILES:
        schema = schemas.schema(kind)
        for name, part in {kind: schema, **schema["definitions"]}.items():
            silent += [
                f"{kind}: {name}.{key}"
                for key, told in part.get("properties", {}).items()
                if not told.get("description")
            ]
            assert "description" in part or name == "catalog", name
    assert silent == []


def test_what_an_editor_shows_is_short_and_in_one_style() -> None:
    for kind in schemas.FILES:
        schema = schemas.schema(kind)
        for part in (schema, *schema["definitions"].values()):
            for key, said in part.get("properties", {}).items():
                text = said["description"]
                assert len(text) <= 160, (key, text)
                assert not text.removesuffix("...").endswith("."), (key, text)


def test_the_repositorys_own_schemas_are_current(tmp_path: Path) -> None:
    for path in schemas.write(tmp_path):
        assert (ROOT / "conf" / "schema" / path.name).read_text("utf-8") == path.read_text("utf-8"), (
            "flowpipe schema --write"
        )


def test_the_repositorys_own_files_name_their_schemas() -> None:
    for path in sorted((ROOT / "conf").rglob("*.yml")):
        line = path.read_text("utf-8").partition("\n")[0]
        assert line == schemas.first_line(kind_of(str(path.relative_to(ROOT))))
        assert (path.parent / line.partition("$schema=")[2]).is_file()
