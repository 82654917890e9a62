"""What is wrong with a project's functions is named all at once, with file and line; Hamilton stays out of sight."""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from code_on_disk import compute, graph_of, locate

from flowpipe import pipeline
from flowpipe.config import PipelineConfig
from flowpipe.errors import ConfigError, NodeError
from flowpipe.modules import ProjectCode
from flowpipe.pipeline import Pipeline

Load = Callable[..., Pipeline]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return functools.partial(graph_of, tmp_path)


def problems(load: Load, config: Mapping[str, Any] | None = None, **modules: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(config, **modules)
    return str(caught.value)


class TestBuild:
    def test_functions_for_other_config_values_are_known(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import config

            @config.when(source="api")
            def rows__api() -> int: return 1

            @config.when(source="file")
            def rows__file() -> int: return 2

            def end(rows: int) -> int: return rows
            """
        variants = load({"source": "fiel"}, a=text).inputs["rows"].variants
        assert [str(where) for where in variants] == ["pipelines/a.py:4", "pipelines/a.py:7"]

    def test_hamilton_says_nothing(self, load: Load, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            problems(load, a="def a(x) -> int: return x")
            with pytest.raises(NodeError):
                compute(load(b="def b(secret: int) -> int: return 1 / 0"), "b", secret=1)
        assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


class TestProblems:
    def test_all_at_once(self, load: Load) -> None:
        text = """
            import polars as pl

            def untyped(x, y: int, z):
                return x

            def partly(x) -> int:
                return x

            def number() -> int:
                return 1

            def frame(number: pl.DataFrame) -> pl.LazyFrame:
                return number.lazy()
            """
        assert problems(load, a=text, b="def number() -> int:\n    return 2\n") == "\n".join(
            [
                "pipelines/a.py:3: parameter x of untyped has no annotation",
                '  hint: write "x: TYPE"',
                "pipelines/a.py:3: parameter z of untyped has no annotation",
                '  hint: write "z: TYPE"',
                "pipelines/a.py:3: function untyped has no return annotation",
                "  hint: write what it returns, or begin its name with _ if it is no node: _untyped",
                "pipelines/a.py:6: parameter x of partly has no annotation",
                '  hint: write "x: TYPE"',
                "pipelines/a.py:12: node frame takes number as polars.DataFrame, but number is annotated int",
                "  hint: number is defined at pipelines/a.py:9",
                "pipelines/b.py:1: node number is already defined at pipelines/a.py:9",
                "  hint: rename one of the functions",
            ]
        )

    def test_inputs_of_two_types(self, load: Load) -> None:
        text = "def a(x: int) -> int: return x\ndef b(x: str) -> str: return x"
        assert problems(load, a=text) == (
            "pipelines/a.py:2: input x is str here, but int in a\n  hint: a is defined at pipelines/a.py:1"
        )

    def test_types_of_the_project(self, load: Load) -> None:
        text = "import lib\ndef a() -> lib.Row: return lib.Row()\ndef b(a: list[lib.Row]) -> int: return 1"
        assert problems(load, lib="class Row: ...", a=text) == (
            "pipelines/a.py:3: node b takes a as list[lib.Row], but a is annotated lib.Row\n"
            "  hint: a is defined at pipelines/a.py:2"
        )

    def test_an_annotation_that_does_not_exist(self, load: Load) -> None:
        text = "from __future__ import annotations\ndef a(x: pl.LazyFrame) -> int: return x"
        assert problems(load, a=text) == (
            "pipelines/a.py:2: function a is no node: NameError: name 'pl' is not defined"
        )

    def test_a_cycle(self, load: Load) -> None:
        text = "def b(a: int) -> int: return a\ndef c(b: int) -> int: return b\ndef end(c: int) -> int: return c"
        assert problems(load, a="def a(c: int) -> int: return c", b=text) == (
            "pipelines/a.py:1: nodes depend on each other: a -> b -> c -> a\n"
            "  hint: defined: a at pipelines/a.py:1, b at pipelines/b.py:1, c at pipelines/b.py:2"
        )

    def test_a_node_that_needs_itself(self, load: Load) -> None:
        assert problems(load, a="def a(a: int) -> int: return a") == (
            "pipelines/a.py:1: nodes depend on each other: a -> a\n  hint: defined: a at pipelines/a.py:1"
        )

    def test_modules_that_do_not_load(self, load: Load) -> None:
        with pytest.raises(ConfigError) as caught:
            load(a="x = = 1", b="1 / 0", c="")
        assert str(caught.value) == "\n".join(
            [
                "pipelines/a.py:1:5: SyntaxError: invalid syntax",
                "  hint: the line reads: x = = 1",
                "pipelines/b.py:1: b cannot be imported: ZeroDivisionError: division by zero",
                "  hint: the line reads: 1 / 0",
            ]
        )

    def test_an_unknown_module(self, load: Load, tmp_path: Path) -> None:
        load(daily="")
        settings = PipelineConfig(modules=["daily", "dayly"], writes={})
        with pytest.raises(ConfigError) as caught:
            pipeline.load("job", ProjectCode(tmp_path / "pipelines"), settings, locate)
        assert str(caught.value) == (
            'conf/pipelines/job.yml:modules.1: unknown module "dayly"\n  hint: did you mean "daily"? known: daily'
        )

    def test_an_unknown_config_value(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import config

            @config.when(source="api")
            def rows(limit: int) -> int: return 1
            """
        assert problems(load, {"sorce": "api", "limit": 3}, a=text) == (
            'conf/pipelines/job.yml:config.sorce: unknown config value "sorce"\n'
            '  hint: did you mean "source"? known: limit, source'
        )

    def test_a_config_value_that_is_not_given(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import ResolveAt, parameterize, resolve, value

            @resolve(
                when=ResolveAt.CONFIG_AVAILABLE,
                decorate_with=lambda factors: parameterize(**{f"by_{n}": {"n": value(n)} for n in factors}),
            )
            def scaled(n: int) -> int: return n
            """
        assert problems(load, a=text) == (
            "pipelines/a.py:7: function scaled needs the config value factors\n"
            '  hint: give "factors" under config: in the YAML'
        )

    def test_a_decorators_target_that_does_not_exist(self, load: Load) -> None:
        text = """
            from hamilton.function_modifiers import extract_fields, tag

            @tag(target_="high", owner="me")
            @extract_fields({"low": int})
            def bounds() -> dict: return {"low": 1}
            """
        assert problems(load, a=text).startswith(
            "pipelines/a.py:5: function bounds is no node: InvalidDecoratorException: "
        )

    def test_what_does_not_run_yet(self, load: Load) -> None:
        text = """
            async def later() -> int: return 1
            """
        assert problems(load, a=text) == "\n".join(
            [
                "pipelines/a.py:1: node later is an async function, which flowpipe does not run",
                '  hint: write "def", with asyncio.run inside',
            ]
        )


def python(program: str, **env: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | env,
    )
    return ran.stdout + ran.stderr


def test_importing_it_imports_no_heavy_library() -> None:
    program = """
        import sys, flowpipe.pipeline, flowpipe.executors.local, flowpipe.executors.queue, flowpipe.modules
        print(sorted({"hamilton", "pandas", "polars", "pyarrow", "tenacity"} & set(sys.modules)))
        """
    assert python(program) == "[]\n"


def test_hamilton_loads_only_the_extensions_that_the_project_needs(tmp_path: Path) -> None:
    (tmp_path / ".hamilton.conf").write_text("[DEFAULT]\nHAMILTON_AUTOLOAD_EXTENSIONS = 1\n")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "a.py").write_text("import polars as pl\ndef a(x: pl.LazyFrame) -> int: return 1\n")
    program = f"""
        import sys
        from pathlib import Path
        from flowpipe import pipeline
        from flowpipe.config import PipelineConfig
        from flowpipe.modules import ProjectCode
        config = PipelineConfig(modules=["a"], writes={{}})
        pipeline.load("job", ProjectCode(Path({str(tmp_path / "pipelines")!r})), config)
        print(sorted(name for name in sys.modules if name.startswith("hamilton.plugins.")))
        """
    loaded = [
        "hamilton.plugins.polars_extensions",
        "hamilton.plugins.polars_lazyframe_extensions",
        "hamilton.plugins.polars_post_1_0_0_extensions",
    ]
    assert python(program, HOME=str(tmp_path)) == f"{loaded}\n"
