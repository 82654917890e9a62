"""Fan-outs in a graph: what runs once per item, and what is refused."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from code_on_disk import compute, graph_of

from flowpipe.errors import ConfigError
from flowpipe.pipeline import Pipeline

HEAD = "from hamilton.htypes import Collect, Parallelizable\n"
SCORES = """
def files(n: int) -> Parallelizable[str]:
    for i in range(n):
        yield str(i)
def score(files: str, k: int) -> int: return int(files) * k
def both(score: int, files: str) -> int: return score + int(files)
def total(both: Collect[int], k: int) -> int: return sum(both) + k
def twice(total: int) -> int: return total * 2
def count(files: Collect[str]) -> int: return len(list(files))
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Pipeline]:
    return lambda text: graph_of(tmp_path, a=HEAD + textwrap.dedent(text))


def test_what_runs_once_per_item(load: Callable[[str], Pipeline]) -> None:
    graph = load(SCORES)
    assert {name: node.within for name, node in graph.nodes.items() if node.within} == {
        "score": "files",
        "both": "files",
    }
    assert [name for name, node in graph.nodes.items() if node.expands] == ["files"]
    assert {name: node.collects for name, node in graph.nodes.items() if node.collects} == {
        "total": "both",
        "count": "files",
    }


def test_it_is_computed(load: Callable[[str], Pipeline]) -> None:
    graph = load(SCORES)
    assert compute(graph, "twice", "count", n=4, k=10) == {"twice": ((0 + 1 + 2 + 3) * 11 + 10) * 2, "count": 4}
    assert compute(graph, "total", n=0, k=10) == {"total": 10}


def test_a_single_item_has_no_value_of_its_own(load: Callable[[str], Pipeline]) -> None:
    with pytest.raises(ConfigError) as caught:
        compute(load(SCORES), "score", n=1, k=1)
    assert str(caught.value) == (
        "pipelines/a.py:6: node score is made for each item of files\n  hint: ask for the node that collects it"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            """
            def a() -> Parallelizable[int]: yield 1
            def b(a: int) -> Parallelizable[int]: yield a
            def c(b: int) -> int: return b
            def d(c: Collect[int]) -> int: return sum(c)
            """,
            (
                "pipelines/a.py:4: node b expands within the fan-out of a, which Hamilton does not define\n"
                "  hint: expand to all combinations in one node"
            ),
        ),
        (
            """
            def a() -> Parallelizable[int]: yield 1
            def b(a: int) -> int: return a
            """,
            (
                "pipelines/a.py:3: node a is Parallelizable, but nothing that is made of it is collected\n"
                "  hint: give a node below it a parameter annotated Collect[...]"
            ),
        ),
        (
            """
            def a() -> Parallelizable[int]: yield 1
            def b(a: int) -> int: return a
            def c(b: Collect[int]) -> int: return sum(b)
            def d(b: int) -> int: return b
            """,
            (
                "pipelines/a.py:6: node d is made for each item of a, but not collected\n"
                "  hint: annotate the parameter that takes it Collect[...]"
            ),
        ),
        (
            """
            def a() -> Parallelizable[int]: yield 1
            def b() -> Parallelizable[int]: yield 1
            def c(a: int, b: int) -> int: return a + b
            def d(c: Collect[int]) -> int: return sum(c)
            """,
            "pipelines/a.py:5: node c is made of items of a and b\n  hint: collect one first",
        ),
        (
            """
            def a(x: int) -> int: return x
            def d(a: Collect[int]) -> int: return sum(a)
            """,
            (
                "pipelines/a.py:4: node d collects a, which is not made of a Parallelizable\n"
                "  hint: annotate what it takes as it is, without Collect"
            ),
        ),
    ],
)
def test_problems(load: Callable[[str], Pipeline], text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    told: Any = str(caught.value)
    assert problem in told
