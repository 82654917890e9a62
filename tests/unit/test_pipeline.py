"""A pipeline's graph as the rest of flowpipe knows it, and how its nodes are computed."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from code_on_disk import SITE, compute, graph_of, once

from flowpipe.config import RetryConfig
from flowpipe.errors import DataError, FlowpipeError, Interrupted, NodeError, Where
from flowpipe.executors import Executor, NodeEnd, NodeProgress
from flowpipe.executors.local import Sync, SyncOptions, Threads, ThreadsOptions
from flowpipe.executors.retry import Policy
from flowpipe.executors.scheduler import Scheduler
from flowpipe.executors.task import Settings
from flowpipe.pipeline import Input, Pipeline

Load = Callable[..., Pipeline]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return functools.partial(graph_of, tmp_path)


@pytest.fixture(params=["sync", "threads"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    made: Executor = Sync(SyncOptions(), SITE) if request.param == "sync" else Threads(ThreadsOptions(workers=2), SITE)
    yield made
    made.close()


DAILY = """
    import polars as pl
    from hamilton.function_modifiers import tag

    def _private(x):
        return x

    @tag(owner="me")
    def late(flights: pl.LazyFrame, late_minutes: int = 15) -> pl.LazyFrame:
        return flights.filter(pl.col("delay") > late_minutes)

    def share(late: pl.LazyFrame, flights: pl.LazyFrame, late_minutes: int = 20) -> float:
        return late.collect().height / flights.collect().height

    def unused(other: str) -> str:
        return other
    """


class TestLoad:
    def test_inputs_and_nodes(self, load: Load) -> None:
        graph = load(daily=DAILY)
        assert graph.inputs == {
            "flights": Input("flights", pl.LazyFrame, False, None, ("late", "share")),
            "late_minutes": Input("late_minutes", int, True, 15, ("late", "share")),
            "other": Input("other", str, False, None, ("unused",)),
        }
        assert sorted(graph.nodes) == ["late", "share", "unused"]
        late = graph.nodes["late"]
        assert (late.annotation, late.inputs) == (pl.LazyFrame, ("flights", "late_minutes"))
        assert (str(late.where), late.module, late.tags) == ("pipelines/daily.py:8", "daily", {"owner": "me"})

    def test_who_needs_whom(self, load: Load) -> None:
        graph = load(daily=DAILY)
        assert graph.upstream(["share"]) == {"share", "late", "flights", "late_minutes"}
        assert graph.upstream(["unused", "flights"]) == {"unused", "other", "flights"}
        assert graph.consumers("late") == ("share",)
        assert graph.consumers("flights") == ("late", "share")
        assert graph.consumers("share") == graph.consumers("nothing") == ()

    def test_a_parameter_is_required_if_one_function_requires_it(self, load: Load) -> None:
        graph = load(a="def a(x: int = 1) -> int: return x\ndef b(x: int) -> int: return x")
        assert graph.inputs["x"] == Input("x", int, False, None, ("a", "b"))

    def test_nodes_of_several_modules(self, load: Load) -> None:
        graph = load(a="def a(x: int) -> int: return x + 1", b="import a\ndef b(a: int) -> int: return a * 2")
        assert (graph.nodes["a"].module, graph.nodes["b"].module) == ("a", "b")
        assert compute(graph, "b", x=1) == {"b": 4}

    def test_functions_of_imported_modules_are_no_nodes(self, load: Load) -> None:
        graph = load(lib="def helper(x): return x", a="from lib import helper\ndef a(x: int) -> int: return helper(x)")
        assert sorted(graph.nodes) == ["a"]

    def test_a_config_value_may_feed_a_parameter(self, load: Load) -> None:
        graph = load({"x": 5}, a="def a(x: int) -> int: return x + 1")
        assert graph.inputs["x"].used_by == ("a",)
        assert compute(graph, "a") == compute(graph, "a", x=5) == {"a": 6}


class TestCompute:
    def run(self, graph: Pipeline, executor: Executor, *wanted: str, **settings: Any) -> dict[str, Any]:
        inputs = settings.pop("inputs", {})
        settings = {"settings": once(graph), "progress": lambda _: None, **settings}
        return graph.compute(wanted, inputs, scheduler=Scheduler(executor), **settings)

    def fails(self, graph: Pipeline, executor: Executor, *wanted: str, **settings: Any) -> str:
        with pytest.raises(FlowpipeError) as caught:
            self.run(graph, executor, *wanted, **settings)
        return f"{type(caught.value).__name__}: {caught.value}"

    def test_only_what_is_needed_runs(self, load: Load, executor: Executor) -> None:
        seen: list[NodeProgress] = []
        graph = load(daily=DAILY)
        flights = pl.LazyFrame({"delay": [10, 17, 30]})
        values = self.run(graph, executor, "share", "flights", inputs={"flights": flights}, progress=seen.append)
        assert list(values) == ["share", "flights"]
        assert (values["share"], values["flights"] is flights) == (2 / 3, True)
        assert [event.node for event in seen] == ["late", "late", "share", "share"]
        assert [event.value for event in seen if isinstance(event, NodeEnd)][1] == 2 / 3

    def test_an_override_is_not_computed(self, load: Load, executor: Executor) -> None:
        graph = load(a="def a(x: int) -> int: return 1 / 0\ndef b(a: int) -> int: return a + 1")
        assert self.run(graph, executor, "b", "a", overrides={"a": 4}) == {"b": 5, "a": 4}

    def test_a_node_hands_on(self, load: Load, executor: Executor) -> None:
        graph = load(a="def a() -> int: return 1\ndef b(a: int) -> str: return f'{a}!'")
        got: list[int] = []

        def audited(value: int) -> str:
            got.append(value)
            return "good"

        assert self.run(graph, executor, "b", "a", handed_on={"a": audited}) == {"b": "good!", "a": "good"}
        assert got == [1]

    def test_what_handing_on_raises_is_raised(self, load: Load, executor: Executor) -> None:
        def audited(value: int) -> int:
            raise DataError("2 rows are bad", where=Where("conf/catalog.yml", 3))

        graph = load(a="def a() -> int: return 1\ndef b(a: int) -> int: return a")
        assert self.fails(graph, executor, "b", handed_on={"a": audited}) == (
            "DataError: conf/catalog.yml:3: 2 rows are bad"
        )

    def test_a_failure(self, load: Load, executor: Executor) -> None:
        text = """
            import lib

            def a(x: int) -> int:
                y = x
                return lib.divide(y)

            def b(a: int) -> int:
                return a
            """
        graph = load(lib="import json\ndef divide(x):\n    return json.loads('[1')[x]", a=text)
        assert self.fails(graph, executor, "b", inputs={"x": 1}) == (
            "NodeError: pipelines/a.py:3: node a failed: "
            "JSONDecodeError: Expecting ',' delimiter: line 1 column 3 (char 2)\n"
            "  at pipelines/lib.py:3: return json.loads('[1')[x]\n"
            "  hint: run again with --debug to see the traceback"
        )

    def test_a_failure_after_attempts(self, load: Load, executor: Executor) -> None:
        text = "class Down(Exception): ...\ndef a() -> int:\n    raise Down('one\\ntwo\\n\\nthree\\nfour')"
        retry = RetryConfig(attempts=3, wait="1ms")
        assert self.fails(load(a=text), executor, "a", settings={"a": Settings(Policy(retry))}) == (
            "NodeError: pipelines/a.py:2: node a failed after 3 attempts: Down: one\n"
            "    two\n"
            "    three\n"
            "  at pipelines/a.py:3: raise Down('one\\ntwo\\n\\nthree\\nfour')\n"
            "  hint: run again with --debug to see the traceback"
        )

    def test_a_failure_keeps_its_cause(self, load: Load, executor: Executor) -> None:
        with pytest.raises(NodeError) as caught:
            self.run(load(a="def a() -> int: return 1 / 0"), executor, "a")
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_failures_of_running_nodes_are_named_too(self, load: Load) -> None:
        text = """
            import threading
            _both = threading.Barrier(2, timeout=60)
            def a() -> int:
                _both.wait()
                raise ValueError("of a")
            def b() -> int:
                _both.wait()
                raise ValueError("of b")
            def c(a: int, b: int) -> int: return a + b
            """
        made = Threads(ThreadsOptions(workers=2), SITE)
        lines = self.fails(load(a=text), made, "c").splitlines()
        made.close()
        first, second = ("a", "b") if "node a failed:" in lines[0] else ("b", "a")
        number = {"a": 3, "b": 6}
        assert lines == [
            f"NodeError: pipelines/a.py:{number[first]}: node {first} failed: ValueError: of {first}",
            f'  at pipelines/a.py:{number[first] + 2}: raise ValueError("of {first}")',
            f"  node {second} failed as well: ValueError: of {second}",
            "  hint: run again with --debug to see the traceback",
        ]

    def test_a_flowpipe_error_of_a_node_is_itself(self, load: Load, executor: Executor) -> None:
        text = "from flowpipe.errors import DataError\ndef a() -> int:\n    raise DataError('bad rows')"
        assert self.fails(load(a=text), executor, "a") == "DataError: pipelines/a.py:2: bad rows"

    @pytest.mark.parametrize(
        ("annotation", "value", "gives"),
        [
            ("pl.DataFrame", "None", "None"),
            ("pl.DataFrame", "pl.LazyFrame()", "polars.LazyFrame"),
            ("int", "1.5", "float"),
            ("str", "Row()", "a.Row"),
        ],
    )
    def test_a_value_of_another_type(
        self, load: Load, executor: Executor, annotation: str, value: str, gives: str
    ) -> None:
        graph = load(a=f"import polars as pl\nclass Row: ...\ndef a() -> {annotation}: return {value}")
        wants = annotation.replace("pl.", "polars.")
        assert self.fails(graph, executor, "a") == (
            f"NodeError: pipelines/a.py:3: node a gives {gives}, but is annotated {wants}\n"
            "  hint: return such a value on every path, or correct the annotation"
        )

    @pytest.mark.parametrize(
        ("annotation", "value"),
        [
            ("float", "1"),
            ("int", "np.int64(3)"),
            ("float", "np.float32(3)"),
            ("bool", "np.bool_(True)"),
            ("None", "None"),
            ("typing.Any", "None"),
            ("int | None", "None"),
            ("list[int]", "None"),
            ("typing.Hashable", "3"),
            ("typing.SupportsInt", "3"),
            ("Row", "{}"),
            ("Shape", "3"),
        ],
    )
    def test_values_that_pass(self, load: Load, annotation: str, value: str) -> None:
        text = (
            "import typing\nimport numpy as np\nclass Row(typing.TypedDict): ...\nclass Shape(typing.Protocol): ...\n"
            f"def a() -> {annotation}: return {value}"
        )
        assert list(compute(load(a=text), "a")) == ["a"]

    def test_missing_and_unknown_names(self, load: Load, executor: Executor) -> None:
        graph = load(a="def a(x: int, y: int = 1) -> int: return x\ndef b(z: int) -> int: return z")
        assert self.fails(graph, executor, "a", "c", inputs={"w": 1}, overrides={"d": 1}) == (
            'ConfigError: unknown node "c"\n'
            "  hint: known: a, b\n"
            'unknown node "d"\n'
            "  hint: known: a, b\n"
            'unknown input "w"\n'
            "  hint: known: x, y, z\n"
            "pipelines/a.py:1: input x of node a is not given"
        )

    def test_a_stop(self, load: Load, executor: Executor) -> None:
        def check_stop() -> None:
            raise Interrupted(15)

        graph = load(a="def a() -> int: return 1")
        assert self.fails(graph, executor, "a", check_stop=check_stop) == (
            "Interrupted: interrupted; nothing is half published\n  hint: run the same command again to go on"
        )

    def test_inputs_are_not_shown_by_hamilton(self, load: Load, executor: Executor) -> None:
        graph = load(a="def a(x: int) -> str: return x")
        assert self.run(graph, executor, "a", inputs={"x": "not an int"}) == {"a": "not an int"}

    def test_one_graph_is_computed_by_several_threads(self, load: Load) -> None:
        graph = load(a="def a(x: int) -> int: return x + 1\ndef b(a: int) -> int: return a * 2")
        found: dict[int, int] = {}
        threads = [
            threading.Thread(target=lambda x=x: found.update({x: compute(graph, "b", x=x)["b"]})) for x in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {x: (x + 1) * 2 for x in range(20)}


def test_a_chain_of_5000_nodes(load: Load, executor: Executor) -> None:
    lines = ["def n0() -> int: return 0"]
    lines += [f"def n{i}(n{i - 1}: int) -> int: return n{i - 1} + 1" for i in range(1, 5000)]
    graph = load(a="\n".join(lines))
    values = graph.compute(["n4999"], {}, scheduler=Scheduler(executor), settings=once(graph), progress=lambda _: None)
    assert values == {"n4999": 4999}
    assert len(graph.upstream(["n4999"])) == 5000
