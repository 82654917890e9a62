"""Frames as annotations ask for them, into nodes and out of them, and what a written node hands on."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from conftest import ProjectFolder

from flowpipe.errors import ConfigError
from flowpipe.project import Project
from flowpipe.run import RunResult

Make = Callable[[dict[str, str]], ProjectFolder]

HEAD = """
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
from collections.abc import Iterator

"""
CONF = {
    "conf/project.yml": "name: frames\n",
    "conf/profiles/dev.yml": "stores: {here: {adapter: files, url: data}}\n",
    "data/numbers.csv": "n,word\n1,one\n2,two\n3,three\n",
}
# What each kind is called, and a node's body that doubles `n` with the kind's own means.
KINDS = {
    "lazy": ("pl.LazyFrame", "return numbers_lazy.with_columns(pl.col('n') * 2)"),
    "eager": ("pl.DataFrame", "return numbers_eager.with_columns(pl.col('n') * 2)"),
    "pandas": ("pd.DataFrame", "return numbers_pandas.assign(n=numbers_pandas['n'] * 2)"),
    "arrow": (
        "pa.Table",
        "n = pa.array([v * 2 for v in numbers_arrow['n'].to_pylist()])\n    return numbers_arrow.set_column(0, 'n', n)",
    ),
    "reader": (
        "pa.RecordBatchReader",
        "batches = [pa.record_batch({'n': [v.as_py() * 2 for v in b['n']], 'word': b['word']}) for b in numbers_reader]"
        "\n    return pa.RecordBatchReader.from_batches(batches[0].schema, batches)",
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
    outputs = "".join(f"{name}: {{store: here, path: {name}.parquet}}\n" for name in writes if f"{name}:" not in catalog)
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
