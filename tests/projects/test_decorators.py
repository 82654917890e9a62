"""Every Hamilton decorator, through YAML and the command."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from tests.conftest import ProjectFolder

HEAD = "import polars as pl\n"
CASES: dict[str, tuple[str, str, list[tuple[object, ...]]]] = {
    "parameterize": (
        """
        from hamilton.function_modifiers import parameterize, source, value


        @parameterize(by_two={"factor": value(2)}, by_param={"factor": source("times")})
        def scaled(numbers: pl.DataFrame, factor: int) -> pl.DataFrame:
            return numbers * factor


        def result(by_two: pl.DataFrame, by_param: pl.DataFrame) -> pl.DataFrame:
            return pl.concat([by_two, by_param.rename({"n": "m"})], how="horizontal")
        """,
        "params: {times: 10}",
        [(2, 10), (4, 20)],
    ),
    "config.when": (
        """
        from hamilton.function_modifiers import config


        @config.when(size="big")
        def result__big(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers.select(pl.col("n") * 1000)


        @config.when(size="small")
        def result__small(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers
        """,
        "config: {size: big}",
        [(1000,), (2000,)],
    ),
    "extract_columns": (
        """
        from hamilton.function_modifiers import extract_columns


        @extract_columns("n", "square")
        def frame(numbers: pl.DataFrame) -> pl.DataFrame:
            return numbers.with_columns(square=pl.col("n") ** 2)


        def result(n: pl.Series, square: pl.Series) -> pl.DataFrame:
            return pl.DataFrame({"sum": n + square})
        """,
        "",
        [(2,), (6,)],
    ),
    "extract_fields": (
        """
        from hamilton.function_modifiers import extract_fields


        @extract_fields({"low": int, "high": int})
        def bounds(numbers: pl.DataFrame) -> dict:
            return {"low": numbers["n"].min(), "high": numbers["n"].max()}


        def result(low: int, high: int) -> pl.DataFrame:
            return pl.DataFrame({"low": [low], "high": [high]})
        """,
        "",
        [(1, 2)],
    ),
    "tag": (
        """
        from hamilton.function_modifiers import tag


        @tag(owner="me")
        def result(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers
        """,
        "",
        [(1,), (2,)],
    ),
    "check_output": (
        """
        from hamilton.function_modifiers import check_output


        @check_output(range=(0, 10), importance="fail")
        def total(numbers: pl.DataFrame) -> int:
            return int(numbers["n"].sum())


        def result(total: int) -> pl.DataFrame:
            return pl.DataFrame({"total": [total]})
        """,
        "",
        [(3,)],
    ),
    "pipe_input": (
        """
        from hamilton.function_modifiers import pipe_input, step


        def _plus(numbers: pl.LazyFrame, by: int) -> pl.LazyFrame:
            return numbers.select(pl.col("n") + by)


        @pipe_input(step(_plus, by=1), step(_plus, by=10))
        def result(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers
        """,
        "",
        [(12,), (13,)],
    ),
    "pipe_output": (
        """
        from hamilton.function_modifiers import pipe_output, step


        def _plus(numbers: pl.LazyFrame, by: int) -> pl.LazyFrame:
            return numbers.select(pl.col("n") + by)


        @pipe_output(step(_plus, by=5))
        def result(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers
        """,
        "",
        [(6,), (7,)],
    ),
    "subdag": (
        """
        from hamilton.function_modifiers import source, subdag, value


        def _inner(rows: pl.LazyFrame, factor: int) -> pl.LazyFrame:
            return rows.select(pl.col("n") * factor)


        def scaled(rows: pl.LazyFrame, factor: int) -> pl.LazyFrame:
            return _inner(rows, factor)


        @subdag(scaled, inputs={"rows": source("numbers"), "factor": value(3)})
        def result(scaled: pl.LazyFrame) -> pl.LazyFrame:
            return scaled
        """,
        "params: {factor: 1}\nreads: {rows: numbers}",
        [(3,), (6,)],
    ),
    "resolve": (
        """
        from hamilton.function_modifiers import ResolveAt, parameterize, resolve, value


        @resolve(
            when=ResolveAt.CONFIG_AVAILABLE,
            decorate_with=lambda factors: parameterize(**{f"by_{n}": {"factor": value(n)} for n in factors}),
        )
        def scaled(numbers: pl.LazyFrame, factor: int) -> pl.LazyFrame:
            return numbers.select(pl.col("n") * factor)


        def result(by_2: pl.LazyFrame, by_3: pl.LazyFrame) -> pl.LazyFrame:
            return pl.concat([by_2, by_3])
        """,
        "config: {factors: [2, 3]}",
        [(2,), (4,), (3,), (6,)],
    ),
    "inject": (
        """
        from hamilton.function_modifiers import group, inject, source


        def one(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers


        def ten(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers.select(pl.col("n") * 10)


        @inject(parts=group(source("one"), source("ten")))
        def result(parts: list[pl.LazyFrame]) -> pl.LazyFrame:
            return pl.concat(parts)
        """,
        "",
        [(1,), (2,), (10,), (20,)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_decorator(name: str, empty_project: Callable[[dict[str, str]], ProjectFolder]) -> None:
    module, settings, rows = CASES[name]
    import textwrap

    project = empty_project(
        {
            "conf/project.yml": "name: decorators\n",
            "conf/profiles/dev.yml": "stores:\n  here: {adapter: files, url: data}\n",
            "conf/catalog.yml": "numbers: {store: here, path: n.csv}\nout: {store: here, path: out.parquet}\n",
            "conf/pipelines/job.yml": f"modules: [job]\nwrites: {{result: out}}\n{settings}\n",
            "pipelines/job.py": HEAD + textwrap.dedent(module),
            "data/n.csv": "n\n1\n2\n",
        }
    )
    done = project.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    assert pl.read_parquet(project.path / "data/out.parquet").rows() == rows
    assert "skipped" in project.flowpipe("run").out
