"""Decided steps of one pipeline are published together, and never later than anything that could read them."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from filelock import FileLock

from flowpipe.project import Project
from flowpipe.records import Published, Record, StepEnded, StepStarted
from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]

FILES = {
    "conf/project.yml": "name: small\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          base: {adapter: duckdb, database: data/base.duckdb}
        max_parallel_steps: 1
        """,
    "conf/catalog.yml": """
        rows: {store: here, path: rows.csv, options: {try_parse_dates: true}}
        out: {store: here, path: "out/{partition}.parquet", mode: replace, partition: {every: month, column: day}}
        total: {store: base, table: total}
        """,
    "conf/pipelines/cut.yml": "modules: [cut]\nwrites: [out]\n"
    "partitions: {every: month, start: 2024-01, end: 2024-04}\n",
    "conf/pipelines/sum_up.yml": "modules: [sum_up]\nwrites: [total]\n",
    "pipelines/cut.py": """
        from datetime import date

        import polars as pl


        def out(rows: pl.LazyFrame, partition: date, bad: str = "") -> pl.LazyFrame:
            if bad == str(partition):
                raise ValueError("bad month")
            return rows.filter(pl.col("day").dt.truncate("1mo") == partition)
        """,
    "pipelines/sum_up.py": """
        import polars as pl


        def total(out: pl.LazyFrame) -> pl.LazyFrame:
            return out.select(pl.col("id").sum())
        """,
    "data/rows.csv": "id,day\n1,2024-01-05\n2,2024-02-05\n3,2024-03-05\n4,2024-04-05\n",
}


def ran(project: ProjectFolder, **params: str) -> tuple[list[str], int]:
    """What a run told, in order: "> STEP" started, "= STEP" published, "< STEP outcome" ended; and its exit code."""
    told = []

    def listen(record: Record) -> None:
        match record:
            case StepStarted():
                told.append(f"> {record.slice}")
            case Published():
                told.append(f"= {record.slice}")
            case StepEnded():
                told.append(f"< {record.slice} {record.outcome}")

    sets = [f"params.{name}={value}" for name, value in params.items()]
    result = Project.load(project.path, sets=sets).run(on_record=listen)
    return told, result.error.exit_code if result.error else 0


def test_steps_of_one_pipeline_are_published_before_their_reader_runs(empty_project: Make) -> None:
    project = empty_project(FILES)
    months = ["2024-01", "2024-02", "2024-03", "2024-04"]
    told, code = ran(project)
    assert code == 0
    first = [f"> {month}" for month in months] + [f"= {month}" for month in months]
    assert told == [*first, *(f"< {month} done" for month in months), "> all", "= all", "< all done"]
    assert ran(project) == ([f"< {part} skipped" for part in (*months, "all")], 0)


def test_steps_decided_before_a_failure_are_published_all_the_same(empty_project: Make) -> None:
    project = empty_project(FILES)
    told, code = ran(project, bad="2024-03-01")
    assert code == 1
    assert told == [
        "> 2024-01", "> 2024-02", "> 2024-03", "< 2024-03 failed",
        "= 2024-01", "= 2024-02", "< 2024-01 done", "< 2024-02 done",
    ]  # fmt: skip
    assert sorted(path.name for path in (project.path / "data/out").iterdir()) == ["2024-01.parquet", "2024-02.parquet"]
    assert not list((project.path / ".flowpipe/dev/intents").glob("*.json"))


def test_a_refused_publish_fails_its_own_step_alone(empty_project: Make) -> None:
    project = empty_project(FILES)
    blocked = project.path / "data/out/2024-02.parquet"
    blocked.mkdir(parents=True)
    told, code = ran(project)
    assert code == 4
    ended = [line for line in told if line.startswith("<")]
    assert ended == ["< 2024-01 done", "< 2024-02 failed", "< 2024-03 done", "< 2024-04 done"]
    assert len(list((project.path / ".flowpipe/dev/intents").glob("*2024-02.json"))) == 1
    blocked.rmdir()
    done = project.flowpipe("run")
    assert done.code == 0, done.err
    assert "cut 2024-02  recovered: out 1 row" in done.out
    assert sorted(pl.read_parquet(project.path / "data/out/*.parquet")["id"].to_list()) == [1, 2, 3, 4]


@pytest.mark.parametrize("arguments", [("maintain", "outt"), ("maintain", "--retention", "soon")])
def test_maintain_refuses_what_it_does_not_know(empty_project: Make, arguments: tuple[str, ...]) -> None:
    told = {
        "outt": 'error: unknown written dataset "outt"\n  hint: did you mean "out"? known: out, total\n',
        "soon": 'error: --retention: "soon" is not a duration\n  hint: write it like 30s, 10m or 2h\n',
    }
    done = empty_project(FILES).flowpipe(*arguments)
    assert (done.code, done.err) == (2, told[arguments[-1]])


def test_maintain_waits_for_no_run(empty_project: Make) -> None:
    project = empty_project(FILES)
    lock = project.path / ".flowpipe/dev/lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        done = project.flowpipe("maintain")
    assert done.code == 75
