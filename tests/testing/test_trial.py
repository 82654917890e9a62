"""A project under test: every kind of store is replaced, pipelines run as they are, and nothing else is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flowpipe import adapters
from flowpipe.errors import ConfigError, FlowpipeError, NodeError, UsageError
from flowpipe.testing import TestProject, assert_frames_equal
from tests.conftest import ProjectFolder

SHOP = {
    "conf/project.yml": "name: shop\nprofile: prod\n",
    "conf/profiles/prod.yml": """
        stores:
          landing: {adapter: files, url: "s3://${env:NO_SUCH_BUCKET}/landing"}
          lake: {adapter: delta, url: "s3://${env:NO_SUCH_BUCKET}/lake", options: {secret: "${env:NO_SUCH_SECRET}"}}
          base: {adapter: duckdb, database: data/base.duckdb}
          crm: {adapter: postgres, dsn: "${env:NO_SUCH_DSN}", schema: crm, breaker: {failures: 1}}
          far: {adapter: files, url: "${env:NO_SUCH_FAR}"}
        executor: {type: ray, address: "ray://${env:NO_SUCH_HOST}:10001"}
        scratch: lake
        """,
    "conf/catalog.yml": """
        orders: {store: landing, path: "orders/{partition:%Y-%m}.csv", partition: {every: month}}
        refunds: {store: landing, path: "refunds/**/*.parquet"}
        customers: {store: crm, query: "select id, (data->>'name')::citext as name from people"}
        rates: {store: base, table: rates}
        sales:
          store: lake
          table: sales
          mode: replace
          partition: {every: month, column: day}
          schema: "schemas:Sales"
          on_invalid: quarantine
        totals:
          store: crm
          table: mart.totals
          mode: overwrite
          swap: true
          after_publish: ["GRANT SELECT ON mart.totals TO reader"]
        """,
    "conf/pipelines/sales.yml": """
        modules: [sales]
        writes: [sales]
        partitions: {every: month, start: 2024-01, end: 2024-03}
        """,
    "conf/pipelines/totals.yml": "modules: [totals]\nparams: {least: 1}\nwrites: [totals]\n",
    "pipelines/schemas.py": """
        import pandera.polars as pa
        import polars as pl


        class Sales(pa.DataFrameModel):
            id: pl.Int64
            amount: float = pa.Field(gt=0)
            day: pl.Date
        """,
    "pipelines/sales.py": """
        import polars as pl


        def _net(amount: float) -> float:
            return amount - 1


        def sales(orders: pl.LazyFrame) -> pl.LazyFrame:
            return orders.select("id", pl.col("amount").cast(pl.Float64), "day")
        """,
    "pipelines/totals.py": """
        import polars as pl


        def by_customer(
            sales: pl.LazyFrame, customers: pl.LazyFrame, rates: pl.DataFrame, refunds: pl.LazyFrame
        ) -> pl.LazyFrame:
            rate = rates.item(0, "rate")
            known = sales.join(refunds, on="id", how="anti")
            return known.join(customers, on="id").select("name", amount=pl.col("amount") * rate)


        def totals(by_customer: pl.LazyFrame, least: int) -> pl.LazyFrame:
            return by_customer.filter(pl.col("amount") >= least).group_by("name").agg(pl.col("amount").sum())


        def biggest(totals: pl.LazyFrame) -> str:
            return totals.sort("amount").collect().item(-1, "name")
        """,
}
ORDERS = "id,amount,day\n1,10.5,2024-01-31\n2,20,2024-01-01\n"


@pytest.fixture
def shop(empty_project, tmp_path: Path) -> Iterator[TestProject]:
    """The shop under test, which leaves the shop itself as it was."""
    folder: ProjectFolder = empty_project(SHOP)
    before = tree(folder.path)
    yield TestProject.load(folder.path, tmp_path / "trial")
    assert tree(folder.path) == before


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with its content's hash."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def ready(shop: TestProject) -> TestProject:
    shop.write("orders", ORDERS, partition="2024-01")
    shop.write("orders", "id,amount,day\n1,5,2024-02-01\n3,-5,2024-02-02\n", partition="2024-02")
    shop.write("refunds", [{"id": 2}])
    shop.write("customers", "id | name\n1 | Ann\n2 | Bob")
    shop.write("rates", pl.DataFrame({"rate": [2.0]}))
    return shop


def test_every_store_is_replaced_without_its_secrets_and_pipelines_run_whole(shop: TestProject) -> None:
    ready(shop)
    shop.run("sales", partition="2024-01")
    shop.run("sales", partition="2024-02")
    result = shop.run("totals")
    assert (result.outcome, result.outcomes) == ("done", {"totals": "done"})
    assert_frames_equal(
        shop.read("sales"), "id | amount | day\n1 | 10.5 | 2024-01-31\n2 | 20 | 2024-01-01\n1 | 5 | 2024-02-01"
    )
    assert_frames_equal(shop.read("sales", partition="2024-02"), [{"id": 1, "amount": 5.0, "day": date(2024, 2, 1)}])
    assert_frames_equal(
        shop.rejected("sales"), "id | amount | day        | checks\n3  | -5.0   | 2024-02-02 | amount: greater_than(0)"
    )
    assert_frames_equal(shop.read("totals"), "name | amount\nAnn | 31")
    assert shop.rejected("totals").is_empty()
    assert [(step.name, step.action) for step in shop.plan("totals").steps] == [("totals", "skip")]
    shop.write("rates", "rate\n3")
    assert [(step.name, step.action) for step in shop.plan("totals").steps] == [("totals", "run")]


def test_nodes_are_computed_of_what_is_given(shop: TestProject) -> None:
    sales = "id | amount\n1 | 1.5"
    given = {"sales": sales, "customers": [{"id": 1, "name": "Ann"}], "rates": "rate\n2", "refunds": "id:int"}
    found = shop.compute(["by_customer", "biggest"], given=given)
    assert_frames_equal(found["by_customer"], "name | amount\nAnn | 3")
    assert found["biggest"] == "Ann"
    assert shop.compute("totals", given=given, params={"least": 4})["totals"].is_empty()
    assert shop.compute("biggest", given={"totals": "name | amount\nx | 1\ny | 2"}) == {"biggest": "y"}
    shop.write("sales", "id | amount | day\n1 | 7 | 2024-03-01")
    assert shop.compute("by_customer", given={name: given[name] for name in ("customers", "rates", "refunds")})[
        "by_customer"
    ].rows() == [("Ann", 14.0)]


def test_rows_take_the_place_of_those_of_their_windows(shop: TestProject) -> None:
    shop.write("sales", "id | amount | day\n1 | 1 | 2024-01-01\n2 | 2 | 2024-02-01")
    shop.write("sales", "id | amount | day\n3 | 3 | 2024-02-02")
    assert sorted(shop.read("sales")["id"]) == [1, 3]
    shop.write("sales", "id | amount | day", partition="2024-02")
    assert shop.read("sales")["id"].to_list() == [1]
    shop.write("rates", "rate\n1")
    shop.write("rates", "rate | since\n2 | 2024-01-01")
    assert shop.read("rates").rows() == [(2, date(2024, 1, 1))]


def test_what_else_a_test_may_want(shop: TestProject) -> None:
    folder = shop.folder("landing")
    (folder / "orders").mkdir()
    (folder / "orders/2024-01.csv").write_text("id;amount\nbroken")
    with pytest.raises(NodeError, match=r'valid columns: \["id;amount"\]'):
        shop.run("sales", partition="2024-01")
    assert shop.module("sales")._net(3) == 2
    assert shop.project.profile == "prod"


@pytest.mark.parametrize(
    ("act", "told", "hint"),
    [
        (
            lambda shop: shop.write("order", ORDERS),
            'unknown dataset "order"',
            'did you mean "orders"? known: customers, orders, rates, refunds, sales, totals',
        ),
        (
            lambda shop: shop.write("orders", ORDERS),
            "dataset orders is kept window by window",
            "say which: partition=...",
        ),
        (
            lambda shop: shop.write("orders", ORDERS, partition="2024"),
            'dataset orders: "2024" is not the start of a month; write it like 2013-02',
            "name one window as partition=",
        ),
        (
            lambda shop: shop.write("rates", "rate\n1", partition="2024-01"),
            "dataset rates has no windows",
            "leave out partition=, or write `partition:`",
        ),
        (
            lambda shop: shop.write("sales", "id\n1"),
            "dataset sales: the column day tells the window of a row, and is Null or has NULL",
            "give each row a date, such as 2024-01-31",
        ),
        (
            lambda shop: shop.write("rates", []),
            "dataset rates: rows without columns",
            "for no rows, write the headings alone: id | amount",
        ),
        (lambda shop: shop.read("sales"), "dataset sales is not there yet: ", ""),
        (
            lambda shop: shop.folder("lakee"),
            'unknown store "lakee"',
            'did you mean "lake"? known: base, crm, far, lake, landing',
        ),
        (lambda shop: shop.run("sale"), 'unknown pipeline "sale"', 'did you mean "sales"? known: sales, totals'),
        (lambda shop: shop.run("totals"), "conf/catalog.yml:2:1: input refunds is not there", ""),
        (lambda shop: shop.compute("total"), 'unknown node "total"', 'did you mean "totals"?'),
        (
            lambda shop: shop.compute("totals", given={"sale": "id\n1"}),
            'unknown node or input "sale"',
            'did you mean "sales"?',
        ),
    ],
)
def test_what_cannot_be(shop: TestProject, act, told: str, hint: str) -> None:
    with pytest.raises(FlowpipeError) as error:
        act(shop)
    first, _, second = str(error.value).partition("\n  hint: ")
    assert first.startswith(told)
    assert second.startswith(hint)
    assert second


def test_errors_come_with_the_projects_own_frames_alone(shop: TestProject) -> None:
    with pytest.raises(NodeError) as error:
        shop.compute("biggest", given={"totals": "amount\n1"})
    lines = str(error.value).splitlines()
    assert lines[0].startswith("pipelines/totals.py:16: node biggest failed: ColumnNotFoundError")
    assert not any("hint" in line for line in lines)
    assert {Path(entry.path).name for entry in error.traceback} == {"test_trial.py", "trial.py"}
    assert error.value.__cause__.__traceback__.tb_frame.f_code.co_name == "biggest"


def test_flags_choose_the_executor_and_another_kind_of_store(empty_project, tmp_path: Path) -> None:
    root = empty_project(SHOP).path
    sets = ("executor.type=threads", "stores.far.adapter=duckdb")
    configuration = TestProject.load(root, tmp_path / "trial", sets=sets).project.configuration
    assert (configuration.executor.type, configuration.stores["far"].adapter) == ("threads", "duckdb")


def test_what_is_wrong_with_a_project_is_told_all_the_same(empty_project, tmp_path: Path) -> None:
    files = SHOP | {
        "conf/pipelines/totals.yml": "modules: [totals]\nparams: {least: '${env:NO_SUCH_LEAST}'}\nwrites: [totals]\n",
        "conf/profiles/prod.yml": "stores: {landing: {adapter: fils, url: x}}\n",
        "conf/catalog.yml": "orders: {store: landing, path: x.csv}\n",
    }
    trial = TestProject.load(empty_project(files).path, tmp_path / "trial")
    with pytest.raises(ConfigError) as error:
        trial.run()
    text = str(error.value)
    assert "the environment variable NO_SUCH_LEAST is not set" in text
    assert 'conf/profiles/prod.yml:1:29: unknown adapter "fils"\n  hint: did you mean "files"?' in text


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Installs somebody else's adapter by its name and class, as an installer does."""

    def install(name: str, target: str) -> None:
        info = tmp_path / "site" / f"{name}-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[flowpipe.adapters]\n{name} = {target}\n")
        monkeypatch.syspath_prepend(str(info.parent))
        adapters.installed.cache_clear()

    yield install
    adapters.installed.cache_clear()


CRM = {
    "conf/profiles/prod.yml": "stores:\n  crm: {adapter: bare, database: '${env:NO_SUCH_FILE}'}\n",
    "conf/catalog.yml": "totals: {store: crm, table: totals}\n",
    "conf/pipelines/sales.yml": "modules: [schemas]\nwrites: [totals]\n",
}


def test_an_adapter_that_says_nothing_of_tests(empty_project, tmp_path: Path, install) -> None:
    install("bare", "bare_adapter:Bare")
    (tmp_path / "site" / "bare_adapter.py").write_text("class Bare:\n    pass\n")
    root = empty_project(SHOP | CRM).path
    with pytest.raises(ConfigError) as error:
        TestProject.load(root, tmp_path / "trial")
    assert str(error.value) == (
        'conf/profiles/prod.yml:2:18: store crm: the adapter "bare" does not say what stands in for it in tests\n'
        '  hint: let another one: sets=["stores.crm.adapter=duckdb"]; its author can give it `temporary(folder)`'
    )
    trial = TestProject.load(root, tmp_path / "trial", sets=["stores.crm.adapter=duckdb"])
    trial.write("totals", "name\nx")
    assert trial.read("totals").rows() == [("x",)]


def test_an_adapter_of_somebody_elses_that_does(
    empty_project, tmp_path: Path, install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("sqlite", "flowpipe_sqlite:SQLite")
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "plugin"))
    files = {name: text.replace("bare", "sqlite") for name, text in CRM.items()}
    trial = TestProject.load(empty_project(SHOP | files).path, tmp_path / "trial")
    trial.write("totals", "name\nx")
    assert trial.read("totals").rows() == [("x",)]
    assert (trial.folder("crm") / "test.sqlite").exists()


def test_every_way_in_which_files_are_read_can_be_given(empty_project, tmp_path: Path) -> None:
    catalog = """
        one: {store: far, path: one.csv, options: {separator: ";", null_values: "-"}}
        folder: {store: far, path: folder/, format: csv}
        glob: {store: far, path: "glob/*/part-?.ndjson"}
        days: {store: far, path: "days/{partition}.parquet", partition: {every: day, column: day}}
        """
    stores = {"conf/profiles/prod.yml": "stores: {far: {adapter: files, url: 's3://nowhere'}}\n"}
    trial = TestProject.load(empty_project({**SHOP, **stores, "conf/catalog.yml": catalog}).path, tmp_path / "trial")
    rows = pl.DataFrame({"a": [1, None], "day": [date(2024, 1, 1), date(2024, 1, 2)]})
    for name in ("one", "folder", "glob", "days"):
        trial.write(name, rows)
        assert_frames_equal(trial.read(name), rows, columns=["a"])
    assert trial.read("days", partition="2024-01-02")["a"].to_list() == [None]
    assert {path.name for path in trial.folder("far").rglob("*.*") if not path.name.startswith(".")} == {
        "one.csv", "given.csv", "part-0.ndjson", "2024-01-01.parquet", "2024-01-02.parquet"
    }  # fmt: skip


def test_rows_that_nothing_can_write(empty_project, tmp_path: Path) -> None:
    files = SHOP | {"conf/catalog.yml": SHOP["conf/catalog.yml"] + "\n        sheet: {store: far, path: sheet.xlsx}\n"}
    trial = TestProject.load(empty_project(files).path, tmp_path / "trial")
    with pytest.raises(ConfigError, match="dataset sheet: excel is only read"):
        trial.write("sheet", "a\n1")
    with pytest.raises(UsageError, match="is no table"):
        trial.write("rates", 3)
