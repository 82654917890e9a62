"""Whole steps on workers: which go there, and that nothing but the process tells them from steps in the driver."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from months import FILES, beside, ids, published, shown, steps

from tests.conftest import Finished, ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]

TOLD = beside('tell(f"node-{month}")', 'tell(f"staging-{month}")')


@pytest.fixture
def months(empty_project: Make) -> ProjectFolder:
    return empty_project(FILES)


def ran(project: ProjectFolder, *arguments: str, executor: str = "processes", **env: str) -> Finished:
    sets = ("--set", f"executor.type={executor}", "--set", "executor.workers=2")
    return project.flowpipe("run", *sets, *arguments, **env)


def pids(project: ProjectFolder, *months: str) -> list[set[str]]:
    """The processes that a month's node and the computing of its rows ran in."""
    return [{(project.path / f"{place}-{month}").read_text() for place in ("node", "staging")} for month in months]


def driver(done: Finished) -> str:
    return str(json.loads(done.out.splitlines()[0])["pid"])


def test_a_whole_step_runs_in_one_process_and_two_in_two(months: ProjectFolder) -> None:
    meeting = 'tell(f"node-{month}"); until("node-2024-01", "node-2024-02")'
    months.write(beside(meeting, 'tell(f"staging-{month}")'))
    done = ran(months, "--json")
    assert (done.code, done.err) == (0, "")
    one, other = pids(months, "2024-01", "2024-02")
    assert len(one) == len(other) == len(one | other) - 1 == 1
    assert driver(done) not in one | other
    workers = {node["worker"].split()[1] for step in shown(months)["steps"] for node in step["nodes"]}
    assert workers >= one | other
    again = ran(months)
    assert [line.split()[2] for line in again.out.splitlines()[1:-1]] == ["skipped"] * 3


@pytest.mark.parametrize("case", ["a node's timeout", "a node's resources", "a duckdb output", "a breaker", "hooks"])
def test_a_step_that_needs_the_driver_is_not_sent(months: ProjectFolder, case: str) -> None:
    months.write(TOLD)
    pipeline, catalog = FILES["conf/pipelines/cut.yml"], FILES["conf/catalog.yml"]
    profile = FILES["conf/profiles/dev.yml"]
    added = {
        "a node's timeout": {"conf/pipelines/cut.yml": f"{pipeline}nodes: {{out: {{timeout: 1m}}}}\n"},
        "a node's resources": {"conf/pipelines/cut.yml": f"{pipeline}nodes: {{out: {{resources: {{cpus: 2}}}}}}\n"},
        "a duckdb output": {
            "conf/catalog.yml": catalog.replace(
                '{store: here, path: "out/{partition}.parquet"', "{store: base, table: out"
            )
        },
        "a breaker": {"conf/profiles/dev.yml": profile.replace("url: data}", "url: data, breaker: {failures: 3}}")},
        "hooks": {
            "conf/pipelines/cut.yml": f"{pipeline}hooks: [watch.Watch]\n",
            "pipelines/watch.py": """
                from hamilton.lifecycle import NodeExecutionHook


                class Watch(NodeExecutionHook):
                    def run_before_node_execution(self, **kwargs): ...

                    def run_after_node_execution(self, **kwargs): ...
                """,
        },
    }
    months.write(added[case])
    done = ran(months, "--json")
    assert (done.code, done.err) == (0, "")
    for month in ("2024-01", "2024-02", "2024-03"):
        assert (months.path / f"staging-{month}").read_text() == driver(done)
        assert (months.path / f"node-{month}").read_text() != driver(done)


def test_files_in_memory_are_the_drivers(months: ProjectFolder) -> None:
    profile = FILES["conf/profiles/dev.yml"].rstrip() + '\n          mem: {adapter: files, url: "memory://out"}\n'
    months.write(TOLD | {"conf/profiles/dev.yml": profile})
    months.write({"conf/catalog.yml": FILES["conf/catalog.yml"].replace("out: {store: here", "out: {store: mem")})
    done = ran(months, "--json")
    assert (done.code, done.err) == (0, "")
    assert (months.path / "staging-2024-01").read_text() == driver(done)


def test_what_is_up_to_date_by_its_values_is_skipped_by_the_worker(months: ProjectFolder) -> None:
    # Windows that are not closed yet: the values of others are not asked again.
    months.write({name: FILES[name].replace("2024", "2098") for name in ("data/rows.csv", "conf/pipelines/cut.yml")})
    months.write(
        {
            "pipelines/cut.py": """
                from pathlib import Path

                import polars as pl


                def rate() -> int:
                    return int(Path("rate").read_text())


                def out(rows: pl.LazyFrame, rate: int, partition: str) -> pl.LazyFrame:
                    mine = rows.filter(pl.col("day").dt.strftime("%Y-%m") == partition)
                    return mine.with_columns(pl.col("id") * rate)
                """,
            "rate": "1",
        }
    )
    assert ran(months).code == 0
    again = ran(months)
    assert [line.split()[2] for line in again.out.splitlines()[1:-1]] == ["skipped"] * 3
    told = [(node["node"], bool(node["worker"])) for step in shown(months)["steps"] for node in step["nodes"]]
    assert told == [("rate", True)] * 3
    months.write({"rate": "2"})
    assert ran(months).code == 0
    assert ids(months) == [2, 4, 6]


BAD = {
    "a node": beside('raise ValueError("bad month")'),
    "a node that is tried again": beside('raise ValueError("bad month")')
    | {"conf/pipelines/cut.yml": FILES["conf/pipelines/cut.yml"] + "retry: {attempts: 2, wait: 1ms}\n"},
    "rows": {
        "conf/catalog.yml": FILES["conf/catalog.yml"].replace("mode: replace", 'mode: replace, schema: "schemas:Out"'),
        "pipelines/schemas.py": """
            import pandera.polars as pa


            class Out(pa.DataFrameModel):
                id: int = pa.Field(ge=10)
            """,
    },
    "rows of another month": {
        "pipelines/cut.py": """
            import polars as pl


            def out(rows: pl.LazyFrame, partition: str) -> pl.LazyFrame:
                return rows
            """
    },
    "a column": {
        "pipelines/cut.py": """
            import polars as pl


            def out(rows: pl.LazyFrame, partition: str) -> pl.LazyFrame:
                return rows.select("day", pl.col("idd"))
            """
    },
    "a type": {
        "pipelines/cut.py": """
            import polars as pl


            def out(rows: pl.LazyFrame, partition: str) -> pl.LazyFrame:
                return None
            """
    },
    "an input": {"data/rows.csv": "id;day\n"},
}


@pytest.mark.parametrize("case", BAD)
def test_what_goes_wrong_reads_the_same(months: ProjectFolder, case: str) -> None:
    months.write(BAD[case])
    here, there = (ran(months, "--set", "max_parallel_steps=1", executor=each) for each in ("threads", "processes"))
    assert here.code in {1, 3}
    assert (there.code, re.sub(r" on pid \d+ on [^:]+:", ":", there.err)) == (here.code, here.err)
    assert steps(months) == {"cut 2024-01": "failed"}


def test_a_traceback_shows_the_nodes_own_lines(months: ProjectFolder) -> None:
    months.write(BAD["a node"])
    done = ran(months, "--debug")
    assert 'pipelines/beside.py", line 8, in in_node\n' in done.err
    assert "ValueError: bad month\n" in done.err


def test_no_secret_comes_back(months: ProjectFolder) -> None:
    months.write(beside('raise ValueError("no entry for " + os.environ["TOKEN"])'))
    pipeline = FILES["conf/pipelines/cut.yml"]
    months.write({"conf/pipelines/cut.yml": f'{pipeline}params: {{token: "${{env:TOKEN}}"}}\n'})
    months.write(
        {"pipelines/cut.py": FILES["pipelines/cut.py"].replace("partition: str)", "partition: str, token: str)")}
    )
    done = ran(months, "--json", "--debug", TOKEN="hunter2-very-secret")
    assert done.code == 1
    assert "ValueError: no entry for ***" in done.err
    assert "hunter2" not in done.out + done.err
    for path in (months.path / ".flowpipe").rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes()


KILLS = 'Path("killed").exists() or (Path("killed").touch(), os.kill(os.getpid(), 9))'


@pytest.mark.parametrize("place", ["node", "staging"])
def test_a_worker_that_is_killed_once(months: ProjectFolder, place: str) -> None:
    months.write(beside(**{place: KILLS}))
    done = ran(months, "--json")
    assert (done.code, done.err) == (0, "")
    assert ids(months) == [1, 2, 3]
    told = [json.loads(line) for line in done.out.splitlines()]
    assert sorted(each["slice"] for each in told if each["record"] == "Published") == ["2024-01", "2024-02", "2024-03"]
    assert list((months.path / ".flowpipe/dev/scratch").glob("*")) == []
    assert {path.name for path in (months.path / "data/out").iterdir()} == {f"2024-0{n}.parquet" for n in (1, 2, 3)}


def test_a_step_that_kills_every_worker(months: ProjectFolder) -> None:
    months.write(beside('month == "2024-02" and os.kill(os.getpid(), 9)'))
    done = ran(months)
    assert (done.code, done.err) == (
        1,
        (
            "error: step cut 2024-02 failed after 3 attempts: "
            "the worker process died (killed by signal 9; out of memory?)\n"
            "  hint: give its nodes less memory to take, or run it with `executor: {type: threads}` to see more\n"
        ),
    )
    assert steps(months)["cut 2024-02"] == "failed"
    assert "2024-02.parquet" not in published(months)


RICH = {
    "conf/profiles/dev.yml": FILES["conf/profiles/dev.yml"].rstrip() + "\n        memory_budget: 200MB\n",
    "conf/catalog.yml": """
        rows: {store: here, path: rows.csv, options: {try_parse_dates: true}, schema: "schemas:Rows",
               on_invalid: quarantine}
        out: {store: lake, table: out, mode: replace, partition: {every: month, column: day}, schema: "schemas:Out",
              on_invalid: quarantine}
        """,
    "conf/pipelines/cut.yml": FILES["conf/pipelines/cut.yml"] + "nodes: {mine: {checkpoint: true}}\n",
    "pipelines/schemas.py": """
        import pandera.polars as pa


        class Rows(pa.DataFrameModel):
            id: int = pa.Field(ge=0)


        class Out(pa.DataFrameModel):
            id: int = pa.Field(le=100)
        """,
    "pipelines/cut.py": """
        import beside
        import polars as pl


        def mine(rows: pl.LazyFrame, partition: str) -> pl.DataFrame:
            return rows.filter(pl.col("day").dt.strftime("%Y-%m") == partition).collect()


        def out(mine: pl.DataFrame, partition: str) -> pl.DataFrame:
            beside.in_node(partition)
            return mine
        """,
    "data/rows.csv": "id,day\n1,2024-01-05\n-1,2024-01-06\n101,2024-01-07\n2,2024-02-05\n3,2024-03-05\n",
}


def tables(project: ProjectFolder) -> dict[str, Any]:
    out = pl.read_delta(str(project.path / "data/lake/out")).select("id", "day").sort("id").rows()
    rejected = pl.read_delta(str(project.path / "data/lake/out__rejected")).select("slice", "checks", "row").rows()
    inputs = sorted((project.path / "data/rows__rejected").glob("*.parquet"))
    bad = [row for path in inputs for row in pl.read_parquet(path).select("slice", "checks", "row").rows()]
    return {"out": out, "rejected": sorted(rejected), "bad": sorted(bad)}


def test_audits_checkpoints_and_budgets_hold_on_workers(months: ProjectFolder) -> None:
    months.write(RICH | beside('month == "2024-03" and Path("bad").exists() and 1 / 0')).write({"bad": ""})
    assert ran(months).code == 1
    (months.path / "bad").unlink()
    done = ran(months, "-v")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"mine  reused from its checkpoint  1 row ", done.out)
    there = tables(months)
    assert [row[0] for row in there["out"]] == [1, 2, 3]
    assert (len(there["rejected"]), len(there["bad"])) == (1, 3), "each month looks at all of the input"
    here = ran(months, "--force", executor="threads")
    assert (here.code, here.err) == (0, "")
    assert tables(months) == there
