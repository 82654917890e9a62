"""Tests in YAML: what passes, what fails and in which words, and what is wrong with a file of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import MINIMAL, ProjectFolder

NODES = """
    import polars as pl


    def doubled(numbers: pl.LazyFrame, factor: int) -> pl.LazyFrame:
        return numbers.select(pl.col("n") * factor, day=pl.lit("2024-01-31").str.to_date())


    def total(doubled: pl.DataFrame, scale: float = 1.0) -> float:
        if doubled.is_empty():
            raise ValueError("no rows")
        return doubled["n"].sum() * scale
    """
PROJECT = MINIMAL | {
    "conf/profiles/dev.yml": "stores: {here: {adapter: files, url: '${env:NO_SUCH_FOLDER}'}}\n",
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        months: {store: here, path: "months/{partition:%Y-%m}.csv", partition: {every: month}}
        doubled: {store: here, path: doubled.parquet, schema: "schemas:Doubled", on_invalid: quarantine}
        monthly: {store: here, path: "monthly/{partition}.parquet", mode: replace, partition: {every: month}}
        """,
    "conf/pipelines/monthly.yml": """
        modules: [monthly]
        writes: [monthly]
        partitions: {every: month, start: 2024-01, end: 2024-12}
        """,
    "pipelines/double.py": NODES.replace("doubled: pl.DataFrame", "doubled: pl.LazyFrame").replace(
        "if doubled.is_empty():", "doubled = doubled.collect()\n        if doubled.is_empty():"
    ),
    "pipelines/monthly.py": """
        from datetime import date

        import polars as pl


        def monthly(months: pl.LazyFrame, partition: date) -> pl.LazyFrame:
            return months.with_columns(month=pl.lit(partition))


        def total(monthly: pl.LazyFrame) -> int:
            return 0
        """,
    "pipelines/schemas.py": """
        import pandera.polars as pa
        import polars as pl


        class Doubled(pa.DataFrameModel):
            n: pl.Int64 = pa.Field(lt=100)
            day: pl.Date
        """,
}
GOOD = """
    pipeline: double
    tests:
      - name: a node's rows
        node: doubled
        given: {numbers: "n\\n1\\n2"}
        params: {factor: 3}
        expect: "n\\n6\\n3"
      - name: rows in order, dates in mappings
        node: doubled
        given: {numbers: [{n: 1}, {n: 2}]}
        expect: [{n: 2, day: 2024-01-31}, {n: 4, day: 2024-01-31}]
        ordered: true
      - name: a value, of a file and of an input that is no frame
        node: total
        given: {numbers: {file: numbers.csv}, scale: 0.5}
        expect: 3.0
      - name: a value of a node that is given
        node: total
        given: {doubled: "n\\n7"}
        expect: 7
      - name: no rows
        node: doubled
        given: {numbers: "n:int"}
        expect: []
      - name: how it fails
        node: total
        given: {numbers: "n:int"}
        expect_error: "no rows"
      - name: what is published, and what is not
        dataset: doubled
        given: {numbers: "n\\n1\\n50"}
        expect: "n\\n2"
        rejected: "n   | checks\\n100 | n: less_than(100)"
      - name: a month
        pipeline: monthly
        dataset: monthly
        partition: 2024-02
        given: {months: "n\\n1"}
        expect: "n | month\\n1 | 2024-02-01"
    """
BAD = """
    tests:
      - name: other rows
        node: doubled
        given: {numbers: "n\\n1\\n2"}
        expect: |
          n
          2
          5
      - name: another value
        node: total
        pipeline: double
        given: {doubled: "n\\n7"}
        expect: 8
      - name: no error
        node: doubled
        given: {numbers: "n\\n1"}
        expect_error: no rows
      - name: another error
        node: total
        pipeline: double
        given: {numbers: "n:int"}
        expect_error: {type: DataError, message: no rows}
      - name: an error
        node: total
        pipeline: double
        given: {numbers: "n:int"}
        expect: 1
      - name: rejected
        dataset: doubled
        given: {numbers: "n\\n100"}
        rejected: "n\\n1000"
      - name: unknown node
        node: double
        expect: 1
      - name: in two pipelines
        node: total
        expect: 1
      - name: unknown pipeline
        pipeline: doble
        node: total
        expect: 1
      - name: unknown names and values that cannot be
        pipeline: double
        node: total
        given: {number: "n\\n1", numbers: "n|m\\n1", scale: big}
        expect: 1
      - name: unknown param
        node: doubled
        params: {facto: 1}
        expect: 1
      - name: nothing given
        node: doubled
        expect: 1
      - name: no window
        dataset: monthly
        given: {numbers: "n\\n1"}
        expect: "n\\n1"
      - name: no such column
        node: doubled
        given: {numbers: "n\\n1"}
        expect: "m\\n1"
      - name: no table
        node: doubled
        given: {numbers: "n\\n1"}
        expect: "n:itn\\n1"
    """
TOLD = """\
test_bad.yml:5:13: node doubled: 1 row missing, 1 row too many; 2 rows, expected 2
missing:
  n
  5
too many:
  n
  4
test_bad.yml:13:13: node total: is 7.0, expected 8
test_bad.yml:17:19: no error, though one is expected
test_bad.yml:22:19: another error than is expected (DataError: 'no rows'):
pipelines/double.py:8: node total failed: ValueError: no rows
  at pipelines/double.py:11: raise ValueError("no rows")
test_bad.yml:23:5: an error
pipelines/double.py:8: node total failed: ValueError: no rows
  at pipelines/double.py:11: raise ValueError("no rows")
test_bad.yml:31:15: rejected rows of doubled: 1 row missing, 1 row too many; 1 row, expected 1
missing:
  n
  1000
too many:
  n
  200
test_bad.yml:33:11: unknown node "double"
  hint: did you mean "doubled"? known: doubled, monthly, total
test_bad.yml:36:11: node total is in several pipelines: double, monthly
  hint: say which: pipeline: double
test_bad.yml:39:15: unknown pipeline "doble"
  hint: did you mean "double"? known: double, monthly
test_bad.yml:45:13: unknown node, input or dataset "number"
  hint: did you mean "numbers"? known: doubled, factor, numbers, scale, total
test_bad.yml:45:38: a line of a table has 1 cell, its headings are 2: 1
  hint: write NULL for a cell without a value, and quote a text that holds a separator: "a|b"
test_bad.yml:45:55: scale: "big" is not a number (float)
  hint: give it as YAML has such a value
test_bad.yml:49:21: unknown param "facto"
  hint: did you mean "factor"? known: factor, scale
test_bad.yml:51:5: the test gives no numbers, which is read
  hint: add numbers to given:; for no rows, its headings alone
test_bad.yml:54:5: pipeline monthly runs window by window
  hint: write partition: 2024-01
test_bad.yml:56:5: the test gives no months, which is read
  hint: add months to given:; for no rows, its headings alone
test_bad.yml:56:13: unknown dataset of pipeline monthly: "numbers"
  hint: known: monthly, months
test_bad.yml:61:13: node doubled: column "m" is missing
  hint: known: day, n
test_bad.yml:65:13: unknown type of a column: "itn"
  hint: did you mean "int"?
"""
BROKEN = """
    pipeline: double
    profil: dev
    tests:
      - name: a
        nod: total
        expect: 1
      - name: a
        node: total
        dataset: doubled
        rejected: "n\\n1"
        expect_error: x
      - node: total
        rejected: "n\\n1"
        approx: 0
      - name: b
        node: total
        expect_error: {type: DataErro}
    """
MISTAKES = """\
test_broken.yml:2:1: unknown key "profil"
  hint: did you mean "profile"? known: pipeline, profile, tests
test_broken.yml:4:5: a test is of a node or of a dataset
  hint: write node: NAME or dataset: NAME
test_broken.yml:5:5: unknown key "nod"
  hint: did you mean "node"?
test_broken.yml:7:11: there are two tests "a"
  hint: it is first given in line 4
test_broken.yml:9:5: node and dataset exclude each other
  hint: make two tests of it
test_broken.yml:11:5: rejected and expect_error exclude each other
  hint: what fails gives nothing
test_broken.yml:12:5: the key "name" is missing
  hint: add name: ...
test_broken.yml:13:5: a node rejects no rows
  hint: test the dataset that it is published as
test_broken.yml:14:13: approx: 0 must be more than 0
test_broken.yml:17:26: "DataErro" is not one of FlowpipeError, ConfigError, UsageError, NodeError, DataError, \
PublishError
  hint: did you mean "DataError"?
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectFolder:
    """A project in whose folder pytest runs."""
    monkeypatch.chdir(tmp_path)
    return ProjectFolder(tmp_path).write(PROJECT | {"numbers.csv": "n\n1\n2\n"})


@dataclass
class Reports:
    """What pytest tells of a run: how many tests passed, and what is said of those that did not."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.passed and report.when == "call"
        self.failed += [str(report.longrepr)] if report.failed else []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.failed += [str(report.longrepr)] if report.failed else []


def run(*arguments: str) -> tuple[int, list[str]]:
    """How many tests pass, and what is told of each that fails.

    Not by pytest's own `pytester`: it makes modules such as Polars and fsspec be imported twice.
    """
    reports = Reports()
    alone = ["-c", os.devnull, "--rootdir", ".", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "no:terminal", "-s"]
    pytest.main([*alone, "-p", "flowpipe.testing.plugin", *arguments], plugins=[reports])
    return reports.passed, reports.failed


def test_tests_that_pass(folder: ProjectFolder) -> None:
    folder.write({"test_good.yml": GOOD})
    before = set(folder.path.rglob("*"))
    assert run("test_good.yml") == (8, [])
    assert set(folder.path.rglob("*")) == before


def test_tests_that_fail_tell_why_and_where(folder: ProjectFolder) -> None:
    folder.write({"test_bad.yml": BAD})
    passed, failed = run("test_bad.yml")
    assert (passed, len(failed)) == (0, 15)
    assert "\n".join(failed) + "\n" == TOLD


def test_all_mistakes_of_a_file_are_told_together(folder: ProjectFolder) -> None:
    folder.write({"test_broken.yml": BROKEN, "test_other.yaml": "tests: []\n", "test_tab.yml": "tests:\n\t- x\n"})
    assert run(".") == (
        0,
        [
            MISTAKES.rstrip(),
            "test_other.yaml: a file with this ending is not read\n  hint: rename it to test_other.yml",
            "test_tab.yml:2:1: a tab cannot indent\n  hint: indent with spaces",
        ],
    )


def test_a_projects_own_mistakes_are_told_too(folder: ProjectFolder) -> None:
    folder.write({"test_good.yml": GOOD, "conf/pipelines/double.yml": "modules: [doubel]\nwrites: [doubled]\n"})
    _, (told,) = run("test_good.yml", "-k", "rows and order")
    assert told == (
        "test_good.yml:8:5: rows in order, dates in mappings\n"
        'conf/pipelines/double.yml:1:11: unknown module "doubel"\n'
        '  hint: did you mean "double"? known: double, monthly, schemas'
    )


def test_pytests_settings_name_the_project_and_what_is_set(folder: ProjectFolder) -> None:
    case = """
        tests:
          - name: five
            node: doubled
            given: {numbers: "n\\n1"}
            expect: "n\\n5"
        """
    code = """
        def test_five(flowpipe_project):
            assert flowpipe_project.compute("doubled", given={"numbers": "n\\n1"})["doubled"]["n"].item() == 5
        """
    folder.write({f"shop/{name}": text for name, text in PROJECT.items()})
    (folder.path / "conf/project.yml").unlink()
    folder.write({"checks/test_five.yml": case, "checks/test_five_in_code.py": code})
    settings = ("-o", "flowpipe_project=shop", "-o", "flowpipe_sets=params.factor=5")
    assert run("checks", *settings) == (2, [])
    passed, (told,) = run("checks")
    assert (passed, told) == (
        0,
        (
            f"no flowpipe project at {folder.path}/checks or above it: there is no conf/project.yml\n"
            "  hint: put the test below a project, or name one in pytest's settings: flowpipe_project = FOLDER"
        ),
    )


def test_other_peoples_files_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("test_it.yml", "test_it.yaml"):
        (tmp_path / name).write_text("tests: nonsense\n")
    assert run(".") == (0, [])
