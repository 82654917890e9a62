"""Frames as annotations ask for them, into nodes and out of them, and what a written node hands on."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from flowpipe.errors import DataError, NodeError
from flowpipe.project import Project
from flowpipe.run import RunResult
from flowpipe.sinks import Sink, StagingPlace, run_plans
from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]

HEAD = """
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa


def _doubled(rows):
    return rows.with_columns(pl.col("n") * 2)

"""
CONF = {
    "conf/project.yml": "name: frames\n",
    "conf/profiles/dev.yml": "stores: {here: {adapter: files, url: data}}\n",
    "data/numbers.csv": "n,word\n1,one\n2,two\n3,three\n",
}
# What each kind is called, and a node's body that doubles `n` with the kind's own means.
KINDS = {
    "lazy": ("pl.LazyFrame", "return _doubled(numbers_lazy)"),
    "eager": ("pl.DataFrame", "return _doubled(numbers_eager)"),
    "pandas": ("pd.DataFrame", "return numbers_pandas.assign(n=numbers_pandas['n'] * 2)"),
    "arrow": (
        "pa.Table",
        "n = pa.array([v * 2 for v in numbers_arrow['n'].to_pylist()])\n    return numbers_arrow.set_column(0, 'n', n)",
    ),
    "reader": (
        "pa.RecordBatchReader",
        "rows = numbers_reader.read_all()\n    return _doubled(pl.from_arrow(rows)).to_arrow().to_reader()",
    ),
    "relation": ("duckdb.DuckDBPyRelation", "return numbers_relation.project('n * 2 AS n, word')"),
}


def run(project: ProjectFolder) -> RunResult:
    """A run in this process, which is faster than the command."""
    return Project.load(project.path).run()


def published(project: ProjectFolder, name: str) -> list[tuple[object, ...]]:
    return pl.read_parquet(project.path / f"data/{name}.parquet").rows()


def job(module: str, *writes: str, reads: str = "{}", catalog: str = "") -> dict[str, str]:
    """A project of one module; every written node is a Parquet file of its name."""
    outputs = "".join(
        f"{name}: {{store: here, path: {name}.parquet}}\n" for name in writes if f"{name}:" not in catalog
    )
    return CONF | {
        "conf/catalog.yml": "numbers: {store: here, path: numbers.csv}\n" + outputs + catalog,
        "conf/pipelines/job.yml": f"modules: [job]\nreads: {reads}\nwrites: [{', '.join(writes)}]\n",
        "pipelines/job.py": HEAD + module,
    }


def test_every_kind_is_read_and_written(empty_project: Make) -> None:
    nodes = [
        f"def out_{kind}(numbers_{kind}: {annotation}) -> {annotation}:\n    {body}\n"
        for kind, (annotation, body) in KINDS.items()
    ]
    reads = "{" + ", ".join(f"numbers_{kind}: numbers" for kind in KINDS) + "}"
    project = empty_project(job("\n\n".join(nodes), *(f"out_{kind}" for kind in KINDS), reads=reads))
    done = project.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    for kind in KINDS:
        assert published(project, f"out_{kind}") == [(2, "one"), (4, "two"), (6, "three")], kind


def test_an_optional_frame_is_read_as_its_kind(empty_project: Make) -> None:
    module = """
def out(numbers: pl.DataFrame | None = None, absent: pl.LazyFrame | None = None) -> pl.DataFrame:
    assert absent is None
    return numbers.head(1)
"""
    project = empty_project(job(module, "out"))
    assert run(project).error is None
    assert published(project, "out") == [(1, "one")]


SCHEMAS = """
import pandera.polars as pa


class Small(pa.DataFrameModel):
    n: int = pa.Field(le=2, coerce=True)
"""
QUARANTINED = """
{name}: {{store: here, path: {name}.parquet, schema: "schemas:Small", on_invalid: quarantine}}
"""


def test_a_written_node_hands_on_its_audited_rows_and_is_computed_once(empty_project: Make) -> None:
    """Whatever the kind: `n` leaves the source as text, and its consumer sees numbers, without the rejected 3."""
    module = """
def _counted(frame: pl.DataFrame) -> pl.DataFrame:
    with open("calls.txt", "a") as calls:
        calls.write("x")
    return frame

def source(numbers: pl.LazyFrame) -> pl.LazyFrame:
    return numbers.select(pl.col("n").cast(pl.String)).map_batches(_counted, schema={"n": pl.String}, streamable=False)

def lazy(source: pl.LazyFrame) -> pl.LazyFrame:
    return source

def after_lazy(lazy: pl.LazyFrame) -> pl.LazyFrame:
    return lazy.with_columns(kind=pl.lit("lazy"))

def collected(source: pl.LazyFrame) -> pl.DataFrame:
    return source.collect()

def eager(collected: pl.DataFrame) -> pl.DataFrame:
    return collected

def after_eager(eager: pl.DataFrame) -> pl.DataFrame:
    return eager.with_columns(kind=pl.lit("eager"))

def pandas(collected: pl.DataFrame) -> pd.DataFrame:
    return collected.to_pandas()

def after_pandas(pandas: pd.DataFrame) -> pd.DataFrame:
    return pandas.assign(kind="pandas")

def arrow(collected: pl.DataFrame) -> pa.Table:
    return collected.to_arrow()

def after_arrow(arrow: pa.Table) -> pa.Table:
    return arrow.append_column("kind", pa.array(["arrow"] * len(arrow)))

def reader(collected: pl.DataFrame) -> pa.RecordBatchReader:
    return collected.to_arrow().to_reader()

def after_reader(reader: pa.RecordBatchReader) -> pl.DataFrame:
    return pl.from_arrow(reader.read_all()).with_columns(kind=pl.lit("reader"))

def relation(collected: pl.DataFrame) -> duckdb.DuckDBPyRelation:
    return duckdb.connect().from_arrow(collected.to_arrow())

def after_relation(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    return relation.project("n, 'relation' AS kind")
"""
    kinds = ("lazy", "eager", "pandas", "arrow", "reader", "relation")
    writes = [name for kind in kinds for name in (kind, f"after_{kind}")]
    catalog = "".join(QUARANTINED.format(name=kind) for kind in kinds)
    project = empty_project(job(module, *writes, catalog=catalog) | {"pipelines/schemas.py": SCHEMAS})
    done = project.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    for kind in kinds:
        assert published(project, kind) == [(1,), (2,)], kind
        assert published(project, f"after_{kind}") == [(1, kind), (2, kind)], kind
        assert pl.read_parquet(project.path / f"data/{kind}__rejected/all.parquet")["row"].to_list() == ['{"n":"3"}']
    # Once for `collected`, once for the pass in which `lazy` and `after_lazy` run together.
    assert (project.path / "calls.txt").read_text() == "xx"


def test_a_lazy_node_with_an_eager_consumer_is_computed_once(empty_project: Make) -> None:
    module = """
def _counted(frame: pl.DataFrame) -> pl.DataFrame:
    with open("calls.txt", "a") as calls:
        calls.write("x")
    return frame

def small(numbers: pl.LazyFrame) -> pl.LazyFrame:
    return numbers.select("n").map_batches(_counted, schema={"n": pl.Int64}, streamable=False)

def between(small: pl.LazyFrame) -> pl.LazyFrame:
    return small

def total(between: pl.LazyFrame) -> int:
    return between.collect()["n"].sum()

def out(total: int) -> pl.DataFrame:
    return pl.DataFrame({"total": [total]})
"""
    files = job(module, "small", "out", catalog=QUARANTINED.format(name="small"))
    project = empty_project(files | {"pipelines/schemas.py": SCHEMAS})
    done = project.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    assert published(project, "out") == [(3,)]
    assert (project.path / "calls.txt").read_text() == "x"


def test_an_eager_output_does_not_part_lazy_ones(empty_project: Make) -> None:
    """`lazy` waits for its consumer, though an eager output is staged between the two."""
    module = """
def _counted(frame: pl.DataFrame) -> pl.DataFrame:
    with open("calls.txt", "a") as calls:
        calls.write("x")
    return frame

def lazy(numbers: pl.LazyFrame) -> pl.LazyFrame:
    return numbers.select("n").map_batches(_counted, schema={"n": pl.Int64}, streamable=False)

def other(words: pl.DataFrame) -> pl.DataFrame:
    return words

def with_other(lazy: pl.LazyFrame, other: pl.DataFrame) -> pl.LazyFrame:
    return lazy.with_columns(other=len(other))
"""
    project = empty_project(job(module, "lazy", "other", "with_other", reads="{words: numbers}"))
    project.write({"conf/project.yml": "name: frames\ndefaults: {executor: {type: sync}}\n"})
    done = project.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    assert published(project, "with_other") == [(1, 3), (2, 3), (3, 3)]
    assert (project.path / "calls.txt").read_text() == "x"


def test_a_sink_lets_go_of_its_rows(tmp_path: Path) -> None:
    class Same:
        def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
            return rows

    same = Same()
    held = weakref.ref(same)
    rows = pl.LazyFrame({"n": [1]})
    for place in (StagingPlace(str(tmp_path), "one", single=True), StagingPlace(str(tmp_path), "many")):
        sink = Sink({"n": pl.Int64()}, place)
        run_plans([sink.plan(rows.map_batches(same, schema={"n": pl.Int64}))])
        assert sink.staged().rows == 1
    del same
    gc.collect()
    assert held() is None


def test_many_lazy_outputs_see_the_same_rows(empty_project: Make) -> None:
    """More outputs than run in one pass."""
    module = """
def first(numbers: pl.LazyFrame) -> pl.LazyFrame:
    return numbers.select("n")
""" + "".join(
        f"\ndef n{i}(first: pl.LazyFrame) -> pl.LazyFrame:\n    return first.select(pl.col('n') * {i})\n"
        for i in range(12)
    )
    names = ["first", *(f"n{i}" for i in range(12))]
    project = empty_project(job(module, *names))
    assert run(project).error is None
    for i in range(12):
        assert published(project, f"n{i}") == [(i,), (2 * i,), (3 * i,)]


def test_what_check_says_of_frames(empty_project: Make) -> None:
    module = """
def one(numbers: pa.RecordBatchReader) -> pl.DataFrame:
    return pl.from_arrow(numbers.read_all())

def two(numbers: pa.RecordBatchReader) -> int:
    return len(numbers.read_all())

def three(words: dict) -> pa.RecordBatchReader:
    return pa.table(words).to_reader()

def four(three: pa.RecordBatchReader, either: pl.DataFrame | pd.DataFrame) -> pl.DataFrame:
    return either

def five(three: pa.RecordBatchReader) -> int:
    return len(three.read_all())
"""
    reads = "{words: numbers, either: numbers}"
    project = empty_project(job(module, "one", "two", "three", "four", reads=reads))
    done = project.flowpipe("check")
    assert done.code == 2
    assert (
        done.err
        == """\
error: pipelines/job.py:11: the stream numbers can be read once, but nodes one, two read it
  hint: annotate it pa.Table or pl.LazyFrame
error: pipelines/job.py:14: node two is written to dataset two, but returns int
  hint: return a frame, such as pl.LazyFrame
error: pipelines/job.py:17: node three reads dataset numbers as dict, which is no frame
  hint: annotate it pl.LazyFrame, pl.DataFrame, pd.DataFrame, pa.Table, pa.RecordBatchReader or a relation
error: pipelines/job.py:17: the stream three can be read once, but nodes five, four read it
  hint: annotate it pa.Table or pl.LazyFrame
error: pipelines/job.py:20: node four reads dataset numbers as polars.dataframe.frame.DataFrame | pandas.DataFrame, \
which is no frame
  hint: annotate it pl.LazyFrame, pl.DataFrame, pd.DataFrame, pa.Table, pa.RecordBatchReader or a relation
"""
    )


FAILED = "node out failed when its rows were computed: "
FOR = 'for 1 out of 1 values: ["one"]'
RETURNS = [
    ("pl.DataFrame", "None", "node out gives None, but is annotated polars.DataFrame"),
    ("pl.DataFrame", "numbers.lazy()", "node out gives polars.LazyFrame, but is annotated polars.DataFrame"),
    ("pl.DataFrame | None", "None", "node out gives None, but is written to dataset out"),
    ("pl.DataFrame | None", "numbers['n']", "node out gives a Series, but is written to dataset out"),
    (
        "pl.LazyFrame",
        "numbers.lazy().select('nn')",
        f'{FAILED}ColumnNotFoundError: unable to find column "nn"; valid columns: ["n", "word"] (in select)',
    ),
    (
        "pl.LazyFrame",
        "numbers.lazy().head(1).select(pl.col('word').cast(pl.Int64))",
        (
            f"{FAILED}InvalidOperationError: conversion from `str` to `i64` failed in column 'word' {FOR} "
            '(in col("word").strict_cast(Int64))'
        ),
    ),
]


@pytest.mark.parametrize(("kind", "value", "text"), RETURNS)
def test_what_a_written_node_gives_instead(empty_project: Make, kind: str, value: str, text: str) -> None:
    project = empty_project(job(f"def out(numbers: pl.DataFrame) -> {kind}:\n    return {value}\n", "out"))
    error = run(project).error
    assert isinstance(error, NodeError)
    assert (str(error.problems[0].where), error.problems[0].message) == ("pipelines/job.py:10", text)
    assert [path.name for path in (project.path / "data").iterdir()] == ["numbers.csv"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("pl.DataFrame()", "its rows have no column"),
        ("pl.DataFrame({'o': [object()]})", 'column "o" is Object, which parquet cannot hold'),
    ],
)
def test_frames_that_no_store_can_hold(empty_project: Make, body: str, text: str) -> None:
    project = empty_project(job(f"def out() -> pl.DataFrame:\n    return {body}\n", "out"))
    error = run(project).error
    assert isinstance(error, DataError)
    assert error.problems[0].message == f"dataset out (node out): {text}"
