"""Every decorator of Hamilton: the graph, the place of its nodes, and their values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from code_on_disk import compute, graph_of

from flowpipe.errors import NodeError
from flowpipe.pipeline import Pipeline

Load = Callable[..., Pipeline]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return functools.partial(graph_of, tmp_path)


class TestDecorators:
    def check(self, graph: Pipeline, where: Mapping[str, int], values: Mapping[str, Any], **inputs: Any) -> None:
        assert {name: graph.nodes[name].where.line for name in where} == where
        assert {node.module for node in graph.nodes.values()} <= {"a", "lib"}
        assert compute(graph, *values, **inputs) == values

    def test_parameterize(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import parameterize, source, value
            @parameterize(by_two={"n": value(2)}, by_x={"n": source("x")})
            def by(rows: int, n: int) -> int: return rows * n
            """
        self.check(load(a=text), {"by_two": 3, "by_x": 3}, {"by_two": 14, "by_x": 35}, rows=7, x=5)

    def test_config_when(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import config
            @config.when(size="big")
            def rows__big() -> int: return 1000
            @config.when(size="small")
            def rows__small() -> int: return 1
            """
        self.check(load({"size": "big"}, a=text), {"rows": 3}, {"rows": 1000})
        self.check(load({"size": "small"}, a=text), {"rows": 5}, {"rows": 1})

    def test_extract_columns(self, load: Load) -> None:
        text = """
            import pandas as pd
            import polars as pl
            from hamilton.function_modifiers import extract_columns
            @extract_columns("n", "m")
            def eager() -> pl.DataFrame: return pl.DataFrame({"n": [1], "m": [2]})
            @extract_columns("k")
            def lazy() -> pl.LazyFrame: return pl.LazyFrame({"k": [3]})
            @extract_columns("p")
            def panda() -> pd.DataFrame: return pd.DataFrame({"p": [4]})
            def end(n: pl.Series, m: pl.Series, lazy: pl.LazyFrame, k: pl.Expr, p: pd.Series) -> int:
                return n.sum() + m.sum() + lazy.select(k).collect().item() + p.sum()
            """
        self.check(load(a=text), {"n": 5, "m": 5, "k": 7, "p": 9, "end": 10}, {"end": 10})

    def test_extract_fields(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import extract_fields
            @extract_fields({"low": int, "high": int})
            def bounds() -> dict: return {"low": 1, "high": 2}
            """
        self.check(load(a=text), {"low": 3, "bounds": 3}, {"low": 1, "high": 2})

    def test_tag(self, load: Load) -> None:
        graph = load(a='from hamilton.function_modifiers import tag\n@tag(a="b")\ndef x() -> int: return 1')
        self.check(graph, {"x": 3}, {"x": 1})
        assert graph.nodes["x"].tags == {"a": "b"}

    def test_check_output(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import check_output
            @check_output(range=(0, 10), importance="fail")
            def total(x: int) -> int: return x
            """
        graph = load(a=text)
        self.check(graph, {"total": 3, "total_raw": 3}, {"total": 3}, x=3)
        with pytest.raises(NodeError) as caught:
            compute(graph, "total", x=30)
        assert str(caught.value).startswith("pipelines/a.py:3: node total failed: DataValidationError: ")
        assert len(str(caught.value).splitlines()) <= 8

    def test_pipe_input_and_pipe_output(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import pipe_input, pipe_output, step
            def _plus(x: int, by: int) -> int: return x + by
            @pipe_input(step(_plus, by=1), step(_plus, by=10))
            def first(x: int) -> int: return x * 2
            @pipe_output(step(_plus, by=100))
            def second(first: int) -> int: return first
            """
        self.check(load(a=text), {"first": 4, "second": 6}, {"first": 24, "second": 124}, x=1)

    def test_subdag(self, load: Load) -> None:
        text = """
            import lib
            from hamilton.function_modifiers import source, subdag, value
            @subdag(lib, inputs={"rows": source("x"), "factor": value(3)})
            def tripled(scaled: int) -> int: return scaled
            """
        graph = load(a=text, lib="def scaled(rows: int, factor: int) -> int: return rows * factor")
        self.check(graph, {"tripled": 4, "tripled.scaled": 1}, {"tripled": 21}, x=7)
        assert graph.nodes["tripled.scaled"].module == "lib"

    def test_resolve(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import ResolveAt, parameterize, resolve, value
            @resolve(
                when=ResolveAt.CONFIG_AVAILABLE,
                decorate_with=lambda factors: parameterize(**{f"by_{n}": {"n": value(n)} for n in factors}),
            )
            def by(x: int, n: int) -> int: return x * n
            """
        self.check(load({"factors": [2, 3]}, a=text), {"by_2": 6, "by_3": 6}, {"by_2": 10, "by_3": 15}, x=5)

    def test_inject(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import group, inject, source
            @inject(parts=group(source("x"), source("y")))
            def total(parts: list[int]) -> int: return sum(parts)
            """
        self.check(load(a=text), {"total": 3}, {"total": 3}, x=1, y=2)
