"""Hooks see values that are in the driver, and stand-ins for what stayed away; each step has instances of its own."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from code_on_disk import graph_of
from hamilton.lifecycle import GraphConstructionHook, NodeExecutionHook

from flowpipe.errors import Where
from flowpipe.executors import Gathered, NodeEnd, NodeStart, Remote
from flowpipe.firing import Firing, HookPool
from flowpipe.hooks import Hook
from flowpipe.pipeline import Pipeline

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Seen(NodeExecutionHook, GraphConstructionHook):
    """Keeps what it is told."""

    made = 0

    def __init__(self, fails: bool = False) -> None:
        type(self).made += 1
        self.fails = fails
        self.told: list[Any] = []

    def run_after_graph_construction(self, *, graph: Any, config: Any, **rest: Any) -> None:
        self.told.append(("graph", config["kept"]))

    def run_before_node_execution(self, *, node_name: str, node_kwargs: Any, task_id: Any, **rest: Any) -> None:
        if self.fails:
            raise RuntimeError("cannot reach hunter2")
        self.told.append((node_name, task_id, repr(node_kwargs)))

    def run_after_node_execution(self, *, node_name: str, node_kwargs: Any, result: Any, **rest: Any) -> None:
        self.told.append((node_name, repr(node_kwargs), repr(result)))


@pytest.fixture
def graph(tmp_path: Path) -> Pipeline:
    return graph_of(tmp_path, {"kept": 7}, a="def a(x: int, kept: int) -> int: return x\n")


def hook(number: int = 1, **options: Any) -> Hook:
    return Hook("tests.Seen", Where("conf/project.yml", number, 1), Seen, options)


def seen_by(pool: HookPool, hooks: tuple[Hook, ...]) -> Seen:
    """The first of the instances that are free."""
    instances = pool.take(hooks)
    pool.give(instances)
    (adapter,) = instances[0].adapters.adapters
    assert isinstance(adapter, Seen)
    return adapter


def run(graph: Pipeline, firing: Firing, *events: NodeStart | NodeEnd) -> None:
    """One computation, in which these events happen."""
    tell = firing.told(lambda _: None)

    def compute() -> dict[str, Any]:
        for event in events:
            tell(event)
        return {"a": 1}

    assert firing.around((graph._graph, ["a"], {"x": 1}, {}), compute) == {"a": 1}


def test_what_stayed_on_a_worker_is_told_as_such(graph: Pipeline) -> None:
    pool, hooks = HookPool(str), (hook(),)
    arguments = {"x": Remote("ref", 1200), "all": Gathered((1, Remote("ref")))}
    end = NodeEnd("a", NOW, 0.1, 1, "done", Remote("ref"))
    run(graph, pool.of(hooks, "r"), NodeStart("a", NOW, arguments), end)
    seen = "{'x': <a value that stayed on its worker: 1,200 rows>, 'all': [1, <a value that stayed on its worker>]}"
    assert seen_by(pool, hooks).told == [
        ("graph", 7),
        ("a", None, seen),
        ("a", seen, "<a value that stayed on its worker>"),
    ]


def test_a_graph_is_introduced_once(graph: Pipeline) -> None:
    pool, hooks = HookPool(str), (hook(),)
    run(graph, pool.of(hooks, "r"))
    run(graph, pool.of(hooks, "r"))
    assert seen_by(pool, hooks).told == [("graph", 7)]


def test_steps_side_by_side_have_instances_of_their_own(graph: Pipeline) -> None:
    pool, hooks = HookPool(str), (hook(),)
    Seen.made = 0
    pool.make([hooks, (), hooks])
    assert Seen.made == 1
    within = pool.of(hooks, "outer")
    within.around((graph._graph, ["a"], {}, {}), lambda: run(graph, pool.of(hooks, "inner")) or {})
    assert Seen.made == 2
    run(graph, pool.of(hooks, "later"))
    assert Seen.made == 2


def test_one_that_fails_is_silent_in_all_steps_and_told_of_once(
    graph: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pool = HookPool(lambda text: text.replace("hunter2", "***"))
    hooks = (hook(1, fails=True), hook(2))
    events = NodeStart("a", NOW), NodeEnd("a", NOW, 0.1, 1, "done", 1)
    with caplog.at_level(logging.WARNING):
        run(graph, pool.of(hooks, "one"), *events)
        run(graph, pool.of(hooks, "two"), *events)
    assert [record.message for record in caplog.records] == [
        "hook tests.Seen failed in pre_node_execute and is silent from now on: RuntimeError: cannot reach ***"
    ]
    first, second = (each.adapters.adapters[0].told for each in pool.take(hooks))
    assert first == [("graph", 7)]
    assert len(second) == 5
