"""What else makes an output stale, and how up-to-date outputs, damaged inputs and refused publishes are met."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl

from flowpipe.project import Project
from flowpipe.run import RunResult
from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]
STORES = """
    stores:
      here: {adapter: files, url: data}
      lake: {adapter: delta, url: data/lake}
      base: {adapter: duckdb, database: data/base.duckdb}
    executor: {type: sync}
    """
CONF = {"conf/project.yml": "name: stale\n", "conf/profiles/dev.yml": STORES}


def run(project: ProjectFolder, *sets: str) -> RunResult:
    return Project.load(project.path, sets=sets).run()


def outcomes(result: RunResult) -> dict[str, str]:
    assert result.error is None, result.error
    return result.outcomes


def reasons(project: ProjectFolder, *sets: str) -> list[str]:
    return [step.reason for step in Project.load(project.path, sets=sets).plan().steps]


def out(project: ProjectFolder, name: str = "out") -> list[tuple[object, ...]]:
    return pl.read_parquet(project.path / f"data/{name}.parquet").rows()


def test_other_datasets_nodes_and_settings_make_stale(empty_project: Make) -> None:
    catalog = """
        one: {store: here, path: one.csv}
        two: {store: here, path: two.csv}
        out: {store: here, path: out.parquet}
        """
    pipeline = "modules: [job]\nreads: {left: LEFT, right: RIGHT}\nwrites: {NODE: out}\n"

    def settle(left: str, right: str, node: str) -> dict[str, str]:
        text = pipeline.replace("LEFT", left).replace("RIGHT", right).replace("NODE", node)
        return {"conf/pipelines/job.yml": text}

    project = empty_project(
        {
            **CONF,
            **settle("one", "two", "first"),
            "conf/catalog.yml": catalog,
            "data/one.csv": "n\n1\n",
            "data/two.csv": "n\n2\n",
            "pipelines/job.py": """
                import polars as pl


                def first(left: pl.LazyFrame, right: pl.LazyFrame) -> pl.LazyFrame:
                    return left


                def second(left: pl.LazyFrame, right: pl.LazyFrame) -> pl.LazyFrame:
                    return right
                """,
        }
    )
    run(project)
    assert out(project) == [(1,)]
    project.write(settle("two", "one", "first"))
    assert reasons(project) == ['dataset of left changed "one" -> "two"; dataset of right changed "two" -> "one"']
    run(project)
    assert out(project) == [(2,)]
    project.write(settle("two", "one", "second"))
    assert reasons(project) == ['node changed "first" -> "second"']
    run(project)
    assert out(project) == [(1,)]
    project.write({"conf/catalog.yml": catalog.replace("two.csv}", "two.csv, format: csv}")})
    assert reasons(project) == ["settings of two added"]


def test_an_up_to_date_output_hands_on_its_audited_rows(empty_project: Make) -> None:
    project = empty_project(
        {
            **CONF,
            "conf/catalog.yml": """
                numbers: {store: here, path: numbers.csv}
                good: {store: here, path: good.parquet, schema: "schemas:Number", on_invalid: quarantine}
                late: {store: here, path: late.parquet}
                """,
            "conf/pipelines/job.yml": "modules: [job]\nparams: {add: 0}\nwrites: [good, late]\n",
            "data/numbers.csv": "n\n1\n-2\n3\n",
            "pipelines/schemas.py": """
                import pandera.polars as pa


                class Number(pa.DataFrameModel):
                    n: int = pa.Field(gt=0)
                """,
            "pipelines/job.py": """
                import polars as pl


                def good(numbers: pl.LazyFrame) -> pl.LazyFrame:
                    return numbers


                def late(good: pl.LazyFrame, add: int) -> pl.LazyFrame:
                    return good.select(pl.col("n") + add)
                """,
        }
    )
    run(project)
    assert out(project, "late") == [(1,), (3,)]
    before = (project.path / "data/good.parquet").stat().st_mtime_ns
    assert outcomes(run(project, "params.add=10")) == {"job": "done"}
    assert out(project, "late") == [(11,), (13,)]
    assert (project.path / "data/good.parquet").stat().st_mtime_ns == before, "what is up to date is not published"
    left = {path.name for path in (project.path / "data").rglob("*") if "flowpipe-" in path.name}
    assert left == set(), "what was staged for its consumers is gone"


def test_a_publish_of_the_same_fingerprint_is_seen_by_its_readers(empty_project: Make) -> None:
    project = empty_project(
        {
            **CONF,
            "conf/catalog.yml": """
                secret: {store: here, path: secret.csv}
                middle: {store: here, path: middle.parquet}
                out: {store: here, path: out.parquet}
                """,
            "conf/pipelines/first.yml": "modules: [first]\nreads: {secret: {dataset: secret, trigger: false}}\n"
            "writes: [middle]\nalways: true\n",
            "conf/pipelines/second.yml": "modules: [second]\nwrites: [out]\n",
            "data/secret.csv": "n\n1\n",
            "pipelines/first.py": "import polars as pl\n\n\n"
            "def middle(secret: pl.LazyFrame) -> pl.LazyFrame:\n    return secret\n",
            "pipelines/second.py": "import polars as pl\n\n\n"
            "def out(middle: pl.LazyFrame) -> pl.LazyFrame:\n    return middle\n",
        }
    )
    run(project)
    project.write({"data/secret.csv": "n\n1\n2\n"})
    assert outcomes(run(project)) == {"first": "done", "second": "done"}
    assert out(project) == [(1,), (2,)]


def test_a_window_published_before_its_end_is_asked_again(empty_project: Make) -> None:
    from datetime import UTC, datetime, timedelta

    month = f"{datetime.now(UTC):%Y-%m}"
    project = empty_project(
        {
            **CONF,
            "conf/catalog.yml": 'out: {store: here, path: "out/{partition}.parquet", mode: replace, '
            "partition: {every: month}}\n",
            "conf/pipelines/job.yml": f"modules: [job]\nwrites: [out]\npartitions: {{every: month, start: {month}}}\n",
            "pipelines/job.py": """
                from pathlib import Path

                import polars as pl


                def rate() -> int:
                    return int(Path(__file__).with_name("rate").read_text())


                def out(rate: int) -> pl.DataFrame:
                    return pl.DataFrame({"rate": [rate]})
                """,
            "pipelines/rate": "1",
        }
    )

    this_month = (month,)
    assert Project.load(project.path).run(partitions=this_month).error is None
    project.write({"pipelines/rate": "2"})
    later = datetime.now(UTC) + timedelta(days=32)
    (step,) = Project.load(project.path).plan(partitions=this_month, now=later).steps
    assert (step.action, step.reason) == ("ask", "asks out first")
    assert Project.load(project.path).run(partitions=this_month).error is None
    assert out(project, f"out/{month}") == [(2,)]


def test_data_that_can_never_be_published_stops_nobody(empty_project: Make) -> None:
    project = empty_project(
        {
            **CONF,
            "conf/catalog.yml": """
                rows: {store: here, path: rows.csv}
                hive: {store: lake, table: hive, partition_by: [c]}
                """,
            "conf/pipelines/job.yml": "modules: [job]\nwrites: [hive]\n",
            "data/rows.csv": 'c,n\n"",1\n',
            "pipelines/job.py": """
                import polars as pl


                def hive(rows: pl.LazyFrame) -> pl.LazyFrame:
                    return rows.with_columns(pl.col("c").cast(pl.String).fill_null(""))
                """,
        }
    )
    refused = project.flowpipe("run")
    assert refused.code == 3, refused.err
    assert not list((project.path / ".flowpipe/dev/intents").glob("*.json"))
    assert not list((project.path / "data/lake").rglob("*.parquet"))
    project.write({"data/rows.csv": "c,n\na,1\n"})
    done = project.flowpipe("run")
    assert (done.code, done.err) == (0, "")


def test_two_datasets_of_one_place_are_refused(project: ProjectFolder) -> None:
    project.write(
        {
            "conf/catalog.yml": """
                numbers: {store: here, path: numbers.csv}
                doubled: {store: here, path: doubled.parquet}
                tripled: {store: here, path: doubled.parquet}
                """,
            "conf/pipelines/more.yml": "modules: [double]\nparams: {factor: 3}\nwrites: {doubled: tripled}\n",
        }
    )
    done = project.flowpipe("check")
    text = 'datasets doubled and tripled are both written to "doubled.parquet" of store here'
    assert done.code == 2
    assert done.err == f"error: conf/catalog.yml:3:1: {text}\n  hint: give each a place of its own\n"


def test_damaged_inputs_are_not_blamed_on_nodes(project: ProjectFolder) -> None:
    (project.path / "data/numbers.csv").write_bytes(b"")
    catalog = "numbers: {store: here, path: in.parquet}\ndoubled: {store: here, path: doubled.parquet}\n"
    project.write({"conf/catalog.yml": catalog})
    (project.path / "data/in.parquet").write_bytes(b"PAR1 and then nothing")
    done = project.flowpipe("run")
    assert done.code == 3
    first, second = done.err.splitlines()
    told = "error: conf/catalog.yml:1:1: input numbers cannot be read: data/in.parquet: ComputeError: parquet: "
    assert first.startswith(told)
    assert second == "  hint: mend the file, or the dataset's `format:` and `options:`"


def test_lost_data_files_of_a_delta_table_are_seen(project: ProjectFolder) -> None:
    catalog = "numbers: {store: here, path: numbers.csv}\ndoubled: {store: lake, table: doubled}\n"
    project.write({"conf/catalog.yml": catalog})
    assert run(project).error is None
    for path in (project.path / "data/lake/doubled").glob("*.parquet"):
        Path(path).unlink()
    assert reasons(project) == ["1 of its 1 data files are gone"]
    assert outcomes(run(project)) == {"double": "done"}
    assert pl.read_delta(str(project.path / "data/lake/doubled")).rows() == [(2,), (4,), (6,)]
    shutil.rmtree(project.path / "data/lake")
    assert reasons(project) == ["never published"]


def test_windows_that_no_pipeline_has(empty_project: Make) -> None:
    project = empty_project(
        {
            **CONF,
            "conf/catalog.yml": 'out: {store: here, path: "{partition}.parquet", mode: replace, '
            "partition: {every: month}}\n",
            "conf/pipelines/job.yml": "modules: [job]\nwrites: [out]\n"
            "partitions: {every: month, start: 2024-01, end: 2024-03}\n",
            "pipelines/job.py": "import polars as pl\n\n\ndef out() -> pl.DataFrame:\n"
            "    return pl.DataFrame({'n': [1]})\n",
        }
    )
    done = project.flowpipe("plan", "--from", "2030-01")
    assert (done.code, done.err) == (
        2,
        "error: pipeline job has no window from 2030-01\n  hint: its windows are 2024-01 to 2024-03\n",
    )


def test_a_step_that_failed_while_its_input_changed_starts_again(project: ProjectFolder) -> None:
    """What was read of the old and the new file together may be why it failed."""
    project.write(
        {
            "pipelines/double.py": """
                from pathlib import Path

                import polars as pl


                def doubled(numbers: pl.DataFrame) -> pl.DataFrame:
                    if numbers.height == 3:
                        Path("data/numbers.csv").write_text("n\\n7\\n8\\n")
                        raise ValueError("read in the middle of a change")
                    return numbers
                """,
            "conf/pipelines/double.yml": "modules: [double]\nwrites: [doubled]\n",
        }
    )
    assert project.flowpipe("run").code == 0
    assert pl.read_parquet(project.path / "data/doubled.parquet").rows() == [(7,), (8,)]
