"""How each node is run: what YAML, tags and the pipeline say, merged by their precedence."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpipe.bound import Bound
from flowpipe.config import Configuration, PipelineConfig
from flowpipe.errors import Where
from flowpipe.executors import ONE_CPU, Resources
from flowpipe.loading import load
from flowpipe.modules import ProjectCode
from flowpipe.pipeline import Node
from flowpipe.project import Project
from flowpipe.settings import settle

HEAD = """\
import pandas as pd
import polars as pl
from hamilton.function_modifiers import *


"""
Bind = Callable[[str, str], Bound]


@pytest.fixture
def bind(tmp_path: Path) -> Bind:
    def bind(code: str, yaml: str) -> Bound:
        for name, text in {
            "conf/project.yml": "name: demo\n",
            "conf/catalog.yml": "end: {store: here, path: end.parquet}\n",
            "conf/profiles/dev.yml": "stores: {here: {adapter: files, url: data}}\n",
            "conf/pipelines/x.yml": f"modules: [x]\nwrites: [end]\n{yaml}\n",
            "pipelines/x.py": f"{HEAD}{code}",
        }.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return Project.load(tmp_path).check()["x"]

    return bind


END = "\n\ndef end() -> pl.DataFrame: return pl.DataFrame()\n"


def test_nothing_is_said(bind: Bind) -> None:
    bound = bind(END, "")
    (settings,) = bound.settings.values()
    assert (settings.retry.config.attempts, settings.timeout, settings.takes) == (1, None, ONE_CPU)
    assert bound.notes == ()


def test_a_node_says_what_differs_from_its_pipeline(bind: Bind) -> None:
    code = "def a() -> int: return 1" + END.replace("end()", "end(a: int)")
    bound = bind(
        code,
        "retry: {attempts: 2, wait: 5s, errors: [OSError]}\n"
        "nodes: {a: {retry: {attempts: 5}, timeout: 90s, resources: {cpus: 2, memory: 1GB}}}",
    )
    own, other = bound.settings["a"], bound.settings["end"]
    assert own.retry.config.model_dump() == other.retry.config.model_dump() | {"attempts": 5}
    assert (own.retry.config.wait, own.retry.config.errors) == ("5s", ["OSError"])
    assert (own.timeout, own.takes) == (90.0, Resources(2, 10**9, 0))
    assert (other.retry.config.attempts, other.timeout, other.takes) == (2, None, ONE_CPU)


@pytest.mark.parametrize(
    "text",
    [
        "attempts: 4, errors: [OSError]",
        "{attempts: 4, errors: [OSError]}",
        '{"attempts": 4, "errors": ["OSError"]}',
        "\n  attempts: 4,\n  errors: [OSError],\n",
    ],
)
def test_a_tag_is_yaml(bind: Bind, text: str) -> None:
    bound = bind(f'@tag(retry={text!r}, timeout="2m", resources="gpus: 0, cpus: 0.5")\n{END.lstrip()}', "")
    settings = bound.settings["end"]
    assert (settings.retry.config.attempts, settings.retry.config.errors) == (4, ["OSError"])
    assert (settings.timeout, settings.takes) == (120.0, Resources(0.5))


def test_yaml_takes_a_tag_away(bind: Bind) -> None:
    code = f'@tag(retry="attempts: 4", timeout="2m", resources="cpus: 2")\n{END.lstrip()}'
    bound = bind(code, "retry: {attempts: 2}\nnodes: {end: {retry: null, timeout: null, resources: null}}")
    settings = bound.settings["end"]
    assert (settings.retry.config.attempts, settings.timeout, settings.takes) == (1, None, ONE_CPU)
    assert bound.notes == ()


def attempts(bound: Bound) -> dict[str, int]:
    return {name: settings.retry.config.attempts for name, settings in sorted(bound.settings.items())}


def test_what_a_decorated_function_is_made_of_is_run_alike(bind: Bind) -> None:
    """Hamilton tags only the last nodes of a function, which do no work of their own."""
    code = (
        '@tag(retry="attempts: 2")\n@check_output(range=(0, 9))\ndef checked() -> int: return 1\n\n\n'
        "@check_output(range=(0, 9))\ndef by_yaml() -> int: return 1\n\n\n"
        '@tag(retry="attempts: 4")\n@extract_columns("a", "b")\ndef cut() -> pd.DataFrame: ...\n\n\n'
        '@tag(retry="attempts: 7")\n@check_output(range=(0, 9), target_="x")\n@extract_fields({"x": float})\n'
        "def deep() -> dict: ...\n\n\n"
        '@parameterize(p={"n": value(1)}, q={"n": value(2)})\ndef many(n: int) -> int: return n\n\n\n'
        "def end(checked: int, by_yaml: int, a: pd.Series, b: pd.Series, x: float, p: int, q: int) -> pl.DataFrame: ..."
    )
    bound = bind(code, "nodes: {by_yaml: {retry: {attempts: 3}}, p: {retry: {attempts: 5}}, b: {retry: {attempts: 6}}}")
    assert attempts(bound) == {
        "a": 4,
        "b": 6,
        "by_yaml": 3,
        "by_yaml_range_validator": 3,
        "by_yaml_raw": 3,
        "checked": 2,
        "checked_range_validator": 2,
        "checked_raw": 2,
        "cut": 6,
        "deep": 7,
        "end": 1,
        "p": 5,
        "q": 1,
        "x": 7,
        "x_range_validator": 7,
        "x_raw": 7,
    }


def node(name: str, **tags: str) -> Node:
    return Node(name=name, annotation=int, where=Where("x.py", 1), module="x", inputs=(), tags=tags)


@functools.cache
def empty() -> tuple[Configuration, ProjectCode]:
    folder = Path(tempfile.mkdtemp())
    for name, text in {
        "conf/project.yml": "name: demo\n",
        "conf/profiles/dev.yml": "stores: {}\n",
        "pipelines/x.py": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return load(folder), ProjectCode(folder / "pipelines")


RETRY = st.fixed_dictionaries(
    {},
    optional={
        "attempts": st.integers(1, 99),
        "wait": st.integers(0, 99).map("{}s".format),
        "max_wait": st.none() | st.integers(0, 99).map("{}m".format),
        "exponential": st.booleans(),
        "jitter": st.none() | st.integers(0, 99).map("{}ms".format),
        "errors": st.lists(st.sampled_from(["OSError", "ValueError"]), max_size=2),
        "not_errors": st.lists(st.sampled_from(["KeyError", "TypeError"]), max_size=2),
    },
)
RESOURCES = st.fixed_dictionaries(
    {},
    optional={"cpus": st.sampled_from([0.5, 1, 2]), "memory": st.sampled_from(["1MB", "2MB"]), "gpus": st.just(0)},
)
SAID = st.fixed_dictionaries(
    {},
    optional={
        "retry": RETRY,
        "timeout": st.integers(1, 99).map("{}s".format),
        "resources": RESOURCES,
    },
)
PLAIN = {
    "retry": {
        "attempts": 1,
        "wait": "1s",
        "max_wait": None,
        "exponential": False,
        "jitter": None,
        "errors": ["Exception"],
        "not_errors": [],
    },
    "timeout": None,
    "resources": {"cpus": 1, "memory": None, "gpus": 0},
}


def over(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge, the later one wins."""
    found: dict[str, Any] = {}
    for key, said in ((key, said) for layer in layers for key, said in layer.items()):
        found[key] = over(found.get(key) or {}, said) if isinstance(said, Mapping) else said
    return found


@given(RETRY, SAID, SAID)
def test_yaml_stands_over_tags_and_tags_over_the_pipeline(
    pipeline: dict[str, Any], tag: dict[str, Any], yaml: dict[str, Any]
) -> None:
    configuration, code = empty()
    config = PipelineConfig.model_validate({"modules": ["x"], "writes": {}, "retry": pipeline, "nodes": {"a": yaml}})
    tags = {name: said if isinstance(said, str) else json.dumps(said) for name, said in tag.items()}
    settled = settle(
        "x", replace(configuration, pipelines={"x": config}), {"a": node("a", **tags), "b": node("b")}, code
    )
    assert settled.problems == ()
    for name, layers in (("a", (tag, yaml)), ("b", ())):
        wanted, found = over(PLAIN, {"retry": pipeline}, *layers), settled.nodes[name]
        assert found.retry.config.model_dump() == wanted["retry"]
        assert found.timeout == (float(wanted["timeout"][:-1]) if wanted["timeout"] else None)
        takes, memory = wanted["resources"], wanted["resources"]["memory"]
        assert found.takes == Resources(takes["cpus"], int(memory[0]) * 10**6 if memory else 0, takes["gpus"])
