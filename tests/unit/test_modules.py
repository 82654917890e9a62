"""One project's Python code: nobody else sees it, and what is wrong with it is named with file and line."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest
from code_on_disk import project

from flowpipe.errors import ConfigError, Where
from flowpipe.modules import ProjectCode


def problem(code: ProjectCode, name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        code.load(name)
    return str(caught.value)


class TestStandardLibrary:
    def test_a_module_named_like_one_of_it_is_refused(self, tmp_path: Path) -> None:
        code = project(tmp_path, json="", statistics="", daily="import json")
        with pytest.raises(ConfigError) as caught:
            code.load("daily")
        assert caught.value.problems == code.problems
        assert str(caught.value) == (
            'pipelines/json.py: a module cannot be named like the standard library\'s "json"\n'
            "  hint: rename it, for example to project_json\n"
            'pipelines/statistics.py: a module cannot be named like the standard library\'s "statistics"\n'
            "  hint: rename it, for example to project_statistics"
        )
        assert sys.modules["json"] is json

    def test_a_deeper_module_of_such_a_name_is_fine(self, tmp_path: Path) -> None:
        code = project(tmp_path, sub__json="X = 1", daily="import json\nfrom sub import json as own")
        daily = code.load("daily")
        assert daily.json is json
        assert daily.own.X == 1


class TestProblems:
    def test_unknown_module(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily_delays="")
        with pytest.raises(ConfigError) as caught:
            code.load("daily_delay", Where("conf/pipelines/a.yml", 1, 11))
        assert str(caught.value) == (
            'conf/pipelines/a.yml:1:11: unknown module "daily_delay"\n'
            '  hint: did you mean "daily_delays"? known: daily_delays'
        )

    def test_a_folder_that_is_not_there_has_no_modules(self, tmp_path: Path) -> None:
        assert problem(ProjectCode(tmp_path / "pipelines"), "a") == 'unknown module "a"\n  hint: there is none yet'

    def test_unknown_object(self, tmp_path: Path) -> None:
        code = project(tmp_path, schemas="class DailyDelays: ...\n_private = 1")
        assert code.load_object("schemas:DailyDelays") is code.load("schemas").DailyDelays
        with pytest.raises(ConfigError) as caught:
            code.load_object("schemas:DailyDelay", Where("conf/catalog.yml", 4, 9))
        assert str(caught.value) == (
            'conf/catalog.yml:4:9: unknown object of module schemas: "DailyDelay"\n'
            '  hint: did you mean "DailyDelays"? known: DailyDelays'
        )

    @pytest.mark.parametrize("reference", ["schemas", "schemas:", ":DailyDelays", ""])
    def test_a_reference_without_its_parts(self, tmp_path: Path, reference: str) -> None:
        with pytest.raises(ConfigError) as caught:
            project(tmp_path, schemas="").load_object(reference, Where("conf/catalog.yml", 4))
        assert str(caught.value) == (
            f'conf/catalog.yml:4: "{reference}" is no name of an object\n  hint: write "module:Name"'
        )

    def test_syntax_error(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily="import schemas", schemas="x = 1\ndef f(:\n    pass")
        assert problem(code, "daily") == (
            "pipelines/schemas.py:2:7: SyntaxError: invalid syntax\n  hint: the line reads: def f(:"
        )

    def test_syntax_error_of_the_compiler(self, tmp_path: Path) -> None:
        assert problem(project(tmp_path, daily="x = 1\nreturn x"), "daily") == (
            "pipelines/daily.py:2:1: SyntaxError: 'return' outside function\n  hint: the line reads: return x"
        )

    def test_indentation_error(self, tmp_path: Path) -> None:
        assert problem(project(tmp_path, daily="def f():\nreturn 1"), "daily") == (
            "pipelines/daily.py:2:1: IndentationError: expected an indented block after function definition on line 1\n"
            "  hint: the line reads: return 1"
        )

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        project(tmp_path, daily="import schemas")
        (tmp_path / "pipelines" / "schemas.py").write_bytes(b"\nx = '\xe9'\n")
        code = ProjectCode(tmp_path / "pipelines")
        assert problem(code, "daily") == (
            "pipelines/schemas.py: SyntaxError: invalid or missing encoding declaration; save the file as UTF-8"
        )
        with pytest.raises(ConfigError) as caught:
            code.source("schemas")
        assert str(caught.value) == problem(code, "daily")

    def test_an_exception_names_the_projects_last_line(self, tmp_path: Path) -> None:
        code = project(
            tmp_path, daily="import schemas", schemas="import json\n\ndef f():\n    return json.loads('{')\n\nX = f()"
        )
        assert problem(code, "daily") == (
            "pipelines/schemas.py:4: daily cannot be imported: JSONDecodeError: "
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
            "  hint: the line reads: return json.loads('{')"
        )

    def test_an_exit_is_an_exception(self, tmp_path: Path) -> None:
        assert problem(project(tmp_path, daily="import sys\nsys.exit('no')"), "daily") == (
            "pipelines/daily.py:2: daily cannot be imported: SystemExit: no\n  hint: the line reads: sys.exit('no')"
        )

    def test_a_failed_import_can_be_tried_again(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily="1 / 0")
        assert problem(code, "daily") == problem(code, "daily")

    def test_a_name_that_is_not_in_a_module(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily="from schemas import Row", schemas="Rows = 1")
        assert problem(code, "daily") == (
            "pipelines/daily.py:1: daily cannot be imported: ImportError: "
            "cannot import name 'Row' from 'schemas'\n"
            "  hint: did you mean Rows? the line reads: from schemas import Row"
        )

    def test_a_misspelled_module(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily="import schema", schemas="")
        assert problem(code, "daily") == (
            "pipelines/daily.py:1: daily cannot be imported: ModuleNotFoundError: No module named 'schema'\n"
            '  hint: did you mean "schemas"?'
        )

    def test_a_misspelled_module_of_a_package(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily="import sub.mdo", sub__mod="")
        assert problem(code, "daily") == (
            "pipelines/daily.py:1: daily cannot be imported: ModuleNotFoundError: No module named 'sub.mdo'\n"
            '  hint: did you mean "sub.mod"?'
        )

    def test_a_library_that_is_not_installed(self, tmp_path: Path) -> None:
        assert problem(project(tmp_path, daily="import zzyzx.things"), "daily") == (
            "pipelines/daily.py:1: daily cannot be imported: ModuleNotFoundError: No module named 'zzyzx'\n"
            '  hint: "pip install zzyzx" may be what is missing'
        )

    def test_a_dynamic_import(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily="import importlib\nimportlib.import_module('flowpipe_own')", flowpipe_own="")
        assert problem(code, "daily") == (
            "pipelines/daily.py:2: daily cannot be imported: ModuleNotFoundError: No module named 'flowpipe_own'\n"
            '  hint: write "import flowpipe_own"; a dynamic import does not see the project'
        )

    def test_modules_that_import_each_other(self, tmp_path: Path) -> None:
        code = project(tmp_path, one="from two import B\nA = 1", two="from one import A\nB = 1")
        assert problem(code, "one").startswith(
            "pipelines/two.py:1: one cannot be imported: ImportError: cannot import name 'A' from partially "
            "initialized module 'one' (most likely due to a circular import)"
        )


class TestReading:
    def test_imports_are_followed_through_packages_and_functions(self, tmp_path: Path) -> None:
        code = project(
            tmp_path,
            daily="import polars, sub.mod\nif False:\n    from schemas import X\ndef f():\n    from . import late",
            schemas="import json",
            late="import daily",
            sub____init__="from .deep import x",
            sub__mod="from ..top import y\nfrom sub import other as o",
            sub__deep="",
            sub__other="",
            top="",
            unused="",
        )
        assert code.imports("daily") == ("late", "schemas", "sub", "sub.deep", "sub.mod", "sub.other", "top")
        assert code.imports("sub.other") == ("sub", "sub.deep")
        assert code.imports("unused") == ()

    def test_imports_of_what_is_not_python(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            project(tmp_path, daily="import schemas", schemas="x = = 1").imports("daily")
        assert str(caught.value) == (
            "pipelines/schemas.py:1:5: SyntaxError: invalid syntax\n  hint: the line reads: x = = 1"
        )

    def test_files_that_are_no_modules_are_left_alone(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily="", __init__="1 / 0")
        for path in ("sql/a.sql", ".hidden/x.py", "__pycache__/x.py", "not-a-name.py"):
            (tmp_path / "pipelines" / path).parent.mkdir(exist_ok=True)
            (tmp_path / "pipelines" / path).write_text("1 / 0")
        assert ProjectCode(tmp_path / "pipelines").modules == code.modules == ("daily",)

    def test_the_place_of_a_function_is_its_def(self, tmp_path: Path) -> None:
        code = project(
            tmp_path,
            daily="""
                import functools

                def wrapper(f):
                    @functools.wraps(f)
                    def inner(*args):
                        return f(*args)
                    return inner

                @wrapper
                @functools.partial(
                    wrapper
                )
                def decorated(): ...

                bound = functools.partial(decorated)
                short = lambda: 1
                """,
        )
        daily = code.load("daily")
        assert str(code.where(daily.wrapper)) == "pipelines/daily.py:3"
        assert str(code.where(daily.decorated)) == str(code.where(daily.bound)) == "pipelines/daily.py:13"
        assert str(code.where(daily.short)) == "pipelines/daily.py:16"
        assert code.where(textwrap.dedent).file == textwrap.__file__
