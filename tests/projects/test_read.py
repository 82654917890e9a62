"""Datasets looked at by `flowpipe read` and `flowpipe sql`: of every store, in every format, and what cannot be."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import filelock
import polars as pl
import pytest

from flowpipe import looking
from flowpipe.cli import run_command
from flowpipe.errors import UsageError
from flowpipe.project import Project
from flowpipe.testing.servers import PostgresServer
from tests.conftest import Finished, ProjectFolder

FILES = {
    "conf/project.yml": "name: shop\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
          base: {adapter: duckdb, database: data/base.duckdb}
        """,
    "conf/profiles/pg.yml": """
        extends: dev
        stores:
          base: {adapter: postgres, dsn: "${env:WAREHOUSE_DSN}", schema: looked_at}
        """,
    "conf/profiles/new.yml": """
        extends: dev
        stores:
          base: {adapter: duckdb, database: data/new.duckdb}
        """,
    "conf/catalog.yml": """
        sales: {store: here, path: "sales/{partition:%Y-%m}.csv", partition: {every: month}}
        shops: {store: here, path: shops.csv}
        items:
          store: lake
          table: items
          mode: replace
          partition: {every: month, column: day}
          schema: "schemas:Item"
          on_invalid: quarantine
        totals: {store: base, table: totals}
        odd: {store: here, path: odd.parquet}
        torn: {store: here, path: torn.parquet}
        gone: {store: here, path: shop.csv}
        later: {store: lake, table: later}
        """,
    "conf/pipelines/items.yml": """
        modules: [items]
        writes: [items]
        partitions: {every: month, start: 2024-01, end: 2024-02}
        """,
    "conf/pipelines/totals.yml": "modules: [totals]\nwrites: [totals]\n",
    "conf/pipelines/later.yml": "modules: [later]\nwrites: [later]\n",
    "pipelines/schemas.py": """
        import pandera.polars as pa
        import polars as pl


        class Item(pa.DataFrameModel):
            day: pl.Date
            item: str
            sold: pl.Int32 = pa.Field(ge=0, coerce=True)
        """,
    "pipelines/items.py": """
        import polars as pl


        def items(sales: pl.LazyFrame) -> pl.LazyFrame:
            return sales.with_columns(pl.col("day").str.to_date())
        """,
    "pipelines/totals.py": """
        import polars as pl


        def totals(items: pl.LazyFrame) -> pl.LazyFrame:
            return items.group_by("item").agg(pl.col("sold").sum()).sort("item")
        """,
    "pipelines/later.py": """
        import polars as pl


        def later(shops: pl.LazyFrame) -> pl.LazyFrame:
            return shops
        """,
    "data/sales/2024-01.csv": "day,item,sold\n2024-01-03,apple,3\n2024-01-04,plum,-7\n2024-01-05,pear,5\n",
    "data/sales/2024-02.csv": "day,item,sold\n2024-02-01,fig,9\n2024-02-02,apple,1\n",
    "data/shops.csv": "item,shop\napple,north\nfig,south\n",
    "data/torn.parquet": "PAR1 and no more",
}
ODD = pl.DataFrame({
    "text": ["a\x1b[31mred", None],
    "nested": [[{"x": 1}], None],
    "raw": [b"\xff\x00", None],
    "whole": pl.Series([12, None], dtype=pl.Decimal(38, 0)),
    "at": pl.Series([0, None], dtype=pl.Datetime("us")),
    "nan": [float("nan"), 0.5],
})  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project whose pipelines ran once, all but one."""
    project = ProjectFolder(tmp_path_factory.mktemp("shop") / "project").write(FILES)
    ODD.write_parquet(project.path / "data/odd.parquet")
    done = project.flowpipe("run", "items", "totals")
    assert done.code == 0, done.err
    return project


Ask = Callable[..., Finished]


@pytest.fixture
def ask(
    shop: ProjectFolder, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ask]:
    """What a command prints; it leaves nothing in the folder for temporary files."""
    temporary = tmp_path.with_name(f"{tmp_path.name}-temporary")
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def run(*arguments: str) -> Finished:
        capfd.readouterr()
        code = run_command([*arguments, "--project", str(shop.path)], debug=False)
        return Finished(code, *capfd.readouterr())

    yield run
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (
            ["shops"],
            (
                "shops: 2 rows x 2 columns  (store here, files)\n"
                "item    shop\nString  String\napple   north\nfig     south\n"
            ),
        ),
        (
            ["items", "--partition", "2024-02", "-n", "1"],
            (
                "items 2024-02: first 1 row x 3 columns  (store lake, delta)\n"
                "day         item     sold\nDate        String  Int32\n2024-02-01  fig         9\n"
            ),
        ),
        (
            ["totals", "--head", "0"],
            "totals: first 0 rows x 2 columns  (store base, duckdb)\nitem     sold\nString  Int32\n",
        ),
        (["totals", "-f", "csv"], "item,sold\napple,4\nfig,9\npear,5\n"),
        (["totals", "--json", "-n", "2"], '[\n{"item":"apple","sold":4},\n{"item":"fig","sold":9}\n]\n'),
        (
            ["sales", "--partition", "2024-02", "-f", "ndjson", "-n", "1"],
            '{"day":"2024-02-01","item":"fig","sold":9}\n',
        ),
        (["sales", "-f", "json", "-n", "0"], "[]\n"),
        (
            ["items__rejected", "-f", "csv", "--sql", "select slice, checks from items__rejected"],
            "slice,checks\n2024-01,sold: greater_than_or_equal_to(0)\n",
        ),
        (["items__rejected", "-f", "csv", "--partition", "2024-02"], "slice,run,checks,row\n"),
        (
            ["items", "--partition", "2024-01", "--sql", "select sum(sold) total, count(*) from ITEMS"],
            (
                "query: 1 row x 2 columns  (store lake, delta)\n"
                "         total  count_star()\nDecimal[38, 0]         Int64\n             8             2\n"
            ),
        ),
        (
            ["odd", "-f", "csv"],
            (
                "text,nested,raw,whole,at,nan\n"
                'a\x1b[31mred,"[{""x"": 1}]",/wA=,12,1970-01-01T00:00:00.000000,NaN\n,,,,,0.5\n'
            ),
        ),
        (
            ["odd", "-f", "ndjson"],
            (
                '{"text":"a\\u001b[31mred","nested":[{"x":1}],"raw":"/wA=","whole":12,"at":"1970-01-01T00:00:00.000000","nan":null}\n'
                '{"text":null,"nested":null,"raw":null,"whole":null,"at":null,"nan":0.5}\n'
            ),
        ),
    ],
)
def test_a_dataset_is_shown(ask: Ask, arguments: list[str], out: str) -> None:
    assert ask("read", *arguments) == Finished(0, out, "")


SQL = "a query is one statement that only reads: SELECT, FROM, WITH, VALUES, DESCRIBE or SUMMARIZE\n  hint: "


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["item"],
            (
                'unknown dataset "item"\n'
                '  hint: did you mean "items"? known: gone, items, later, odd, sales, shops, torn, totals'
            ),
        ),
        (
            ["item__rejected"],
            'unknown dataset "item__rejected"\n  hint: known: gone, items, later, odd, sales, shops, torn, totals',
        ),
        (
            ["later"],
            (
                'conf/catalog.yml:14:1: dataset later is not there yet: {}/data/lake/later (store "lake")\n'
                "  hint: pipeline later writes it: flowpipe run later"
            ),
        ),
        (
            ["totals", "--profile", "new"],
            (
                'conf/catalog.yml:10:1: dataset totals is not there yet: data/new.duckdb (store "base")\n'
                "  hint: pipeline totals writes it: flowpipe run totals --profile new"
            ),
        ),
        (
            ["gone"],
            (
                'conf/catalog.yml:13:1: dataset gone is not there: data/shop.csv (store "here")\n'
                "  hint: the nearest that is there: data/shops.csv"
            ),
        ),
        (
            ["sales", "--partition", "2031-01"],
            (
                'conf/catalog.yml:1:1: dataset sales 2031-01 is not there: data/sales/2031-01.csv (store "here")\n'
                "  hint: the nearest that is there: data/sales/2024-01.csv"
            ),
        ),
        (
            ["later__rejected"],
            (
                'there are no rejected rows of later: no {}/data/lake/later__rejected (store "lake")\n'
                "  hint: `on_invalid: quarantine` of dataset later keeps them"
            ),
        ),
        (
            ["shops", "--partition", "2024-01"],
            "dataset shops has no partitions\n  hint: leave --partition out; `--sql` can select rows",
        ),
        (
            ["items", "--partition", "2024-01-15"],
            '--partition: "2024-01-15" is not the start of a month\n  hint: write it like 2013-02',
        ),
        (
            ["shops", "-o", "x.txt"],
            (
                "--output x.txt: its ending names no format\n"
                "  hint: give --format, or end it .csv, .json, .ndjson, .jsonl, .parquet"
            ),
        ),
        (
            ["shops", "-f", "table", "-o", "x.csv"],
            "a table is for a screen\n  hint: give --format csv, json, ndjson or parquet, or no --output",
        ),
        (["shops", "-f", "csv", "--json"], "--json and --format csv exclude each other\n  hint: remove one of them"),
        (["shops", "--sql", "from totals"], 'unknown dataset "totals"\n  hint: known: shops'),
    ],
)
def test_what_cannot_be_shown(ask: Ask, shop: ProjectFolder, arguments: list[str], error: str) -> None:
    assert ask("read", *arguments) == Finished(2, "", f"error: {error.format(shop.path)}\n")


def test_what_cannot_be_read_or_written(ask: Ask) -> None:
    assert ask("read", "torn") == Finished(
        3,
        "",
        "error: dataset torn cannot be read: ComputeError: parquet: File out of specification: "
        "The file must end with PAR1 or PARE\n"
        "  hint: mend the data, or the dataset's `format:` and `options:`\n",
    )
    assert ask("read", "shops", "-o", "/nowhere/x.csv") == Finished(
        1,
        "",
        "error: /nowhere/x.csv cannot be written: No such file or directory\n  hint: see its folder and the disk\n",
    )


JOINED = (
    "select shop, sum(t.sold) n from totals t join shops using (item) join items i using (item) group by all order by 1"
)


@pytest.mark.parametrize(
    ("query", "out"),
    [
        (JOINED, "shop,n\nnorth,8\nsouth,9\n"),
        ("with shops as (select item from shops where shop = 'north') from shops;", "item\napple\n"),
        ("with totals as (select 1 x), later as (from totals) from later", "x\n1\n"),
        (
            "with recursive later as (select 1 i union all select i + 1 from later where i < 3) from later",
            "i\n1\n2\n3\n",
        ),
        ("select a.item, b.item from totals a, totals b where a.sold = 4 and b.sold > 5", "item,item_1\napple,fig\n"),
        ("from odd select nan where nan > 100 and whole in (12, 13)", "nan\nNaN\n"),
        ("select interval 2 day i, map {'a': 1} m", "i,m\n2 days,{a=1}\n"),
        ("select column_name from (describe totals)", "column_name\nitem\nsold\n"),
        ("select approx_unique u from (summarize totals)", "u\n3\n3\n"),
        ("pivot totals on item in ('apple', 'fig') using sum(sold)", "apple,fig\n4,9\n"),
        ("values (1)", "col0\n1\n"),
    ],
)
def test_datasets_of_several_stores_are_asked_together(ask: Ask, query: str, out: str) -> None:
    assert ask("sql", query, "-f", "csv") == Finished(0, out, "")


DOCS = "queries are DuckDB's SQL: https://duckdb.org/docs/sql/introduction"
FILE = "give it a name in conf/catalog.yml: NAME: {store: STORE, path: PATH}"
NO_FILES = (
    "a query reads datasets by their names, and no files, URLs or extensions\n"
    "  hint: give what it reads a name in conf/catalog.yml: NAME: {store: STORE, path: PATH}"
)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("selec 1", f'SQL: syntax error at or near "selec"\n  selec 1\n  ^\n  hint: {DOCS}'),
        (
            "select item,\n  sould\nfrom totals",
            'SQL: Referenced column "sould" not found in FROM clause!\n    sould\n    ^\n  hint: did you mean "sold"?',
        ),
        (
            "select 'é', price from totals",
            (
                'SQL: Referenced column "price" not found in FROM clause!\n'
                "  select 'é', price from totals\n              ^\n  hint: there are: item, sold"
            ),
        ),
        (
            "select lenght(item) from totals",
            (
                "SQL: Scalar Function with name lenght does not exist!\n"
                '  select lenght(item) from totals\n         ^\n  hint: did you mean "length"?'
            ),
        ),
        (
            "select item::int from totals",
            f"SQL: Could not convert string 'apple' to INT32 when casting from source column item\n  hint: {DOCS}",
        ),
        (
            "from item join total using (x)",
            (
                'unknown dataset "item"\n'
                '  hint: did you mean "items"? known: gone, items, later, odd, sales, shops, torn, totals\n'
                'error: unknown dataset "total"\n'
                '  hint: did you mean "totals"? known: gone, items, later, odd, sales, shops, torn, totals'
            ),
        ),
        (
            "from totals, later",
            (
                'conf/catalog.yml:14:1: dataset later is not there yet: {}/data/lake/later (store "lake")\n'
                "  hint: pipeline later writes it: flowpipe run later"
            ),
        ),
        (
            "from 'data/shops.csv'",
            f'a query reads datasets by their names, not the file "data/shops.csv"\n  hint: {FILE}',
        ),
        ("from read_csv('data/shops.csv')", NO_FILES),
        ("from glob('*')", NO_FILES),
        ("show tables", "a query knows the datasets that it names, and no others\n  hint: see `flowpipe list`"),
        ("drop table totals", f"{SQL}pipelines write, queries do not"),
        ("copy totals to 'x.csv'", f"{SQL}pipelines write, queries do not"),
        ("with x as (delete from totals returning *) from x", f"{SQL}pipelines write, queries do not"),
        ("install httpfs", f"{SQL}pipelines write, queries do not"),
        ("attach 'x.duckdb'", f"{SQL}pipelines write, queries do not"),
        ("set enable_external_access = true", f"{SQL}pipelines write, queries do not"),
        ("select 1; select 2", f"{SQL}remove what follows the first `;`"),
        ("", f"{SQL}such as: select * from NAME"),
        (
            "pivot totals on item using sum(sold)",
            f"{SQL}a PIVOT needs its values written out: PIVOT t ON c IN ('a', 'b') USING ...",
        ),
    ],
)
def test_what_cannot_be_asked(ask: Ask, shop: ProjectFolder, query: str, error: str) -> None:
    wanted = error.replace("{}", str(shop.path))
    assert ask("sql", query) == Finished(2, "", f"error: {wanted}\n")


@pytest.mark.parametrize("ending", ["csv", "ndjson", "json", "parquet"])
def test_a_file_appears_when_it_is_whole(ask: Ask, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"x.{ending}"
    file.write_text("old")
    assert ask("sql", "from odd", "-o", str(file)) == Finished(0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    if ending == "parquet":
        assert pl.read_parquet(file)["text"].to_list() == ODD["text"].to_list()
    else:
        assert "31mred" in file.read_text("utf-8")
        if ending == "json":
            assert len(json.loads(file.read_text("utf-8"))) == 2


def test_a_failure_leaves_the_old_file(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("old")
    assert ask("sql", "select item::int from totals", "-o", str(file)).code == 2
    assert ([path.name for path in tmp_path.iterdir()], file.read_text()) == (["x.csv"], "old")


def on_a_terminal(project: ProjectFolder, *arguments: str) -> str:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "flowpipe", *arguments]
    environment = os.environ | {"COLUMNS": "60", "NO_COLOR": "1"}
    process = subprocess.Popen(command, cwd=project.path, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 4096):
            text += piece
    except OSError:  # how the end of a terminal is told
        pass
    finally:
        os.close(ours)
        process.wait(60)
    return text.decode().replace("\r\n", "\n")


def test_a_terminal_is_not_harmed(shop: ProjectFolder) -> None:
    assert on_a_terminal(shop, "read", "odd", "-f", "csv").splitlines()[1].startswith("a\\x1b[31mred,")
    assert "\x1b[31m" not in on_a_terminal(shop, "read", "odd")
    assert on_a_terminal(shop, "read", "odd", "-f", "parquet") == (
        "error: Parquet is binary, and this is a terminal\n"
        "  hint: name a file, --output FILE.parquet, or write into a pipe\n"
    )


def test_a_reader_may_have_seen_enough(shop: ProjectFolder) -> None:
    command = (
        f"{sys.executable} -m flowpipe read items -f csv --sql 'select a.* from items a, range(1000000)' | head -1"
    )
    done = subprocess.run(command, shell=True, cwd=shop.path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("day,item,sold\n", "")


@pytest.mark.parametrize("arguments", [[], ["-f", "csv"]])
def test_a_signal_ends_it_at_once(shop: ProjectFolder, tmp_path: Path, arguments: list[str]) -> None:
    query = "select count(*) from items, range(1000000) a, range(1000000) b where a.range % 7 = b.range % 5"
    command = [sys.executable, "-m", "flowpipe", "sql", query, *arguments]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=shop.path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.iterdir()) and process.poll() is None:
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told.splitlines()[0]) == (130, "error: interrupted; nothing is half published")
    assert list(tmp_path.iterdir()) == []


def test_a_database_gives_only_what_is_looked_at(shop: ProjectFolder) -> None:
    project = Project.load(shop.path)
    with looking.opened(project.configuration, project.catalog) as look:
        assert look.source("totals").frame(["sold"], 1).collect().to_dicts() == [{"sold": 4}]
        (copy,) = look.scratch.iterdir()
        assert pl.read_parquet(copy).shape == (1, 1)


def test_a_file_that_another_process_holds(ask: Ask, shop: ProjectFolder) -> None:
    path = shop.path / "data/base.duckdb"
    hold = f"import duckdb; c = duckdb.connect({str(path)!r}); print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        told = ask("read", "totals")
        assert told == Finished(
            1,
            "",
            f"error: conf/profiles/dev.yml:4:3: data/base.duckdb is held open by process {holder.pid}\n"
            "  hint: close it there, then run again\n",
        )
    finally:
        holder.communicate("\n", timeout=30)


def test_a_run_may_be_at_work(ask: Ask, shop: ProjectFolder) -> None:
    with filelock.FileLock(shop.path / ".flowpipe/dev/lock"):
        assert ask("run", "items").code == 75
        assert ask("read", "items", "-n", "1").code == 0
        assert ask("sql", "from totals").code == 0


def test_the_facade(shop: ProjectFolder) -> None:
    project = Project.load(shop.path)
    assert project.read("items", partition="2024-02")["item"].to_list() == ["fig", "apple"]
    assert project.read("totals", rows=1).to_dicts() == [{"item": "apple", "sold": 4}]
    assert project.sql("select max(sold) m from totals").item() == 9
    with pytest.raises(UsageError, match="unknown dataset"):
        project.read("total")
    # Nothing is held open.
    with duckdb.connect(str(shop.path / "data/base.duckdb")) as connection:
        assert connection.execute("select count(*) from totals").fetchall() == [(3,)]


def test_a_dataset_is_looked_at_though_another_is_flawed(shop: ProjectFolder, tmp_path: Path) -> None:
    flawed = ProjectFolder(tmp_path).write(
        {
            "conf/project.yml": "name: flawed\n",
            "conf/profiles/dev.yml": f"stores: {{here: {{adapter: files, url: {shop.path}/data}}}}\n",
            "conf/catalog.yml": "shops: {store: here, path: shops.csv}\nwrong: {store: here, paht: x.csv}\n",
        }
    )
    assert Project.load(flawed.path).read("shops").height == 2
    told = flawed.flowpipe("read", "wrong")
    assert (told.code, told.err.splitlines()[0]) == (
        2,
        "error: conf/catalog.yml:2:8: one of path, table and query is missing",
    )


def test_postgres(
    shop: ProjectFolder, ask: Ask, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_DSN", postgres_server.dsn)
    pg = ("--profile", "pg")
    missing = ask("read", "totals", *pg)
    assert (missing.code, missing.err.splitlines()[1]) == (
        2,
        "  hint: pipeline totals writes it: flowpipe run totals --profile pg",
    )
    assert postgres_server.dsn not in missing.err
    assert ask("run", "totals", *pg).code == 0
    assert ask("read", "totals", "-n", "1", *pg) == Finished(
        0,
        "totals: first 1 row x 2 columns  (store base, postgres)\nitem     sold\nString  Int32\napple       4\n",
        "",
    )
    assert ask("sql", JOINED, "-f", "csv", *pg) == Finished(0, "shop,n\nnorth,8\nsouth,9\n", "")
    monkeypatch.setenv("WAREHOUSE_DSN", "postgresql://me:hunter2sesame@127.0.0.1:1/none")
    for refused in (ask("read", "totals", *pg), ask("sql", "from totals", *pg)):
        assert (refused.code, refused.out) == (1, "")
        assert "hunter2sesame" not in refused.err
    monkeypatch.setenv("WAREHOUSE_DSN", postgres_server.dsn)
    assert ask("diff", "totals", "--with-profile", "dev", "--key", "item", *pg) == Finished(
        0, "totals, by item\n  old  profile dev\n  new  profile pg\nno difference: 3 rows\n", ""
    )
