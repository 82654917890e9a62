"""Nodes printed by `run --select` and `run --to NODE`: of what, how they look, and that nothing else is left."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import polars as pl
import pytest

from flowpipe.errors import ConfigError, UsageError
from flowpipe.project import Project
from tests.conftest import ProjectFolder

REPOSITORY = Path(__file__).parents[2]

SHOP = {
    "conf/catalog.yml": """
        sales: {store: here, path: "sales/{partition:%Y-%m}.csv", partition: {every: month}}
        numbers: {store: here, path: numbers.csv}
        by_item:
          store: lake
          table: by_item
          mode: replace
          partition: {every: month, column: day}
          schema: "schemas:Item"
          on_invalid: quarantine
        best: {store: here, path: best.parquet}
        doubled: {store: here, path: doubled.parquet}
        """,
    "conf/pipelines/items.yml": """
        modules: [items]
        params: {least: 2}
        writes: [by_item]
        partitions: {every: month, start: 2024-01, end: 2024-04}
        """,
    "conf/pipelines/ranks.yml": """
        modules: [ranks]
        writes: [best]
        """,
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


        def threshold(least: int) -> int:
            return least


        def dated(sales: pl.LazyFrame) -> pl.LazyFrame:
            return sales.with_columns(pl.col("day").str.to_date())


        def many(dated: pl.LazyFrame, threshold: int) -> pl.LazyFrame:
            return dated.filter(pl.col("sold").abs() >= threshold)


        def by_item(many: pl.LazyFrame) -> pl.DataFrame:
            return many.collect()


        def total(by_item: pl.DataFrame) -> float:
            return float(by_item["sold"].sum())
        """,
    "pipelines/ranks.py": """
        import polars as pl


        def threshold() -> str:
            return "a text"


        def best(by_item: pl.LazyFrame) -> pl.LazyFrame:
            return by_item.sort("sold", descending=True)
        """,
    "data/sales/2024-01.csv": """
        day,item,sold
        2024-01-03,apple,3
        2024-01-03,pear,1
        2024-01-04,plum,-7
        2024-01-05,,5
        """,
    "data/sales/2024-02.csv": "day,item,sold\n2024-02-01,fig,9\n",
}


@pytest.fixture
def shop(project: ProjectFolder) -> ProjectFolder:
    return project.write(SHOP)


def everything(folder: Path) -> dict[str, str]:
    """Every file and folder of a project, and what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def printed(project: ProjectFolder, *arguments: str, note: str = "", **env: str) -> str:
    """What a preview prints; it changes nothing in the project and leaves nothing in the folder for temporary files."""
    before, temporary = everything(project.path), project.path.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    done = project.flowpipe("run", *arguments, TMPDIR=str(temporary), PYTHONDONTWRITEBYTECODE="", **env)
    assert (done.code, done.err) == (0, note)
    assert everything(project.path) == before
    assert list(temporary.iterdir()) == []
    return done.out


def refused(project: ProjectFolder, *arguments: str, code: int = 2) -> str:
    done = project.flowpipe("run", *arguments)
    assert (done.code, done.out) == (code, "")
    return done.err


REJECTED = (
    "note: node by_item: item: not_nullable: 1 of 3 rows; sold: greater_than_or_equal_to(0): 1 of 3 rows; "
    "they are left out\n"
)
JANUARY = ("--partition", "2024-01")
MANY = (
    "many: polars.LazyFrame, 3 rows x 3 columns  (items 2024-01)\n"
    "day         item     sold\n"
    "Date        String  Int64\n"
    "2024-01-03  apple       3\n"
    "2024-01-04  plum       -7\n"
    "2024-01-05  NULL        5\n"
)
BY_ITEM = (
    "by_item: polars.DataFrame, 1 row x 3 columns  (items 2024-01)\n"
    "day         item     sold\n"
    "Date        String  Int32\n"
    "2024-01-03  apple       3\n"
)
TOTAL = "total: float  (items 2024-01)\n3.0\n"
THRESHOLD = "threshold: int  (items 2024-01)\n2\n"
DATED = (
    "dated: polars.LazyFrame, first 1 row x 3 columns  (items 2024-01)\n"
    "day         item     sold\n"
    "Date        String  Int64\n"
    "2024-01-03  apple       3\n"
)


@pytest.mark.parametrize(
    ("arguments", "shown", "note"),
    [
        (["--select", "many"], [MANY], ""),
        (["--to", "many"], [MANY], ""),
        (["items", "--select", "threshold many"], [THRESHOLD, MANY], ""),
        (["--select", "total", "--select", "many"], [MANY, TOTAL], REJECTED),
        (["--select", "many+"], [MANY, BY_ITEM, TOTAL], REJECTED),
        (["--select", "+dated", "--head", "1"], [DATED], ""),
        (["--select", "many+,+by_item"], [MANY, BY_ITEM], REJECTED),
    ],
)
def test_nodes_and_what_is_around_them(shop: ProjectFolder, arguments: list[str], shown: list[str], note: str) -> None:
    assert printed(shop, *arguments, *JANUARY, note=note) == "\n".join(shown)


def test_a_dataset_that_is_read_is_shown_where_no_node_has_its_name(shop: ProjectFolder) -> None:
    assert printed(shop, "--select", "sales", "--head", "1", *JANUARY) == (
        "sales: polars.LazyFrame, first 1 row x 3 columns  (items 2024-01)\n"
        "day         item     sold\n"
        "String      String  Int64\n"
        "2024-01-03  apple       3\n"
    )


def test_without_a_partition_it_is_the_latest_that_is_there(shop: ProjectFolder) -> None:
    note = "note: items: partition 2024-02, the latest whose inputs are there; see --partition\n"
    assert printed(shop, "--select", "total", note=note) == "total: float  (items 2024-02)\n9.0\n"


def test_a_table_has_a_window_when_it_has_rows_of_it(shop: ProjectFolder) -> None:
    catalog = (shop.path / "conf/catalog.yml").read_text()
    shop.write(
        {
            "conf/pipelines/ranks.yml": """
                modules: [ranks]
                writes: [best]
                partitions: {every: month, start: 2024-01, end: 2024-04}
                """,
            "conf/catalog.yml": catalog.replace(
                "path: best.parquet", 'mode: replace, path: "best/{partition:%Y-%m}.parquet", partition: {every: month}'
            ),
        }
    )
    assert refused(shop, "--select", "best") == (
        "error: conf/catalog.yml:3:1: input by_item of 2024-04 is not there: "
        f'{shop.path}/data/lake/by_item (store "lake")\n'
        "  hint: run pipeline items first\n"
    )
    assert shop.flowpipe("run", "items", "--partition", "2024-02").code == 0
    note = "note: ranks: partition 2024-02, the latest whose inputs are there; see --partition\n"
    assert printed(shop, "--select", "best", note=note) == (
        "best: polars.LazyFrame, 1 row x 3 columns  (ranks 2024-02)\n"
        "day         item     sold\n"
        "Date        String  Int32\n"
        "2024-02-01  fig         9\n"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["--select", "mny"],
            (
                'unknown node "mny"\n  hint: did you mean "many"? known: best, by_item, dated, doubled, many, numbers, '
                "sales, threshold, total"
            ),
        ),
        (["ranks", "--to", "many"], 'unknown node "many"\n  hint: known: best, by_item, threshold'),
        (
            ["--select", "threshold"],
            (
                "node threshold is in several pipelines: items, ranks\n"
                "  hint: name the one: flowpipe run items --select threshold"
            ),
        ),
        (
            ["--select", "many++"],
            (
                'selection "many++" is not understood\n'
                "  hint: write node, node+ (and what is made of it), +node (and what it is made of) or +node+"
            ),
        ),
        (
            ["--select", "many,doubled"],
            (
                'no node is selected by "many,doubled"\n'
                "  hint: a comma means what both have in common; write a space between those that you want all of"
            ),
        ),
        (["--select", " "], "no node is selected\n  hint: name one: --select NODE"),
        (["--head", "3"], "--head is for nodes that are printed\n  hint: name them: --select NODE"),
        (
            ["--select", "many", "--from", "2024-01", "--to", "2024-02", "--force", "--verbose", "--wait", "1m"],
            (
                "--from, --to, --force, --wait, --verbose cannot stand beside --select or --to NODE, "
                "which publish nothing\n"
                "  hint: --partition says for which window the nodes are computed"
            ),
        ),
        (
            ["--select", "many", *JANUARY, "--partition", "2024-02"],
            "nodes are printed for one window, not for several\n  hint: give --partition once",
        ),
        (
            ["--select", "many", "--partition", "2025-01"],
            "pipeline items has no window 2025-01\n  hint: its windows are 2024-01 to 2024-04",
        ),
    ],
)
def test_what_cannot_be_shown(shop: ProjectFolder, arguments: list[str], error: str) -> None:
    assert refused(shop, *arguments) == f"error: {error}\n"


def test_all_wrong_names_are_told_at_once(shop: ProjectFolder) -> None:
    told = refused(shop, "--select", "mny threshold", "--select", "+doubledd")
    assert [line for line in told.splitlines() if line.startswith("error")] == [
        'error: unknown node "mny"',
        "error: node threshold is in several pipelines: items, ranks",
        'error: unknown node "doubledd"',
    ]


FLIGHTS = """
flights: polars.LazyFrame, first 2 rows x 23 columns  (clean_flights 2013-02)
date        carrier  flight  tailnum  origin  dest    scheduled_departure
Date        String    Int32  String   String  String  Datetime[us, UTC]
2013-02-01  US         1117  N197UW   EWR     CLT     2013-02-01 10:00:00+00:00
2013-02-01  UA         1018  N24211   EWR     IAH     2013-02-01 10:25:00+00:00
16 more columns: departure, departure_delay, arrival_delay, cancelled, diverted,
  distance, air_time, speed, aircraft_type, manufacturer, seats, year_built,
  temperature, wind_speed, precipitation, visibility
"""


@pytest.fixture
def nycflights(tmp_path: Path) -> ProjectFolder:
    for folder in ("conf", "pipelines", "data/landing"):
        shutil.copytree(REPOSITORY / folder, tmp_path / "project" / folder)
    return ProjectFolder(tmp_path / "project")


def test_a_wide_frame_fits_a_narrow_terminal(nycflights: ProjectFolder) -> None:
    asked = ("clean_flights", "--select", "flights", "--partition", "2013-02", "--head", "2")
    assert printed(nycflights, *asked, COLUMNS="80") == FLIGHTS.lstrip()
    wide = printed(nycflights, *asked, COLUMNS="400").splitlines()
    assert len(wide) == 5
    assert wide[2].split()[-1] == "Float64"
    assert max(map(len, wide)) > 300
    narrowest = printed(nycflights, *asked, COLUMNS="5").splitlines()
    assert narrowest[1:5] == ["date", "Date", "2013-02-01", "2013-02-01"]


def test_on_a_terminal(nycflights: ProjectFolder) -> None:
    driver, terminal = pty.openpty()
    command = [sys.executable, "-m", "flowpipe", "run", "clean_flights", "--select", "flights"]
    env = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    with subprocess.Popen(
        [*command, "--partition", "2013-02", "--head", "2"], cwd=nycflights.path, env=env, stdout=terminal
    ) as process:
        assert process.wait(60) == 0
    os.close(terminal)
    shown = os.read(driver, 100_000).decode().replace("\r\n", "\n")
    os.close(driver)
    assert [line.rstrip() for line in shown.splitlines()] == FLIGHTS.strip().splitlines()


COUNTING = {
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        doubled: {store: here, path: doubled.parquet}
        good: {store: here, path: good.parquet, schema: "schemas:Number", on_invalid: quarantine}
        """,
    "conf/pipelines/many.yml": "modules: [many]\nwrites: [good]\n",
    "pipelines/schemas.py": """
        import pandera.polars as pa
        import polars as pl


        class Number(pa.DataFrameModel):
            n: pl.Int32 = pa.Field(ge=10, coerce=True, unique=True)
        """,
    "pipelines/many.py": """
        import os

        import polars as pl
        from polars.io.plugins import register_io_source


        def batches() -> pl.LazyFrame:
            def read(with_columns, predicate, n_rows, batch_size):
                given = 0
                for batch in range(1_000):
                    frame = pl.DataFrame({"n": range(batch * 1_000, (batch + 1) * 1_000)})[: n_rows and n_rows - given]
                    given += frame.height
                    with open(os.environ["READ"], "a") as file:
                        file.write(".")
                    yield frame if predicate is None else frame.filter(predicate)
                    if n_rows and given >= n_rows:
                        return

            return register_io_source(read, schema={"n": pl.Int64})


        def odd(batches: pl.LazyFrame) -> pl.LazyFrame:
            return batches.filter(pl.col("n") % 2 == 1)


        def good(odd: pl.LazyFrame) -> pl.LazyFrame:
            return odd
        """,
}


@pytest.mark.parametrize("node", ["batches", "odd", "good"])
def test_of_a_lazy_node_no_more_is_computed_than_is_shown(project: ProjectFolder, tmp_path: Path, node: str) -> None:
    note = "note: node good: not checked here, for it takes all rows: n: unique\n" if node == "good" else ""
    read = tmp_path / "read"
    shown = printed(project.write(COUNTING), "--select", node, "--head", "3", note=note, READ=str(read))
    rows, dtype = {"batches": ((0, 1, 2), "Int64"), "odd": ((1, 3, 5), "Int64"), "good": ((11, 13, 15), "Int32")}[node]
    lines = [f"{node}: polars.LazyFrame, first 3 rows x 1 column  (many)", "n", dtype, *map(str, rows)]
    assert [line.strip() for line in shown.splitlines()] == lines
    assert len(read.read_text()) < 50, "of 1,000 batches"


KINDS = {
    "conf/pipelines/double.yml": "modules: [double]\nwrites: {eager: doubled}\n",
    "pipelines/double.py": """
        import duckdb
        import pandas as pd
        import polars as pl
        import pyarrow as pa


        def eager(numbers: pl.DataFrame) -> pl.DataFrame:
            return numbers


        def panda(eager: pl.DataFrame) -> pd.DataFrame:
            return eager.to_pandas()


        def table(panda: pd.DataFrame) -> pa.Table:
            return pa.Table.from_pandas(panda)


        def stream(table: pa.Table) -> pa.RecordBatchReader:
            return table.to_reader()


        def relation(stream: pa.RecordBatchReader) -> duckdb.DuckDBPyRelation:
            table = stream.read_all()
            return duckdb.connect().from_arrow(table)


        def nested() -> pl.DataFrame:
            return pl.DataFrame(
                {
                    "text": ["a\\tb\\x1b[0m", "x" * 50, "z"],
                    "number": [float("nan"), 2 / 3, 1e-9],
                    "list": [[1, None], [], None],
                    "yes": [True, False, None],
                    "bytes": [b"a", None, b"\\x00"],
                }
            )


        def empty() -> pl.DataFrame:
            return pl.DataFrame(schema={"a": pl.Int8})


        def nothing() -> pl.DataFrame:
            return pl.DataFrame()


        def long() -> list[int]:
            return list(range(10_000))


        def secret() -> dict[str, str]:
            return {"dsn": "postgres://me:hunter2@db"}
        """,
}


def test_every_kind_of_frame_is_shown_also_where_a_consumer_uses_it_up(project: ProjectFolder) -> None:
    types = {
        "numbers": "polars.DataFrame, first 2 of 3 rows",
        "eager": "polars.DataFrame, first 2 of 3 rows",
        "panda": "pandas.DataFrame, first 2 of 3 rows",
        "table": "pyarrow.Table, first 2 of 3 rows",
        "stream": "pyarrow.RecordBatchReader, first 2 rows",
        "relation": "duckdb.DuckDBPyRelation, first 2 rows",
    }
    shown = printed(project.write(KINDS), "--select", "numbers +relation", "--head", "2")
    parts = [f"{name}: {kind} x 1 column  (double)\n    n\nInt64\n    1\n    2\n" for name, kind in types.items()]
    assert shown == "\n".join(parts)


def test_values_of_all_sorts(project: ProjectFolder) -> None:
    shown = printed(project.write(KINDS), "--select", "nested empty nothing").split("\n\n")
    assert sorted(shown) == [
        "empty: polars.DataFrame, 0 rows x 1 column  (double)\n   a\nInt8",
        (
            "nested: polars.DataFrame, 3 rows x 5 columns  (double)\n"
            "text                                        number  list         yes      bytes\n"
            "String                                     Float64  List(Int64)  Boolean  Binary\n"
            "a\\tb\\x1b[0m                                    nan  [1, None]    true     b'a'\n"
            f"{'x' * 39}…  0.666667  []           false    NULL\n"
            "z                                            1e-09  NULL         NULL     b'\\x00'"
        ),
        "nothing: polars.DataFrame, 0 rows x 0 columns  (double)\n",
    ]
    long = printed(project, "--to", "long").splitlines()
    assert long[0] == "long: list  (double)"
    assert (len(long[1]), long[1][:9], long[1][-1]) == (2000, "[0, 1, 2,", "…")


def test_json_is_a_line_for_each_node(shop: ProjectFolder) -> None:
    lines = printed(shop, "items", "--select", "threshold many+", "--head", "1", "--json", *JANUARY, note=REJECTED)
    source = {"pipeline": "items", "partition": "2024-01"}
    row = {"day": "2024-01-03", "item": "apple", "sold": 3}
    assert [json.loads(line) for line in lines.splitlines()] == [
        {**source, "node": "threshold", "type": "int", "value": 2},
        {**source, "node": "many", "type": "polars.LazyFrame", "total": None, "rows": [row]},
        {**source, "node": "by_item", "type": "polars.DataFrame", "total": 1, "rows": [row]},
        {**source, "node": "total", "type": "float", "value": 3.0},
    ]
    nested = json.loads(printed(shop.write(KINDS), "double", "--to", "nested", "--json"))
    assert nested["rows"][0] == {
        "text": "a\tb\x1b[0m",
        "number": "nan",
        "list": [1, None],
        "yes": True,
        "bytes": "b'a'",
    }
    assert nested["partition"] is None


def test_secrets_are_hidden_in_values(project: ProjectFolder) -> None:
    other = "  other: {adapter: files, url: data, options: {key: hunter2}}\n"
    profile = (project.write(KINDS).path / "conf/profiles/dev.yml").read_text()
    project.write({"conf/profiles/dev.yml": profile + other})
    assert printed(project, "--select", "secret") == "secret: dict  (double)\n{'dsn': 'postgres://me:***@db'}\n"
    value = json.loads(printed(project, "--select", "secret", "--json"))["value"]
    assert value == "{'dsn': 'postgres://me:***@db'}"


FAILING = {
    "pipelines/double.py": """
        import polars as pl


        def _fail(frame: pl.DataFrame) -> pl.DataFrame:
            raise ValueError("no rows today")


        def eager(numbers: pl.LazyFrame) -> pl.DataFrame:
            return _fail(numbers)


        def late(numbers: pl.LazyFrame, factor: int) -> pl.LazyFrame:
            return numbers.map_batches(_fail)


        def doubled(late: pl.LazyFrame) -> pl.LazyFrame:
            return late
        """,
}


def test_errors_read_as_in_a_run(project: ProjectFolder) -> None:
    project.write(FAILING)
    assert refused(project, "--select", "eager", code=1) == (
        "error: pipelines/double.py:8: node eager failed: ValueError: no rows today\n"
        '  at pipelines/double.py:5: raise ValueError("no rows today")\n'
        "  hint: run again with --debug to see the traceback\n"
    )
    assert refused(project, "--select", "late", code=1) == (
        "error: pipelines/double.py:12: node late failed when its rows were computed: ValueError: no rows today\n"
        "  hint: look at what it is made of: flowpipe run --select numbers\n"
    )
    (project.path / "data/numbers.csv").unlink()
    assert refused(project, "--select", "late") == (
        'error: conf/catalog.yml:1:1: input numbers is not there: data/numbers.csv (store "here")\n'
        "  hint: make it, or mend the path in the catalog\n"
    )


def test_a_schema_that_does_not_fit_is_told(shop: ProjectFolder) -> None:
    schemas = (shop.path / "pipelines/schemas.py").read_text()
    shop.write({"pipelines/schemas.py": schemas.replace("item: str", "article: str")})
    note = (
        "note: node by_item: article: expected String, it is missing; "
        "a run stops here, this goes on with its rows as they are\n"
    )
    assert printed(shop, "--to", "total", *JANUARY, note=note) == "total: float  (items 2024-01)\n1.0\n"


def test_a_run_at_work_does_not_keep_it_away(shop: ProjectFolder) -> None:
    state = shop.path / ".flowpipe/dev"
    state.mkdir(parents=True)
    with filelock.FileLock(state / "lock"):
        assert printed(shop, "--select", "many", *JANUARY) == MANY


@pytest.mark.parametrize("executor", ["sync", "threads", "processes"])
def test_a_signal_ends_it_at_once(project: ProjectFolder, tmp_path: Path, executor: str) -> None:
    project.write(
        {
            "pipelines/double.py": """
                import pathlib
                import time

                import polars as pl


                def doubled(numbers: pl.LazyFrame, factor: int) -> pl.LazyFrame:
                    pathlib.Path("here").touch()
                    time.sleep(60)
                    return numbers
                """
        }
    )
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "flowpipe", "run", "--select", "doubled", "--set", f"executor.type={executor}"]
    env = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(command, cwd=project.path, env=env, stderr=subprocess.PIPE, text=True) as process:
        while not (project.path / "here").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error.splitlines()[0]) == (130, "error: interrupted; nothing is half published")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_from_python(shop: ProjectFolder) -> None:
    loaded = Project.load(shop.path)
    before = everything(shop.path)
    found = loaded.compute(["many", "total"], partition="2024-01")
    assert isinstance(found["many"], pl.DataFrame)
    assert (found["many"]["sold"].to_list(), found["total"]) == ([3, -7, 5], 3.0)
    given = pl.DataFrame({"day": ["2030-01-01"] * 2, "item": ["kiwi", "lime"], "sold": [4, 5]})
    assert loaded.compute(["total"], overrides={"sales": given, "threshold": 5}) == {"total": 5.0}
    assert loaded.compute(["total"], overrides={"by_item": given.to_pandas()}) == {"total": 9}
    assert loaded.compute(["total"], overrides={"least": 4, "sales": given}) == {"total": 9}
    with pytest.raises(UsageError, match="several pipelines"):
        loaded.compute(["threshold"])
    assert loaded.compute(["threshold"], pipeline="ranks") == {"threshold": "a text"}
    with pytest.raises(ConfigError) as caught:
        loaded.compute(["total"], overrides={"mny": 1})
    assert str(caught.value) == (
        'unknown node or input "mny"\n  hint: did you mean "many"? known: by_item, dated, least, many, sales, '
        "threshold, total"
    )
    assert everything(shop.path) == before


FANS = {
    "pipelines/double.py": """
        import polars as pl
        from hamilton.htypes import Collect, Parallelizable


        def letter() -> Parallelizable[str]:
            yield from "ab"


        def big(letter: str) -> str:
            return letter.upper()


        def both(big: Collect[str]) -> list[str]:
            return sorted(big)


        def doubled(both: list[str], factor: int) -> pl.DataFrame:
            return pl.DataFrame({"n": both})
        """
}


def test_what_is_made_for_each_item_has_no_one_value(project: ProjectFolder) -> None:
    shown = printed(project.write(FANS), "--select", "+doubled")
    assert [line for line in shown.splitlines() if "(double)" in line] == [
        "letter: list  (double)",
        "both: list  (double)",
        "doubled: polars.DataFrame, 2 rows x 1 column  (double)",
    ]
    assert refused(project, "--select", "big") == (
        "error: pipelines/double.py:9: node big is made for each item of letter\n"
        "  hint: ask for the node that collects it\n"
    )
