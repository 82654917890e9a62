"""A project from a template: made whole, run at once, and nothing of anybody's is written over."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from flowpipe.cli import run_command
from flowpipe.starting import TEMPLATES, start
from tests.conftest import killed_before_rename

Said = Callable[..., tuple[int, str, str]]
MINIMAL = """\
made shop from the template minimal: one CSV file, one pipeline, one table
  .gitignore
  README.md
  conf/catalog.yml
  conf/pipelines/daily_sales.yml
  conf/profiles/dev.yml
  conf/project.yml
  conf/schema/catalog.json
  conf/schema/pipeline.json
  conf/schema/profile.json
  conf/schema/project.json
  data/raw/orders.csv
  pipelines/daily_sales.py
  tests/test_daily_sales.yml

next:
  cd shop
  flowpipe run                    # publishes every table, from the sample data
  flowpipe read daily_sales       # looks at one
  flowpipe test                   # runs tests/, with pytest
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """The command, in the test's folder: its exit code, what it prints, and its errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = run_command(list(arguments), debug=False)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module", params=sorted(TEMPLATES))
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A template, and a project of it that was committed, and ran once."""
    folder = tmp_path_factory.mktemp(request.param) / "shop"
    start(folder, request.param)
    for command in (("git", "init", "-q"), ("git", "add", "-A")):
        subprocess.run(command, cwd=folder, check=True)
    assert run_command(["run", "-C", str(folder)], debug=False) == 0
    return request.param, folder


def query(sql: str, **frames: pl.DataFrame) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        for name, frame in frames.items():
            connection.register(name, frame.to_arrow())
        return connection.execute(sql).fetchall()


def of_minimal(folder: Path) -> None:
    orders = pl.read_csv(folder / "data/raw/orders.csv", try_parse_dates=True)
    assert query(
        "SELECT ordered_at::DATE, count(*), count(*) FILTER (quantity * unit_price >= 100),"
        " round(sum(quantity * unit_price), 2) FROM orders WHERE status = 'paid' GROUP BY 1 ORDER BY 1",
        orders=orders,
    ) == [*pl.read_delta(str(folder / "data/lake/daily_sales")).rows()]


def of_medallion(folder: Path) -> None:
    landed = pl.concat(
        pl.read_csv(file, infer_schema=False) for file in sorted(folder.glob("data/raw/orders/*.csv"))
    ).unique()
    good = landed.filter(
        pl.col("customer_id").is_not_null(),
        pl.col("quantity").cast(int) > 0,
        pl.col("unit_price") != "n/a",
        pl.col("status").is_in(["paid", "cancelled"]),
    )
    assert (landed.height, good.height) == (623, 615)
    expected = query(
        "SELECT strftime(ordered_at::TIMESTAMP, '%Y-%m-01'), category, count(*), count(DISTINCT customer_id),"
        " round(sum(quantity::INT * unit_price::DOUBLE), 2)"
        " FROM good JOIN products USING (product_id) WHERE status = 'paid' GROUP BY ALL ORDER BY ALL",
        good=good,
        products=pl.read_csv(folder / "data/raw/products.csv", schema_overrides={"product_id": pl.String}),
    )
    report = pl.read_csv(folder / "data/reports/sales.csv")
    assert sorted(report.select(pl.exclude("share")).rows()) == expected
    assert report.group_by("month").agg(pl.col("share").sum().round(0))["share"].to_list() == [100.0] * 3
    assert pl.read_delta(str(folder / "data/lake/orders__rejected")).group_by("checks").len().sort("checks").rows() == [
        ("customer_id: not_nullable", 2),
        ("quantity: greater_than(0)", 2),
        ("status: isin(['paid', 'cancelled'])", 2),
        ("unit_price: coerce Float64", 2),
    ]


def of_sql_sources(folder: Path) -> None:
    with duckdb.connect(str(folder / "data/shop.duckdb"), read_only=True) as shop:
        expected = shop.execute(
            "SELECT date_trunc('month', ordered_at)::DATE, city, count(*), round(sum(quantity * unit_price), 2)"
            " FROM orders JOIN customers USING (customer_id) WHERE status = 'paid' GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert sales_by_city(folder) == expected


def sales_by_city(folder: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "data/warehouse.duckdb"), read_only=True) as warehouse:
        return warehouse.execute("FROM city_sales ORDER BY ALL").fetchall()


TABLES = {"minimal": of_minimal, "medallion": of_medallion, "sql-sources": of_sql_sources}


def test_its_tables_are_right_and_up_to_date(ran: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    template, folder = ran
    TABLES[template](folder)
    assert run_command(["check", "-C", str(folder)], debug=False) == 0
    capsys.readouterr()
    assert run_command(["plan", "--json", "-C", str(folder)], debug=False) == 0
    assert {step["action"] for step in json.loads(capsys.readouterr().out)} == {"skip"}
    profiles = {path.stem for path in folder.glob("conf/profiles/*.yml")} - {"dev"}
    assert [run_command(["check", "-C", str(folder), "--profile", p, "--offline"], debug=False) for p in profiles] == [
        0
    ] * (template != "minimal")


def test_what_a_run_makes_is_not_for_git(ran: tuple[str, Path]) -> None:
    _, folder = ran
    status = ["git", "status", "--porcelain", "--untracked-files=all"]
    told = subprocess.run(status, cwd=folder, check=True, capture_output=True, text=True).stdout
    assert [line for line in told.splitlines() if not line.startswith("A  ")] == []


def test_its_own_tests_pass(ran: tuple[str, Path]) -> None:
    _, folder = ran
    done = subprocess.run(
        [sys.executable, "-m", "flowpipe", "test"], cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d passed", done.stdout, re.MULTILINE)


def test_each_yaml_file_names_its_schema(ran: tuple[str, Path]) -> None:
    _, folder = ran
    for file in folder.glob("conf/**/*.yml"):
        first = file.read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema=")
        schema = json.loads((file.parent / first.partition("=")[2]).read_text())
        assert schema["$comment"].partition("/")[2].partition("/")[0] == file.relative_to(folder / "conf").parts[0]


def test_its_pipelines_are_short(ran: tuple[str, Path]) -> None:
    _, folder = ran
    assert {
        file.name: n for file in folder.glob("pipelines/*.py") if (n := len(file.read_text().splitlines())) > 40
    } == {}


def test_a_day_passes_as_the_readme_tells(ran: tuple[str, Path]) -> None:
    template, folder = ran
    if template != "sql-sources":
        return
    before = sales_by_city(folder)
    with duckdb.connect(str(folder / "data/shop.duckdb")) as shop:
        shop.execute((folder / "data/next_day.sql").read_text())
    assert run_command(["run", "-C", str(folder)], debug=False) == 0
    new = set(sales_by_city(folder)) - set(before)
    # Order 1001 is cancelled, so one row of January is another; customer 1 buys in Oslo, where they moved.
    assert sorted(month.month for month, *_ in new) == [1, 3, 3]
    assert {row[1:] for row in new if row[0].month == 3} == {("Lyon", 1, 37.8), ("Oslo", 1, 79.0)}


def test_what_init_prints(said: Said, tmp_path: Path) -> None:
    assert said("init", "shop") == (0, MINIMAL, "")
    again = "nothing to do: all of the template minimal is there\n" + MINIMAL[MINIMAL.index("\nnext:") :]
    assert said("init", "shop") == (0, again, "")
    (tmp_path / "shop/conf/project.yml").unlink()
    (tmp_path / "shop/data/raw/orders.csv").unlink()
    (tmp_path / "shop/data/raw/orders.csv.flowpipe-new").write_text("of a process that died")
    made = "made shop from the template minimal: one CSV file, one pipeline, one table\n"
    code, out, _ = said("init", "shop")
    assert (code, out.partition("\n\n")[0]) == (0, f"{made}  conf/project.yml\n  data/raw/orders.csv")
    assert sorted(path.name for path in (tmp_path / "shop/data/raw").iterdir()) == ["orders.csv"]


@pytest.mark.parametrize("renamed", [1, 60, 108])
def test_killed_in_the_middle_it_is_no_project_and_a_second_init_completes_it(
    said: Said, tmp_path: Path, renamed: int
) -> None:
    script = "from pathlib import Path; from flowpipe.starting import start; start(Path('shop'), 'medallion')"
    killed_before_rename(renamed, script)
    made = [path for path in (tmp_path / "shop").rglob("*") if path.is_file()]
    assert len([path for path in made if path.suffix != ".flowpipe-new"]) == renamed - 1
    assert said("check", "-C", "shop")[0] == 2
    assert said("init", "shop", "-t", "medallion")[0] == 0
    start(tmp_path / "other/shop", "medallion")
    assert files(tmp_path / "shop") == files(tmp_path / "other/shop")


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_project_is_called_as_its_folder(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = said("init", "my shop!", "-t", "medallion")
    assert (code, err) == (0, "")
    assert out.startswith('the project is called my_shop, after the folder "my shop!"\nmade my shop! from the template')
    assert "  data/raw/orders/  91 files\n" in out
    assert "  cd 'my shop!'\n" in out
    assert (tmp_path / "my shop!/conf/project.yml").read_text().splitlines()[1:] == ["name: my_shop", "profile: dev"]
    assert (tmp_path / "my shop!/README.md").read_text().startswith("# my_shop\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, out, err = said("init", ".")
    assert (code, err) == (0, "")
    assert "made here from" in out
    assert "  cd " not in out


def test_nothing_of_anybodys_is_written_over(said: Said, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    (shop / "conf").mkdir(parents=True)
    (shop / "README.md").write_text("mine\n")
    (shop / "conf/profiles").write_text("a file\n")
    (shop / ".gitignore").mkdir()
    assert said("init", "shop") == (
        2,
        "",
        (
            "error: nothing is written: there is already .gitignore, README.md, conf/profiles\n"
            "  hint: choose an empty folder: flowpipe init NAME\n"
        ),
    )
    assert sorted(path.name for path in shop.rglob("*")) == [".gitignore", "README.md", "conf", "profiles"]
    assert said("init", "shop/README.md/deeper")[2] == (
        f"error: nothing is written: there is already {shop / 'README.md'}\n"
        "  hint: choose an empty folder: flowpipe init NAME\n"
    )


def test_a_database_of_others_is_not_written_over(said: Said, tmp_path: Path) -> None:
    said("init", "shop", "-t", "sql-sources")
    place = tmp_path / "shop/data/shop.duckdb"
    told = (
        "error: nothing is written: there is already data/shop.duckdb\n"
        "  hint: this is a flowpipe project already: `flowpipe new` adds to it\n"
    )
    with duckdb.connect(str(place)) as connection:
        connection.execute("DELETE FROM orders WHERE order_id = 1001")
    assert said("init", "shop", "-t", "sql-sources") == (2, "", told)
    place.write_text("no database")
    assert said("init", "shop", "-t", "sql-sources") == (2, "", told)


def test_inside_a_project(said: Said, tmp_path: Path) -> None:
    said("init", "shop")
    assert said("init", "shop/data/other") == (
        2,
        "",
        (
            f"error: {tmp_path}/shop/data/other is inside a flowpipe project: {tmp_path}/shop\n"
            "  hint: `flowpipe new` adds to that project; or choose a folder outside it\n"
        ),
    )
    code, _, err = said("init", "shop", "-t", "medallion")
    assert (code, err.splitlines()[1]) == (2, "  hint: this is a flowpipe project already: `flowpipe new` adds to it")
    assert "README.md, conf/catalog.yml" in err


def test_what_cannot_be(said: Said) -> None:
    assert said("init", "shop", "--template", "medalion") == (
        2,
        "",
        (
            'error: unknown template "medalion"\n'
            '  hint: did you mean "medallion"? known: medallion, minimal, sql-sources\n'
        ),
    )
    assert said("init", "/proc/shop") == (
        2,
        "",
        (
            "error: cannot write /proc/shop: No such file or directory\n"
            "  hint: make it writable, or choose another folder\n"
        ),
    )


def test_the_sample_data_is_the_same_everywhere(tmp_path: Path) -> None:
    start(tmp_path / "one", "medallion")
    script = (
        "import sys; from pathlib import Path; from flowpipe.starting import start; start(Path('two'), 'medallion')"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    one = files(tmp_path / "one/data")
    assert len(one) == 92
    assert files(tmp_path / "two/data") == one
