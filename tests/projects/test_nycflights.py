"""The repository's own project, run as a user runs it: every published number against an independent computation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import psycopg
import pytest
import s3fs
from polars.testing import assert_frame_equal

from flowpipe.testing.servers import PostgresServer, S3Server

REPOSITORY = Path(__file__).parents[2]
REFERENCE = Path(__file__).with_name("reference.sql")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, nothing published yet."""
    for folder in ("conf", "pipelines", "data/landing"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    return tmp_path


@dataclass(frozen=True)
class Published:
    """Where a profile has put the tables, read without flowpipe."""

    project: Path
    profile: str = "dev"
    postgres: PostgresServer | None = None
    s3: S3Server | None = None

    def delta(self, table: str) -> pl.DataFrame:
        if self.s3 is None:
            return pl.read_delta(str(self.project / "data/lake" / table))
        names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ALLOW_HTTP"}
        options = {name: value for name, value in self.s3.environment.items() if name in names}
        return pl.read_delta(f"s3://{self.s3.bucket}/lake/{table}", storage_options=options)

    def warehouse(self) -> pl.DataFrame:
        frame: pl.DataFrame
        if self.postgres is not None:
            with psycopg.connect(self.postgres.dsn) as connection:
                return pl.read_database("SELECT * FROM flowpipe.carrier_rank", connection)
        with duckdb.connect(str(self.project / "data/warehouse.duckdb"), read_only=True) as connection:
            frame = connection.sql("FROM carrier_rank").pl()
        return frame

    def report(self) -> pl.DataFrame:
        path = self.project / "data/reports/carrier_rank.csv"
        if self.s3 is not None:
            files = s3fs.S3FileSystem(key=self.s3.key, secret=self.s3.secret, endpoint_url=self.s3.endpoint)
            path = files.cat(f"{self.s3.bucket}/reports/carrier_rank.csv")
        return pl.read_csv(path)

    def rejected(self) -> pl.DataFrame:
        """The quarantined rows, back from JSON to the columns of `flights`."""
        types = dict(self.delta("flights").schema)
        as_text = {name: pl.String if dtype.is_temporal() else dtype for name, dtype in types.items()}
        rows = [json.loads(row) for row in self.delta("flights__rejected")["row"]]
        return pl.DataFrame(rows, schema=as_text).with_columns(
            pl.col("date").str.to_date(),
            pl.col("scheduled_departure", "departure").str.to_datetime(time_unit="us", time_zone="UTC"),
        )


TABLES: dict[str, Callable[[Published], pl.DataFrame]] = {
    "flights": lambda published: published.delta("flights"),
    "flights__rejected": Published.rejected,
    "daily_delays": lambda published: published.delta("daily_delays"),
    "carrier_rank": Published.warehouse,
    "carrier_report": Published.report,
}


@pytest.fixture(params=["dev", "postgres", "s3"])
def published(project: Path, request: pytest.FixtureRequest) -> Published:
    """The same code and the same catalog with each profile; the servers are real."""
    profile = str(request.param)
    if profile == "dev":
        return Published(project)
    if profile == "postgres":
        return Published(project, profile, postgres=request.getfixturevalue("postgres_server"))
    return Published(project, profile, s3=request.getfixturevalue("s3_server"))


def run(published: Published) -> list[str]:
    """Run everything; the lines that tell of steps."""
    servers = [server for server in (published.postgres, published.s3) if server]
    environment = {name: value for server in servers for name, value in server.environment.items()}
    done = subprocess.run(
        [sys.executable, "-m", "flowpipe", "run", "--profile", published.profile],
        cwd=published.project, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def assert_same_rows(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    """The same columns, types and rows in any order; floats to nine digits, as sums are added in another order."""
    exact = [name for name, dtype in expected.schema.items() if dtype != pl.Float64]
    assert_frame_equal(actual.sort(exact), expected.sort(exact), check_exact=False, rel_tol=1e-9)


def test_every_number_is_that_of_the_reference(published: Published) -> None:
    run(published)
    with duckdb.connect() as reference:
        reference.execute(f"SET TimeZone = 'UTC'; SET file_search_path = '{published.project}'")
        reference.execute(REFERENCE.read_text(encoding="utf-8"))
        for name, read in TABLES.items():
            expected = reference.sql(f"FROM {name}").pl()
            assert_same_rows(read(published).cast(dict(expected.schema)), expected)
    assert run(published)[-1].startswith("done: 25 skipped"), "nothing is stale"

    why = published.delta("flights__rejected").select(
        helicopter=pl.col("checks").str.contains("aircraft_type"), too_fast=pl.col("checks").str.contains("speed")
    )
    assert why.sum().row(0) == (410, 4)
    assert published.report()["rank"].is_sorted()
