"""Whatever happens in whatever order, a run leaves what one run from nothing would have made of the same inputs."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowpipe.project import Project

MONTHS = ("2024-01", "2024-02", "2024-03")
FILES = {
    "conf/project.yml": "name: property\n",
    "conf/profiles/dev.yml": """
stores:
  landing: {adapter: files, url: data/landing}
  lake: {adapter: delta, url: data/lake}
  base: {adapter: duckdb, database: data/base.duckdb}
  out: {adapter: files, url: data/out}
executor: {type: sync}
""",
    "conf/catalog.yml": """
sales: {store: landing, path: "{partition:%Y-%m}.parquet", partition: {every: month}}
clean: {store: lake, table: clean, mode: replace, partition: {every: month, column: day}}
latest: {store: base, table: latest, mode: replace, partition: {every: month, column: day}}
total: {store: out, path: total.parquet}
""",
    "conf/pipelines/monthly.yml": """
modules: [monthly]
params: {factor: 1}
writes: [clean, latest]
partitions: {every: month, start: 2024-01, end: 2024-03}
""",
    "conf/pipelines/yearly.yml": "modules: [yearly]\nwrites: [total]\n",
    "pipelines/monthly.py": """
import polars as pl


def clean(sales: pl.LazyFrame, factor: int) -> pl.LazyFrame:
    return sales.with_columns(pl.col("amount") * factor)


def latest(clean: pl.LazyFrame) -> pl.LazyFrame:
    return clean.group_by("day").agg(pl.col("amount").sum())
""",
    "pipelines/yearly.py": """
import polars as pl


def total(clean: pl.LazyFrame) -> pl.LazyFrame:
    return clean.select(pl.col("amount").sum(), pl.len().cast(pl.Int64).alias("rows"))
""",
}
ACTIONS = st.one_of(
    st.tuples(st.just("input"), st.sampled_from(MONTHS), st.integers(1, 5)),
    st.tuples(st.just("factor"), st.integers(1, 3)),
    st.tuples(st.just("run"), st.sampled_from([(), *((month,) for month in MONTHS)])),
    st.tuples(st.just("foreign"), st.sampled_from(MONTHS)),
)


def write_month(project: Path, month: str, rows: int) -> None:
    day = pl.Series([f"{month}-{1 + number:02}" for number in range(rows)]).str.to_date()
    frame = pl.DataFrame({"day": day, "amount": pl.Series(range(rows), dtype=pl.Int64) + rows})
    frame.write_parquet(project / f"data/landing/{month}.parquet")


def run(project: Path, factor: int, partitions: tuple[str, ...] = ()) -> None:
    result = Project.load(project, sets=[f"params.factor={factor}"]).run(partitions=partitions)
    assert result.error is None, result.error


def tables(project: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(project / "data/base.duckdb")) as connection:
        latest = sorted(connection.sql("SELECT * FROM latest").fetchall())
    return {
        "clean": sorted(pl.read_delta(str(project / "data/lake/clean")).rows()),
        "latest": latest,
        "total": pl.read_parquet(project / "data/out/total.parquet").rows(),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("property")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=7))
def test_any_history_ends_as_one_run_from_nothing(folder: Path, actions: list[tuple[object, ...]]) -> None:
    lived, fresh = folder / "lived", folder / "fresh"
    for project in (lived, fresh):
        shutil.rmtree(project, ignore_errors=True)
        for name, text in FILES.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text.lstrip("\n"))
        (project / "data/landing").mkdir(parents=True)
    sizes, factor = dict.fromkeys(MONTHS, 2), 1
    for month in MONTHS:
        write_month(lived, month, 2)
    for action, *arguments in actions:
        match action, arguments:
            case "input", [str(month), int(rows)]:
                sizes[month] = rows
                write_month(lived, month, rows)
            case "factor", [int(new)]:
                factor = new
            case "run", [tuple(partitions)]:
                run(lived, factor, partitions)
            case "foreign", [str(month)] if (lived / "data/lake/clean").is_dir():
                from deltalake import DeltaTable

                DeltaTable(lived / "data/lake/clean").delete(f"day = '{month}-01'")
    run(lived, factor)
    for month, rows in sizes.items():
        write_month(fresh, month, rows)
    run(fresh, factor)
    assert tables(lived) == tables(fresh)
    again = Project.load(lived, sets=[f"params.factor={factor}"]).run()
    assert set(again.outcomes.values()) == {"skipped"}
