"""Resume inside a step: frames that are kept, read back, computed again when anything changed, and tidied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]

KINDS = {
    "lazy": ("pl.LazyFrame", "numbers.with_columns(doubled=pl.col('n') * factor)"),
    "eager": ("pl.DataFrame", "numbers.with_columns(doubled=pl.col('n') * factor).collect()"),
    "pandas": (
        "pd.DataFrame",
        "numbers.with_columns(doubled=pl.col('n') * factor).collect().to_pandas().set_index('n')",
    ),
    "arrow": ("pa.Table", "numbers.with_columns(doubled=pl.col('n') * factor).collect().to_arrow()"),
    "reader": (
        "pa.RecordBatchReader",
        "numbers.with_columns(doubled=pl.col('n') * factor).collect().to_arrow().to_reader()",
    ),
    "relation": (
        "duckdb.DuckDBPyRelation",
        "duckdb.connect().from_arrow(numbers.with_columns(doubled=pl.col('n') * factor).collect().to_arrow())",
    ),
}
ROWS = {
    "lazy": "joined.collect()",
    "eager": "joined",
    "pandas": "pl.from_pandas(joined.reset_index())",
    "arrow": "pl.from_arrow(joined)",
    "reader": "pl.from_arrow(joined.read_all())",
    "relation": "joined.pl()",
}
STORES = "stores: {here: {adapter: files, url: data}, lake: {adapter: delta, url: data/lake}}\n"
CODE = """
    import os, signal
    from pathlib import Path

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa


    def _count(name: str) -> None:
        with Path(name).open("a") as file:
            file.write("x")


    def read(numbers: pl.LazyFrame) -> pl.LazyFrame:
        _count("read")
        return numbers


    def joined(read: pl.LazyFrame, factor: int) -> KIND:
        _count("joined")
        numbers = read
        return MADE


    def out(joined: KIND) -> pl.DataFrame:
        rows = ROWS
        if Path("kill").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if Path("broken").exists():
            raise ValueError("not yet")
        return rows
    """


def files(kind: str = "eager", **more: str) -> dict[str, str]:
    annotation, made = KINDS[kind]
    return {
        "conf/project.yml": "name: kept\n",
        "conf/profiles/dev.yml": STORES,
        "conf/catalog.yml": "numbers: {store: here, path: numbers.csv}\nout: {store: here, path: out.parquet}\n",
        "conf/pipelines/job.yml": PIPELINE,
        "pipelines/job.py": CODE.replace("KIND", annotation).replace("MADE", made).replace("ROWS", ROWS[kind]),
        "data/numbers.csv": "n\n1\n2\n3\n",
        "broken": "",
        **more,
    }


PIPELINE = "modules: [job]\nparams: {factor: 2}\nwrites: [out]\nnodes: {joined: {checkpoint: true}}\n"


def fails(project: ProjectFolder, *arguments: str, **env: str) -> str:
    """A run whose last node fails."""
    done = project.flowpipe("run", *arguments, **env)
    assert done.code == 1, done.err
    assert "not yet" in done.err
    return done.err


def runs(project: ProjectFolder, *arguments: str, **env: str) -> str:
    """A run whose last node is mended."""
    (project.path / "broken").unlink(missing_ok=True)
    done = project.flowpipe("run", *arguments, **env)
    assert done.code == 0, done.err
    assert done.err == ""
    return done.out


def computed(project: ProjectFolder, name: str = "joined") -> int:
    path = project.path / name
    return len(path.read_text()) if path.exists() else 0


def rows(project: ProjectFolder) -> list[tuple[object, ...]]:
    return pl.read_parquet(project.path / "data/out.parquet").rows()


def kept(project: ProjectFolder) -> list[Path]:
    return sorted((project.path / ".flowpipe/dev/checkpoints").rglob("*.*"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_kept_is_not_computed_again(empty_project: Make, kind: str) -> None:
    project = empty_project(files(kind))
    fails(project)
    assert (computed(project), len(kept(project))) == (1, 1)
    told = runs(project, "-v")
    assert (computed(project), computed(project, "read")) == (1, 1)
    assert rows(project) == [(1, 2), (2, 4), (3, 6)]
    assert "\n    joined  reused from its checkpoint" in told
    shown = project.flowpipe("show", "last").out
    assert "  node    joined  reused from its checkpoint" in shown
    assert "node    read" not in shown
