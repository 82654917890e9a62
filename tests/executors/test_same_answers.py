"""The same tables on every executor, node by node and step by step; what one has made is up to date for the others."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.conftest import EXECUTORS, ProjectFolder

REPOSITORY = Path(__file__).parents[2]


def digest(frame: pl.DataFrame) -> str:
    """One text for the same rows in any order; floats to nine digits, as sums are added in another order."""
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    rounded = frame.with_columns(pl.col(floats).round_sig_figs(9)).sort(pl.exclude(floats), maintain_order=True)
    rows = sorted(repr(row) for row in rounded.select(sorted(frame.columns)).iter_rows())
    return hashlib.sha256("\n".join([repr(sorted(frame.schema.items())), *rows]).encode()).hexdigest()


def ran(project: Path, executor: str, *arguments: str) -> list[str]:
    """Run everything on an executor; the lines that tell of steps."""
    profile = project / "conf/profiles/other.yml"
    profile.write_text(f"extends: dev\nexecutor: {executor}\n")
    done = subprocess.run(
        [sys.executable, "-m", "flowpipe", "run", "--profile", "other", *arguments],
        cwd=project, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout.splitlines()


def flights_tables(project: Path) -> Mapping[str, pl.DataFrame]:
    with duckdb.connect(str(project / "data/warehouse.duckdb"), read_only=True) as connection:
        rank = connection.sql("FROM carrier_rank").pl()
    lake = {name: pl.read_delta(str(project / "data/lake" / name)) for name in ("flights", "daily_delays")}
    rejected = pl.read_delta(str(project / "data/lake/flights__rejected")).drop("run")
    report = pl.read_csv(project / "data/reports/carrier_rank.csv")
    return {**lake, "rejected": rejected, "rank": rank, "report": report}


JOIN = {
    "conf/project.yml": "name: tpch\n",
    "conf/profiles/dev.yml": "stores: {raw: {adapter: files, url: raw}, out: {adapter: files, url: out}}\n",
    "conf/catalog.yml": """
        customer: {store: raw, path: customer.parquet}
        orders: {store: raw, path: orders.parquet}
        lineitem: {store: raw, path: lineitem.parquet}
        lazy_revenue: {store: out, path: lazy_revenue.parquet}
        eager_revenue: {store: out, path: eager_revenue.parquet}
        """,
    "conf/pipelines/lazily.yml": "modules: [lazily]\nparams: {segment: BUILDING}\nwrites: [lazy_revenue]\n",
    "conf/pipelines/eagerly.yml": "modules: [eagerly]\nparams: {segment: BUILDING}\nwrites: [eager_revenue]\n",
}
# Query 3 of TPC-H, without its limit.
QUERY = """
    import polars as pl
    from datetime import date


    def early_orders(orders: pl.{frame}, customer: pl.{frame}, segment: str) -> pl.{frame}:
        wanted = customer.filter(pl.col("c_mktsegment") == segment)
        early = orders.filter(pl.col("o_orderdate") < date(1995, 3, 15))
        return early.join(wanted, left_on="o_custkey", right_on="c_custkey", how="semi")


    def late_lines(lineitem: pl.{frame}) -> pl.{frame}:
        return lineitem.filter(pl.col("l_shipdate") > date(1995, 3, 15)).select(
            "l_orderkey", amount=(pl.col("l_extendedprice") * (1 - pl.col("l_discount"))).cast(pl.Float64)
        )


    def {name}(early_orders: pl.{frame}, late_lines: pl.{frame}) -> pl.{frame}:
        joined = early_orders.join(late_lines, left_on="o_orderkey", right_on="l_orderkey")
        return joined.group_by("o_orderkey", "o_orderdate", "o_shippriority").agg(revenue=pl.col("amount").sum())
    """


@pytest.fixture(scope="module")
def tpch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of TPC-H at a tenth of its smallest scale."""
    folder = tmp_path_factory.mktemp("tpch")
    command = [str(Path(sys.executable).with_name("tpchgen-cli")), "parquet", "-s", "0.1"]
    arguments = ["--tables", "customer,orders,lineitem", "--output-dir", str(folder)]
    subprocess.run([*command, *arguments], check=True, capture_output=True)
    return folder


def test_the_flights(tmp_path: Path, executor_yaml: Callable[[str], str]) -> None:
    found = {}
    for executor in EXECUTORS:
        project = tmp_path / executor
        for folder in ("conf", "pipelines", "data/landing"):
            shutil.copytree(REPOSITORY / folder, project / folder)
        ran(project, executor_yaml(executor))
        found[executor] = {name: digest(table) for name, table in flights_tables(project).items()}
        others = EXECUTORS[(EXECUTORS.index(executor) + 1) % len(EXECUTORS)]
        assert ran(project, executor_yaml(others))[-1].startswith("done: 25 skipped"), f"{executor} for {others}"
    assert {executor: tables for executor, tables in found.items() if tables != found["sync"]} == {}


def test_a_join_eagerly_and_lazily(tmp_path: Path, tpch: Path, executor_yaml: Callable[[str], str]) -> None:
    project = ProjectFolder(tmp_path).write(JOIN)
    for module, name, frame in (("lazily", "lazy", "LazyFrame"), ("eagerly", "eager", "DataFrame")):
        project.write({f"pipelines/{module}.py": QUERY.format(frame=frame, name=f"{name}_revenue")})
    (tmp_path / "raw").symlink_to(tpch)
    found = {}
    for executor in EXECUTORS:
        ran(tmp_path, executor_yaml(executor), "--force")
        tables = [pl.read_parquet(tmp_path / f"out/{name}_revenue.parquet") for name in ("lazy", "eager")]
        found[executor] = [digest(table) for table in tables]
        shutil.rmtree(tmp_path / "out")
    assert len({each for both in found.values() for each in both}) == 1, found
    assert tables[0].height > 1000
    with duckdb.connect() as reference:
        expected = reference.execute(
            f"""SELECT count(*), sum(l_extendedprice * (1 - l_discount))::DOUBLE FROM '{tpch}/lineitem.parquet'
            JOIN '{tpch}/orders.parquet' ON l_orderkey = o_orderkey
            JOIN '{tpch}/customer.parquet' ON o_custkey = c_custkey
            WHERE c_mktsegment = 'BUILDING' AND o_orderdate < '1995-03-15' AND l_shipdate > '1995-03-15'"""
        ).fetchone()
    assert expected is not None
    assert tables[0]["revenue"].sum() == pytest.approx(expected[1])
