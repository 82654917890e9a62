"""What runs again and what does not: `plan` says why, `run` does it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from flowpipe.project import Project
from tests.conftest import ProjectFolder

STORES = {
    "conf/project.yml": "name: small\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
          base: {adapter: duckdb, database: data/base.duckdb}
        """,
}


def plan(project: ProjectFolder, *pipelines: str, force: bool = False) -> dict[str, tuple[str, str]]:
    """What a run would do: action and reason of each step. In this process, since it is asked so often."""
    made = Project.load(project.path).plan(*pipelines, force=force)
    return {step.name: (step.action, step.reason) for step in made.steps}


def run(project: ProjectFolder, *pipelines: str, force: bool = False) -> dict[str, str]:
    """Run; the outcome of each step."""
    result = Project.load(project.path).run(*pipelines, force=force)
    assert result.error is None
    return result.outcomes


def edit(project: ProjectFolder, name: str, old: str, new: str) -> None:
    """Change one text of a file of the project."""
    path = project.path / name
    text = path.read_text()
    assert text.count(old) == 1, text
    path.write_text(text.replace(old, new))


UP_TO_DATE = ("skip", "up to date")

SETTINGS = {
    **STORES,
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        out: {store: lake, table: out, mode: merge, key: [n], schema: "schemas:Out"}
        """,
    "conf/pipelines/job.yml": """
        modules: [job]
        params: {late_minutes: 15, unused_by_out: 1, token: "${env:TOKEN:-one}"}
        config: {fast: true}
        writes: {out: out}
        """,
    "pipelines/job.py": """
        import polars as pl

        from shared import plus


        def out(numbers: pl.LazyFrame, late_minutes: int, token: str) -> pl.LazyFrame:
            return numbers.select(plus(pl.col("n"), late_minutes))


        def aside(unused_by_out: int, fast: bool) -> int:
            return unused_by_out
        """,
    "pipelines/shared.py": """
        def plus(column, number):
            return column + number
        """,
    "pipelines/schemas.py": """
        import pandera.polars as pa


        class Out(pa.DataFrameModel):
            n: int
        """,
    "data/numbers.csv": "n\n1\n2\n",
}


def test_every_change_is_named_and_nothing_else_counts(empty_project, monkeypatch: pytest.MonkeyPatch) -> None:
    project = empty_project(SETTINGS)
    assert plan(project) == {"job": ("run", "never published")}
    assert run(project) == {"job": "done"}
    assert run(project) == {"job": "skipped"}
    assert plan(project) == {"job": UP_TO_DATE}

    # What does not count: comments, format, docstrings, other params, secrets, the place of the store, the ledger.
    edit(project, "pipelines/job.py", "import polars as pl", '"""A docstring."""\n\nimport polars as pl  # comment')
    edit(project, "pipelines/shared.py", "column + number", "( column+number )")
    edit(project, "conf/pipelines/job.yml", "unused_by_out: 1", "unused_by_out: 2")
    edit(project, "conf/profiles/dev.yml", "data/lake", "data/elsewhere")
    (project.path / "data/lake").rename(project.path / "data/elsewhere")
    shutil.rmtree(project.path / ".flowpipe")
    monkeypatch.setenv("TOKEN", "two")
    assert plan(project) == {"job": UP_TO_DATE}

    changes = {
        "params.late_minutes changed 15 -> 20": ("conf/pipelines/job.yml", "late_minutes: 15", "late_minutes: 20"),
        "code of job changed": ("pipelines/job.py", "return numbers.select", "return numbers.unique().select"),
        "code of shared changed": ("pipelines/shared.py", "+number", "+number+1"),
        "config.fast changed true -> false": ("conf/pipelines/job.yml", "fast: true", "fast: false"),
        "schema changed": ("pipelines/schemas.py", "n: int", "n: int = pa.Field(ge=0)"),
        "order_by added": ("conf/catalog.yml", "key: [n]", "key: [n], order_by: n"),
    }
    for reason, (name, old, new) in changes.items():
        edit(project, name, old, new)
        assert plan(project) == {"job": ("run", reason)}
        edit(project, name, new, old)
    (project.path / "data/numbers.csv").write_text("n\n1\n2\n3\n")
    assert plan(project) == {"job": ("run", "numbers: version changed")}
    shown = project.flowpipe("plan", "--set", "params.late_minutes=20").out
    assert shown == "STEP  ACTION  WHY\njob   run     params.late_minutes changed 15 -> 20; numbers: version changed\n"
    assert run(project) == {"job": "done"}
    assert plan(project) == {"job": UP_TO_DATE}
    assert plan(project, force=True) == {"job": ("run", "forced")}
    assert run(project, force=True) == {"job": "done"}


DELTA_INPUT = {
    **STORES,
    "conf/catalog.yml": """
        flights: {store: lake, table: flights}
        quiet: {store: here, path: quiet.csv}
        out: {store: here, path: out.parquet}
        """,
    "conf/pipelines/job.yml": """
        modules: [job]
        reads: {quiet: {dataset: quiet, trigger: false}}
        writes: [out]
        """,
    "pipelines/job.py": """
        import polars as pl


        def out(flights: pl.LazyFrame, quiet: pl.LazyFrame) -> pl.LazyFrame:
            return flights
        """,
    "data/quiet.csv": "q\n1\n",
}


def test_versions_of_a_foreign_delta_table(empty_project) -> None:
    project = empty_project(DELTA_INPUT)
    table = project.path / "data/lake/flights"
    for _ in range(2):
        write_deltalake(table, pl.DataFrame({"n": [1, 2]}).to_arrow(), mode="append")
    assert run(project) == {"job": "done"}
    (project.path / "data/quiet.csv").write_text("q\n1\n2\n")
    DeltaTable(table).optimize.compact()
    DeltaTable(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert DeltaTable(table).version() > 1
    assert plan(project) == {"job": UP_TO_DATE}
    before = DeltaTable(table).version()
    write_deltalake(table, pl.DataFrame({"n": [3]}).to_arrow(), mode="append")
    identity = str(DeltaTable(table).metadata().id)[:8]
    assert plan(project) == {"job": ("run", f"flights: version 1@{identity} -> {before + 1}@{identity}")}


WINDOWS = {
    **STORES,
    "conf/catalog.yml": """
        raw: {store: here, path: "raw/{partition:%Y-%m}.csv", partition: {every: month}}
        clean: {store: lake, table: clean, mode: replace, partition: {every: month, column: day}}
        added: {store: lake, table: added, mode: append}
        kept: {store: base, table: kept, mode: append}
        total: {store: base, table: total}
        report: {store: here, path: report.csv}
        """,
    "conf/pipelines/a_clean.yml": """
        modules: [clean]
        writes: [clean]
        partitions: {every: month, start: 2024-01, end: 2024-03}
        """,
    "conf/pipelines/b_month.yml": """
        modules: [month]
        params: {factor: 1}
        writes: [added, kept]
        partitions: {every: month, start: 2024-01, end: 2024-03}
        """,
    "conf/pipelines/c_total.yml": """
        modules: [total]
        writes: [total, report]
        """,
    "pipelines/clean.py": """
        import polars as pl


        def clean(raw: pl.LazyFrame) -> pl.LazyFrame:
            return raw.with_columns(pl.col("day").str.to_date())
        """,
    "pipelines/month.py": """
        import polars as pl


        def added(clean: pl.LazyFrame, factor: int) -> pl.LazyFrame:
            return clean.select(pl.col("n") * factor)


        def kept(clean: pl.LazyFrame, factor: int) -> pl.LazyFrame:
            return clean.select(pl.col("n") * factor)
        """,
    "pipelines/total.py": """
        import polars as pl


        def total(clean: pl.LazyFrame) -> pl.LazyFrame:
            return clean.select(pl.col("n").sum())


        def report(total: pl.LazyFrame) -> pl.LazyFrame:
            return total
        """,
    **{f"data/raw/2024-0{month}.csv": f"day,n\n2024-0{month}-05,{month}\n" for month in (1, 2, 3)},
}
MONTHS = ("2024-01", "2024-02", "2024-03")


def test_windows_appends_and_what_others_did(empty_project) -> None:
    project = empty_project(WINDOWS)
    steps = [f"{name} {month}" for name in ("a_clean", "b_month") for month in MONTHS]
    first = plan(project)
    assert first == {
        **{f"a_clean {month}": ("run", "never published") for month in MONTHS},
        **{f"b_month {month}": ("run", "never published") for month in MONTHS},
        "c_total": ("run", "never published"),
    }
    assert run(project) == dict.fromkeys([*steps, "c_total"], "done")
    calm = dict.fromkeys(steps, UP_TO_DATE) | {f"b_month {month}": ("skip", "appended once") for month in MONTHS}
    assert plan(project) == {**calm, "c_total": UP_TO_DATE}

    # Maintenance of the table never counts.
    lake = project.path / "data/lake"
    DeltaTable(lake / "clean").optimize.compact()
    DeltaTable(lake / "clean").vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert plan(project) == {**calm, "c_total": UP_TO_DATE}

    # One window published anew makes only that window of its readers stale; appends stay as they are.
    (project.path / "data/raw/2024-02.csv").write_text("day,n\n2024-02-06,20\n")
    found = plan(project)
    assert found["a_clean 2024-02"] == ("run", "raw: version changed")
    assert found["b_month 2024-02"] == ("skip", "appended once")
    assert found["c_total"] == ("ask", "after a_clean 2024-02")
    assert {found[f"a_clean {month}"] for month in ("2024-01", "2024-03")} == {UP_TO_DATE}
    outcomes = run(project)
    assert [step for step, outcome in outcomes.items() if outcome == "done"] == ["a_clean 2024-02", "c_total"]
    assert plan(project)["b_month 2024-02"] == ("skip", "appended once; clean: version changed")

    # Nothing is ever appended twice: not with --force, not with other code or params.
    edit(project, "conf/pipelines/b_month.yml", "factor: 1", "factor: 2")
    edit(project, "pipelines/month.py", "def kept", "OTHER = 1\n\n\ndef kept")
    assert plan(project, "b_month", force=True)["b_month 2024-01"] == (
        "skip",
        "appended once; code of month changed; params.factor changed 1 -> 2",
    )
    assert set(run(project, "b_month", force=True).values()) == {"skipped"}
    assert sorted(pl.read_delta(str(lake / "added"))["n"]) == [1, 2, 3]

    # What others did to an output: the step runs and says why; appends are not repeated, but made again when gone.
    DeltaTable(lake / "clean").delete("n = 3")
    DeltaTable(lake / "added").delete("n = 3")
    version = DeltaTable(lake / "clean").version()
    changed = ("run", f"version {version} (DELETE) is not flowpipe's")
    found = plan(project)
    assert {found[f"a_clean {month}"] for month in MONTHS} == {changed}
    assert found["b_month 2024-03"][0] == "skip"
    assert run(project)["a_clean 2024-03"] == "done"
    assert sorted(pl.read_delta(str(lake / "clean"))["n"]) == [1, 3, 20]
    DeltaTable(lake / "clean").restore(version)
    version = DeltaTable(lake / "clean").version()
    assert plan(project, "a_clean")["a_clean 2024-01"] == ("run", f"version {version} (RESTORE) is not flowpipe's")
    shutil.rmtree(lake / "clean")
    assert plan(project, "a_clean")["a_clean 2024-01"] == ("run", "never published")
    assert run(project, "a_clean")["a_clean 2024-01"] == "done"
    shutil.rmtree(lake / "added")
    assert run(project, "b_month")["b_month 2024-01"] == "done"
    assert sorted(pl.read_delta(str(lake / "added"))["n"]) == [2, 6, 40]


def sql(project: ProjectFolder, statement: str) -> None:
    import duckdb

    with duckdb.connect(str(project.path / "data/base.duckdb")) as connection:
        connection.execute(statement)


OUTPUTS = {
    **STORES,
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        parquet: {store: here, path: out.parquet}
        csv: {store: here, path: out.csv}
        base: {store: base, table: base}
        """,
    "conf/pipelines/job.yml": "modules: [job]\nwrites: [parquet, csv, base]\n",
    "pipelines/job.py": """
        import polars as pl


        def parquet(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers


        def csv(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers


        def base(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers
        """,
    "data/numbers.csv": "n\n1\n2\n",
}


def _unlink(name: str) -> Callable[[ProjectFolder], None]:
    return lambda project: (project.path / "data" / name).unlink()


def _replace_parquet(project: ProjectFolder) -> None:
    pl.DataFrame({"n": [7]}).write_parquet(project.path / "data/out.parquet")


def _replace_csv(project: ProjectFolder) -> None:
    (project.path / "data/out.csv").write_text("n\n7\n")


FOREIGN: list[tuple[Callable[[ProjectFolder], None], str]] = [
    (_unlink("out.parquet"), "never published"),
    (_replace_parquet, "the file was replaced"),
    (_unlink("out.csv"), "the file is gone"),
    (_replace_csv, "the file was changed by somebody else"),
    (_unlink(".out.csv.flowpipe.json"), "never published"),
    (lambda project: sql(project, "DROP TABLE base"), "the table is gone"),
    (lambda project: sql(project, "DELETE FROM base WHERE n = 1"), "its row count is 1, 2 was published"),
]


def test_files_and_tables_that_others_changed(empty_project) -> None:
    project = empty_project(OUTPUTS)
    run(project)
    for change, reason in FOREIGN:
        change(project)
        assert plan(project) == {"job": ("run", reason)}
        assert run(project) == {"job": "done"}
        assert plan(project) == {"job": UP_TO_DATE}
    assert pl.read_parquet(project.path / "data/out.parquet")["n"].to_list() == [1, 2]
    assert (project.path / "data/out.csv").read_text() == "n\n1\n2\n"


FREE = {
    **STORES,
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        hashed: {store: here, path: hashed.parquet}
        unhashed: {store: here, path: unhashed.parquet}
        timed: {store: here, path: timed.parquet}
        always: {store: here, path: always.parquet}
        per_node: {store: here, path: per_node.parquet}
        by_month: {store: here, path: "month/{partition}.parquet", mode: replace, partition: {every: month}}
        """,
    "conf/pipelines/hashed.yml": "modules: [free]\nwrites: [hashed]\n",
    "conf/pipelines/unhashed.yml": "modules: [free]\nwrites: [unhashed]\n",
    "conf/pipelines/timed.yml": "modules: [free]\nwrites: [timed]\n",
    "conf/pipelines/always.yml": "modules: [free]\nwrites: [always]\nalways: true\n",
    "conf/pipelines/per_node.yml": "modules: [free]\nwrites: [per_node]\nnodes: {per_node: {always: true}}\n",
    "conf/pipelines/monthly.yml": """
        modules: [free]
        writes: [by_month]
        partitions: {every: month, start: 2024-01, end: 2024-01}
        """,
    "pipelines/free.py": """
        from datetime import datetime
        from pathlib import Path

        import polars as pl


        class Odd:
            def __init__(self, rate):
                self.rate = rate


        def rate() -> float:
            with Path("asked").open("a") as asked:
                asked.write("x")
            return float(Path("rate").read_text())


        def odd(rate: float) -> Odd:
            return Odd(rate)


        def hashed(numbers: pl.LazyFrame, rate: float) -> pl.LazyFrame:
            return numbers.select(pl.col("n") * rate)


        def unhashed(numbers: pl.LazyFrame, odd: Odd) -> pl.LazyFrame:
            return numbers.select(pl.col("n") * odd.rate)


        def timed(numbers: pl.LazyFrame, run_time: datetime) -> pl.LazyFrame:
            return numbers


        def always(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers


        def per_node(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers


        def by_month(numbers: pl.LazyFrame, rate: float) -> pl.LazyFrame:
            return numbers.select(pl.col("n") * rate)
        """,
    "data/numbers.csv": "n\n1\n2\n",
    "rate": "1.5",
}


def test_values_of_nodes_without_datasets_and_what_always_runs(empty_project, monkeypatch) -> None:
    project = empty_project(FREE)
    monkeypatch.chdir(project.path)
    asked = project.path / "asked"
    names = ("always", "hashed", "monthly 2024-01", "per_node", "timed", "unhashed")
    assert run(project) == dict.fromkeys(names, "done")
    assert len(asked.read_text()) == 3
    expected = {
        "always": ("run", "always: true"),
        "hashed": ("ask", "asks rate first"),
        "monthly 2024-01": UP_TO_DATE,
        "per_node": ("run", "node per_node: always: true"),
        "timed": ("run", "run_time is read"),
        "unhashed": ("ask", "asks odd first"),
    }
    assert plan(project) == expected
    assert len(asked.read_text()) == 3, "planning asks nothing"
    assert run(project, "hashed", "unhashed", "monthly") == {
        "hashed": "skipped",
        "monthly 2024-01": "skipped",
        "unhashed": "done",
    }
    assert len(asked.read_text()) == 5, "a closed window is not asked again"
    (project.path / "rate").write_text("2")
    assert run(project, "hashed", "monthly") == {"hashed": "done", "monthly 2024-01": "skipped"}
    assert pl.read_parquet(project.path / "data/hashed.parquet")["n"].to_list() == [2.0, 4.0]
    shown = project.flowpipe("plan", "hashed").out
    assert shown == "STEP    ACTION          WHY\nhashed  decided at run  asks rate first\n"
