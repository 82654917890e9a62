"""The repository's own project, run as a user runs it: every published number against an independent computation."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

REPOSITORY = Path(__file__).parents[2]
REFERENCE = Path(__file__).with_name("reference.sql")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, nothing published yet."""
    for folder in ("conf", "pipelines", "data/landing"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    return tmp_path


def delta(table: str) -> Callable[[Path], pl.DataFrame]:
    return lambda project: pl.read_delta(str(project / "data/lake" / table))


def warehouse(project: Path) -> pl.DataFrame:
    with duckdb.connect(str(project / "data/warehouse.duckdb"), read_only=True) as connection:
        frame: pl.DataFrame = connection.sql("FROM carrier_rank").pl()
    return frame


def report(project: Path) -> pl.DataFrame:
    frame = pl.read_csv(project / "data/reports/carrier_rank.csv")
    return frame.cast({"rank": pl.Int32, "flights": pl.Int32})


def rejected(project: Path) -> pl.DataFrame:
    """The quarantined rows, back from JSON to the columns of `flights`."""
    types = dict(pl.read_delta(str(project / "data/lake/flights")).schema)
    as_text = {name: pl.String if dtype.is_temporal() else dtype for name, dtype in types.items()}
    rows = [json.loads(row) for row in pl.read_delta(str(project / "data/lake/flights__rejected"))["row"]]
    return pl.DataFrame(rows, schema=as_text).with_columns(
        pl.col("date").str.to_date(),
        pl.col("scheduled_departure", "departure").str.to_datetime(time_unit="us", time_zone="UTC"),
    )


TABLES: dict[str, Callable[[Path], pl.DataFrame]] = {
    "flights": delta("flights"),
    "flights__rejected": rejected,
    "daily_delays": delta("daily_delays"),
    "carrier_rank": warehouse,
    "carrier_report": report,
}


def assert_same_rows(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    """The same columns, types and rows in any order; floats to nine digits, as sums are added in another order."""
    exact = [name for name, dtype in expected.schema.items() if dtype != pl.Float64]
    assert_frame_equal(actual.sort(exact), expected.sort(exact), check_exact=False, rel_tol=1e-9)


def test_every_number_is_that_of_the_reference(project: Path) -> None:
    command = [sys.executable, "-m", "flowpipe", "run"]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr

    with duckdb.connect() as reference:
        reference.execute(f"SET TimeZone = 'UTC'; SET file_search_path = '{project}'")
        reference.execute(REFERENCE.read_text(encoding="utf-8"))
        for name, published in TABLES.items():
            assert_same_rows(published(project), reference.sql(f"FROM {name}").pl())

    why = pl.read_delta(str(project / "data/lake/flights__rejected")).select(
        helicopter=pl.col("checks").str.contains("aircraft_type"), too_fast=pl.col("checks").str.contains("speed")
    )
    assert why.sum().row(0) == (410, 4)
    assert report(project)["rank"].is_sorted()
