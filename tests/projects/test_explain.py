"""`flowpipe explain` on datasets, nodes, pipelines and exit codes: every line, before and after runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from deltalake import DeltaTable

from flowpipe import names
from flowpipe.cli import run_command
from flowpipe.project import Project
from tests.conftest import ProjectFolder

PROJECT = {
    "conf/project.yml": "name: shop\n",
    "conf/profiles/dev.yml": """
        stores:
          landing: {adapter: files, url: data/landing}
          lake: {adapter: delta, url: data/lake}
          base: {adapter: duckdb, database: data/base.duckdb}
        executor: {type: sync}
        """,
    "conf/profiles/far.yml": """
        extends: dev
        stores:
          lake: {adapter: postgres, dsn: "postgresql://me:hunter22@127.0.0.1:9/db"}
        """,
    "conf/catalog.yml": """
        orders: {store: landing, path: "orders/{partition:%Y-%m}.csv", partition: {every: month}}
        customers: {store: landing, path: customers.csv}
        clean: {store: lake, table: clean, mode: replace, partition: {column: day, every: month},
                schema: "schemas:Clean", on_invalid: quarantine}
        report: {store: base, table: totals, mode: merge, key: [customer]}
        """,
    "conf/pipelines/clean.yml": """
        modules: [cleaning]
        params: {least: 2, password: "${env:SHOP_PASSWORD:-none}"}
        writes: [clean]
        partitions: {every: month, start: 2024-01, end: 2024-04}
        retry: {attempts: 2, wait: 3s}
        nodes:
          priced: {timeout: 30s, retry: {attempts: 4}, resources: {cpus: 2}}
        timeout: 5m
        """,
    "conf/pipelines/totals.yml": "modules: [totals]\nreads: {orders: clean}\nwrites: {totals: report}\n",
    "pipelines/schemas.py": """
        from datetime import datetime

        import pandera.polars as pa


        class Clean(pa.DataFrameModel):
            day: datetime = pa.Field(nullable=True)
            customer: str
            price: int
        """,
    "pipelines/cleaning.py": """
        import polars as pl


        def priced(orders: pl.LazyFrame, least: int = 1, most: int = 100) -> pl.LazyFrame:
            \"\"\"Orders with a price that can be.

            Cents are rounded.
            \"\"\"
            return orders.filter(pl.col("price").is_between(least, most))


        def clean(priced: pl.LazyFrame, password: str) -> pl.DataFrame:
            return priced.with_columns(pl.col("day").str.to_datetime()).collect()
        """,
    "pipelines/totals.py": """
        import polars as pl


        def totals(orders: pl.DataFrame) -> pl.DataFrame:
            return orders.group_by("customer").agg(pl.col("price").sum())
        """,
    **{
        f"data/landing/orders/2024-0{n}.csv": f"day,customer,price\n2024-0{n}-05,ann,{n}\n2024-0{n}-06,bob,{n + 9}\n"
        for n in (1, 2, 3, 4)
    },
}

Explain = Callable[..., str]


def masked(text: str) -> str:
    text = re.sub(r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \((just now|[^)]* ago)\)", "TIME", text)
    return re.sub(r"took (\d+ ms|\d+\.\d s)", "took TOOK", text)


def asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> Explain:
    """The command in this process; its output, or with a code what it says is wrong."""

    def explain(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run_command(["explain", "-C", str(folder), *arguments], debug=False) == code
        done = capsys.readouterr()
        assert not (done.out if code else done.err)
        return masked(done.err if code else done.out)

    return explain


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project that ran once."""
    project = ProjectFolder(tmp_path_factory.mktemp("shop")).write(PROJECT)
    assert run_command(["run", "-C", str(project.path)], debug=False) == 0
    return project


@pytest.fixture
def shop_copy(shop: ProjectFolder, tmp_path: Path) -> Path:
    """The same folder for a test that changes it."""
    return Path(shutil.copytree(shop.path, tmp_path / "shop"))


@pytest.fixture
def explain(shop: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> Explain:
    return asked(shop.path, capsys)


@pytest.fixture
def fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Explain:
    """The same project, which never ran."""
    return asked(ProjectFolder(tmp_path).write(PROJECT).path, capsys)


CLEAN = """\
dataset clean
  stored     store lake (delta), table clean
  catalog    conf/catalog.yml:3:1
  made by    node clean of pipeline clean  pipelines/cleaning.py:12  conf/pipelines/clean.yml:3:10
  read by    node totals of pipeline totals as orders
  mode       replace
  partition  one slice per month of day
  schema     schemas:Clean, on_invalid: quarantine
  columns    COLUMNS
  published  PUBLISHED
  next run   WHY

node clean
  pipeline    clean
  function    pipelines/cleaning.py:12
  signature   clean(priced: polars.LazyFrame, password: str) -> polars.DataFrame
  takes       priced: node  pipelines/cleaning.py:4
              password: param = "***"  conf/pipelines/clean.yml:2:30
  written as  dataset clean, mode: replace
  settings    retry: attempts: 2, wait: 3s
  last run    LAST
  next run    WHY

pipeline clean
  configured  conf/pipelines/clean.yml
  modules     cleaning  pipelines/cleaning.py
  params      least = 2  conf/pipelines/clean.yml:2:17
              password = "***"  conf/pipelines/clean.yml:2:30
  nodes       2 nodes
  reads       orders, from store landing
  writes      clean, mode: replace
  partitions  every month, 4 slices: 2024-01 to 2024-04
  retry       attempts: 2, wait: 3s
  timeout     5m for each step
  next run    WHY
"""
COLUMNS = ("day       Datetime[us]", "customer  String", "price     Int64")
RAN = {
    "COLUMNS": COLUMNS,
    "PUBLISHED": ("TIME by run RUN, slice 2024-04", "4 of 4 slices, 7 rows"),
    "LAST": ("TIME in run RUN 2024-04: done, took TOOK",),
    "WHY": ("all 4 slices up to date",),
}


def clean(**told: tuple[str, ...]) -> str:
    """What is told of `clean`, which is a dataset, a node and a pipeline."""
    text = CLEAN
    for name, lines in (RAN | told).items():
        text = text.replace(name, f"\n{' ' * 13}".join(lines))
    return text


def test_a_dataset_then_its_node_then_the_pipeline_of_the_same_name(explain: Explain) -> None:
    assert explain("clean") == clean()


def test_why_it_would_run(explain: Explain, fresh: Explain) -> None:
    changed = clean(WHY=("all 4 slices run: params.least changed 2 -> 3",))
    assert explain("clean", "--set", "params.least=3") == changed.replace(
        "least = 2  conf/pipelines/clean.yml:2:17", "least = 3  --set params.least=3"
    )
    assert fresh("clean") == clean(
        COLUMNS=("not there yet; the schema says:", *COLUMNS),
        PUBLISHED=("never",),
        LAST=("never, as far as the ledger tells",),
        WHY=("all 4 slices run: never published",),
    )


def test_what_became_of_it_since(shop_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", "-C", str(shop_copy)], debug=False) == 0  # a copied file is another one
    explain = asked(shop_copy, capsys)
    (shop_copy / "data/landing/orders/2024-02.csv").write_text("day,customer,price\n2024-02-07,eve,7\n")
    assert explain("clean").splitlines()[13:15] == [
        "  next run   1 of 4 slices runs: orders: version changed (2024-02)",
        "             3 of 4 slices up to date (2024-01, 2024-03, 2024-04)",
    ]
    assert explain("report").splitlines()[-1] == "  next run   decided at run: after clean 2024-02"
    table = DeltaTable(shop_copy / "data/lake/clean")
    table.delete("customer = 'ann'")
    change = f"version {table.version()} (DELETE) is not flowpipe's"
    assert explain("clean").splitlines()[11:16] == [
        "  published  TIME by run RUN, slice 2024-04",
        "             4 of 4 slices, 7 rows",
        f"             changed since: {change} (2024-01 to 2024-04)",
        f"  next run   all 4 slices run: {change}",
        "",
    ]


def test_a_dataset_under_another_name_than_its_node(explain: Explain) -> None:
    assert explain("report") == (
        "dataset report\n"
        "  stored     store base (duckdb), table totals\n"
        "  catalog    conf/catalog.yml:5:1\n"
        "  made by    node totals of pipeline totals  pipelines/totals.py:4  conf/pipelines/totals.yml:3:18\n"
        "  read by    no pipeline\n"
        "  mode       merge\n"
        "  key        customer\n"
        "  columns    customer  String\n"
        "             price     Int64\n"
        "  published  TIME by run RUN\n"
        "             2 rows\n"
        "  next run   up to date\n"
    )
    assert explain("totals").startswith(
        "node totals\n"
        "  pipeline    totals\n"
        "  function    pipelines/totals.py:4\n"
        "  signature   totals(orders: polars.DataFrame) -> polars.DataFrame\n"
        "  takes       orders: dataset clean of store lake  conf/catalog.yml:3:1\n"
        "  written as  dataset report, mode: merge\n"
    )


def test_datasets_that_are_only_read(explain: Explain) -> None:
    assert explain("orders") == (
        "dataset orders\n"
        "  stored     store landing (files), orders/{partition:%Y-%m}.csv\n"
        "  catalog    conf/catalog.yml:1:1\n"
        "  made by    no pipeline: it is only read\n"
        "  read by    node priced of pipeline clean\n"
        "  partition  one slice per month\n"
        "  columns    day       String\n"
        "             customer  String\n"
        "             price     Int64\n"
    )
    assert explain("customers") == (
        "dataset customers\n"
        "  stored   store landing (files), customers.csv\n"
        "  catalog  conf/catalog.yml:2:1\n"
        "  made by  no pipeline: it is only read\n"
        "  read by  no pipeline\n"
        "  columns  not there: data/landing/customers.csv\n"
    )


def test_a_node_between(explain: Explain) -> None:
    assert explain("priced") == (
        "node priced\n"
        "  pipeline   clean\n"
        "  function   pipelines/cleaning.py:4\n"
        "  signature  priced(orders: polars.LazyFrame, least: int, most: int) -> polars.LazyFrame\n"
        "  says       Orders with a price that can be.\n"
        "             Cents are rounded.\n"
        "  takes      orders: dataset orders of store landing  conf/catalog.yml:1:1\n"
        "             least: param = 2  conf/pipelines/clean.yml:2:17\n"
        "             most: its default, 100\n"
        "  used by    clean\n"
        "  settings   retry: attempts: 4, wait: 3s\n"
        "             timeout: 30.0 s for each attempt\n"
        "             resources: cpus: 2\n"
        "  last run   TIME in run RUN 2024-04: done, lazy: its rows are computed where they are written\n"
    )


def test_a_store_that_cannot_be_asked_hides_nothing_else(explain: Explain) -> None:
    refused = 'connection failed: connection to server at "127.0.0.1", port 9 failed: Connection refused'
    refused = f"database db on 127.0.0.1: {refused}"
    assert explain("clean", "--profile", "far") == clean(
        COLUMNS=(f"the store cannot be asked: {refused}; the schema says:", *COLUMNS),
        PUBLISHED=(f"the store cannot be asked: {refused}",),
        WHY=(f"cannot be told: {refused}",),
    ).replace("lake (delta)", "lake (postgres)")


def test_a_missing_input_is_why_the_next_run_is_not_known(shop_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop_copy / "data/landing/orders/2024-02.csv").unlink()
    place = 'data/landing/orders/2024-02.csv (store "landing")'
    why = f"cannot be told: input orders of 2024-02 is not there: {place}"
    assert asked(shop_copy, capsys)("clean") == clean(WHY=(why,))


def test_what_is_unknown_or_wrong(explain: Explain, shop_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("claen", code=2) == (
        'error: unknown name "claen"\n'
        '  hint: did you mean "clean"? known: clean, customers, orders, priced, report, totals\n'
    )
    assert explain("DataEror", code=2) == 'error: unknown name "DataEror"\n  hint: did you mean "DataError"?\n'
    (shop_copy / "conf/pipelines/totals.yml").write_text("modules: [totls]\nwrites: {totals: report}\n")
    assert asked(shop_copy, capsys)("clean", code=2) == (
        'error: conf/pipelines/totals.yml:1:11: unknown module "totls"\n'
        '  hint: did you mean "totals"? known: cleaning, schemas, totals\n'
    )


def test_json_and_the_library_say_the_same(explain: Explain, shop: ProjectFolder) -> None:
    (dataset, node, pipeline) = json.loads(explain("clean", "--json"))
    assert (dataset["kind"], dataset["name"]) == ("dataset", "clean")
    assert dataset["facts"]["columns"] == list(COLUMNS)
    assert (node["kind"], pipeline["kind"]) == ("node", "pipeline")
    found = Project.load(shop.path).explain("clean")
    assert [(each.kind, each.name) for each in found] == [(kind, "clean") for kind in ("dataset", "node", "pipeline")]
    assert {fact.label: list(fact.lines) for fact in found[2].facts} == pipeline["facts"]


def test_a_shell_completes_what_can_be_explained(shop: ProjectFolder) -> None:
    assert names.everything(shop.path) == ["clean", "customers", "orders", "priced", "report", "totals"]


LOCKED = """\
LockedError (exit code 75)
  means      Another run of this project and profile is at work; only one may be at a time.
  published  Nothing by this command, which did not start; the other run goes on undisturbed.
  causes     cron started a run while the one before was still at work
             somebody else runs it, or `flowpipe maintain` or `flowpipe clean` is at work
  next       see who it is and since when: `flowpipe doctor`, `flowpipe runs`
             wait for it: `flowpipe run --wait 10m`
             never delete the lock file: a lock of a process that died is free by itself
"""


def test_exit_codes_and_errors_outside_of_any_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain = asked(tmp_path, capsys)
    assert explain("75") == explain("LockedError") == explain("lockederror") == LOCKED
    headings = [line for line in explain("1").splitlines() if line and not line.startswith(" ")]
    assert headings == [
        "NodeError (exit code 1)",
        "FlowpipeError, Unreachable (exit code 1)",
        "ClusterLost (exit code 1)",
        "OutOfTime, DeadlinePassed (exit code 1)",
    ]
    (found,) = json.loads(explain("3", "--json"))
    assert (found["kind"], found["name"]) == ("error", "DataError (exit code 3)")
    assert explain("clean", code=2).startswith(f"error: no flowpipe project at {tmp_path} or above it")


def test_on_a_narrow_terminal_what_is_long_is_wrapped_beside_its_label(tmp_path: Path) -> None:
    told = on_a_terminal(tmp_path, "explain", "75", columns=50)
    assert max(map(len, told)) <= 50
    assert told[:3] == [
        "LockedError (exit code 75)",
        "  means      Another run of this project and",
        "               profile is at work; only one may be",
    ]


def on_a_terminal(folder: Path, *arguments: str, columns: int) -> list[str]:
    """The lines of a command on a terminal of so many columns, without colours."""
    command = [sys.executable, "-m", "flowpipe", *arguments]
    ours, theirs = os.openpty()
    env = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    subprocess.run(command, cwd=folder, env=env, stdout=theirs, check=True)
    os.close(theirs)
    text = b""
    with suppress(OSError):  # how a terminal ends whose other side is closed
        while part := os.read(ours, 65536):
            text += part
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).replace("\r", "").splitlines()
