"""Pandera schemas, expectations and input contracts through whole runs: what is published, kept aside and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import duckdb
import polars as pl
import pytest

from flowpipe.errors import DataError
from flowpipe.project import Project
from flowpipe.records import Checked, Record
from flowpipe.run import RunResult
from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]
CONF = {
    "conf/project.yml": "name: audits\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
          base: {adapter: duckdb, database: data/base.duckdb}
        """,
    "pipelines/schemas.py": """
        import pandera.polars as pa
        import polars as pl
        from pandera.polars import Check, Column, DataFrameSchema


        class Order(pa.DataFrameModel):
            id: int
            day: pl.Date
            amount: float = pa.Field(ge=0, nullable=True, coerce=True)


        class UniqueOrder(Order):
            class Config:
                unique = ["id"]


        def is_round(data: pa.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col(data.key) % 10 == 0)


        def some(data: pa.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col("amount").sum() > 0)


        rounded = Check(is_round, name="is_round")
        Round = DataFrameSchema({"id": Column(int), "amount": Column(float, rounded, coerce=True)})
        Some = DataFrameSchema({"id": Column(int)}, checks=Check(some, name="some"))
        """,
}
PLACES = {
    "files": 'store: here, path: "out/{partition:%Y-%m}.parquet"',
    "delta": "store: lake, table: out",
    "duckdb": "store: base, table: out",
}
HEAD = "id,day,amount\n"


def run(project: ProjectFolder, *, records: list[Record] | None = None) -> RunResult:
    """A run in this process, which is faster than the command."""
    return Project.load(project.path).run(on_record=(records if records is not None else []).append)


def messages(result: RunResult) -> list[str]:
    assert isinstance(result.error, DataError), result.error
    return [problem.message for problem in result.error.problems]


def rows(project: ProjectFolder, store: str, table: str = "out") -> pl.DataFrame:
    """All rows of a dataset, wherever it is kept."""
    data = project.path / "data"
    if store == "files":
        files = sorted((data / table).glob("*.parquet"))
        return pl.concat([pl.read_parquet(file) for file in files]) if files else pl.DataFrame()
    if store == "delta":
        return pl.read_delta(str(data / "lake" / table))
    with duckdb.connect(str(data / "base.duckdb")) as connection:
        frame: pl.DataFrame = connection.sql(f"FROM {table}").pl()
    return frame


def monthly(store: str, settings: str) -> dict[str, str]:
    """Orders of two months, copied month by month into a dataset with settings."""
    return CONF | {
        "conf/catalog.yml": f"""
            orders: {{store: here, path: "orders/{{partition:%Y-%m}}.csv", partition: {{every: month}},
                      options: {{try_parse_dates: true}}}}
            out: {{{PLACES[store]}, partition: {{every: month, column: day}}, mode: replace, {settings}}}
            """,
        "conf/pipelines/job.yml": """
            modules: [job]
            writes: [out]
            partitions: {every: month, start: 2024-01, end: 2024-02}
            """,
        "pipelines/job.py": """
            import polars as pl


            def out(orders: pl.LazyFrame) -> pl.LazyFrame:
                return orders
            """,
        "data/orders/2024-01.csv": HEAD + "1,2024-01-05,10\n2,2024-01-06,-1\n3,2024-01-07,\n",
        "data/orders/2024-02.csv": HEAD + "4,2024-02-05,-7\n5,2024-02-06,3\n",
    }


@pytest.mark.parametrize("store", PLACES)
def test_quarantine_keeps_rejected_rows_by_slice_until_they_are_mended(empty_project: Make, store: str) -> None:
    project = empty_project(monthly(store, 'schema: "schemas:UniqueOrder", on_invalid: quarantine'))
    project.write({"data/orders/2024-01.csv": HEAD + "1,2024-01-05,10\n2,2024-01-06,-1\n1,2024-01-07,5\n"})
    records: list[Record] = []
    first = run(project, records=records)
    assert first.error is None
    assert rows(project, store)["id"].to_list() == [5]
    bad = rows(project, store, "out__rejected").sort("slice", "row")
    assert dict(bad.schema) == dict.fromkeys(("slice", "run", "checks", "row"), pl.String)
    unique, below = "unique(id)", BELOW
    assert [(*row[:3], json.loads(row[3])) for row in bad.iter_rows()] == [
        ("2024-01", first.run, unique, {"id": 1, "day": "2024-01-05", "amount": 10.0}),
        ("2024-01", first.run, unique, {"id": 1, "day": "2024-01-07", "amount": 5.0}),
        ("2024-01", first.run, below, {"id": 2, "day": "2024-01-06", "amount": -1}),
        ("2024-02", first.run, below, {"id": 4, "day": "2024-02-05", "amount": -7}),
    ]
    told = {(r.slice, r.check, r.failed, r.consequence) for r in records if isinstance(r, Checked) and r.failed}
    assert told == {
        ("2024-01", unique, 2, "quarantined"),
        ("2024-01", below, 1, "quarantined"),
        ("2024-02", below, 1, "quarantined"),
    }

    project.write({"data/orders/2024-01.csv": HEAD + "1,2024-01-05,10\n2,2024-01-06,1\n"})
    second = run(project)
    assert second.outcomes == {"job 2024-01": "done", "job 2024-02": "skipped"}
    assert rows(project, store)["id"].sort().to_list() == [1, 2, 5]
    assert rows(project, store, "out__rejected")["slice"].to_list() == ["2024-02"]


def whole(settings: str, orders: str, *, body: str = "return orders", store: str = "files") -> dict[str, str]:
    """Orders copied as a whole into one dataset with settings."""
    place = {"files": "store: here, path: out.parquet"}.get(store, PLACES[store])
    return CONF | {
        "conf/catalog.yml": f"""
            orders: {{store: here, path: orders.csv, options: {{try_parse_dates: true}}}}
            out: {{{place}, {settings}}}
            """,
        "conf/pipelines/job.yml": "modules: [job]\nwrites: [out]\n",
        "pipelines/job.py": f"""
            import polars as pl


            def out(orders: pl.LazyFrame) -> pl.LazyFrame:
                {body}
            """,
        "data/orders.csv": HEAD + orders,
    }


def files_of(project: ProjectFolder) -> list[str]:
    data = project.path / "data"
    return sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())


def published(project: ProjectFolder) -> list[int] | None:
    path = project.path / "data/out.parquet"
    return pl.read_parquet(path)["id"].to_list() if path.exists() else None


BAD = "1,2024-01-05,10\n2,2024-01-06,-1\n3,2024-01-07,-2\n4,2024-01-08,\n"
BELOW = "amount: greater_than_or_equal_to(0)"
FEW = f"{BELOW}: 2 of 4 rows"
LIMITS = [
    ("on_invalid: fail", [FEW], None),
    ("on_invalid: fail, max_invalid: 4", [FEW], None),
    ("on_invalid: warn", None, [1, 2, 3, 4]),
    ("on_invalid: warn, max_invalid: 2", None, [1, 2, 3, 4]),
    ("on_invalid: warn, max_invalid: 1", [FEW, "2 of 4 rows are invalid, more than max_invalid: 1"], None),
    ("on_invalid: quarantine", None, [1, 4]),
    ('on_invalid: quarantine, max_invalid: "50%"', None, [1, 4]),
    (
        "on_invalid: quarantine, max_invalid: 0.49",
        [FEW, "2 of 4 rows are invalid, more than max_invalid: 0.49"],
        None,
    ),
]


def test_what_becomes_of_invalid_rows(empty_project: Make) -> None:
    for settings, refused, kept in LIMITS:
        project = empty_project(whole(f'schema: "schemas:Order", {settings}', BAD))
        result = run(project)
        if refused:
            assert messages(result) == [f"dataset out (node out): {text}" for text in refused], settings
            assert files_of(project) == ["orders.csv"], settings
        else:
            assert result.error is None, settings
        assert published(project) == kept, settings
        shutil.rmtree(project.path / "data")


UNCOERCED = "1,2024-01-05,10\n2,2024-01-06,ten\n3,2024-01-07,\n"


def test_coercion(empty_project: Make) -> None:
    settings = 'schema: "schemas:Order", on_invalid: quarantine'
    project = empty_project(whole(settings, UNCOERCED))
    assert run(project).error is None
    out = pl.read_parquet(project.path / "data/out.parquet")
    assert out.schema["amount"] == pl.Float64
    assert out["id"].to_list() == [1, 3]
    assert pl.read_parquet(project.path / "data/out__rejected/all.parquet").select("slice", "checks", "row").rows() == [
        ("all", "amount: coerce Float64", '{"id":2,"day":"2024-01-06","amount":"ten"}')
    ]


def test_the_command_tells_all_that_is_wrong_with_all_outputs(empty_project: Make) -> None:
    """Nothing of the step is visible in any store, also not of the outputs that are right."""
    outputs = {
        "good": "store: lake, table: good",
        "early": "store: base, table: early",
        "columns": "store: here, path: columns.parquet",
        "amounts": "store: lake, table: amounts",
        "twice": "store: base, table: twice",
        "few": "store: here, path: few.csv",
    }
    extra = {
        "columns": 'schema: "schemas:Order"',
        "amounts": 'schema: "schemas:Order"',
        "twice": 'schema: "schemas:UniqueOrder"',
        "few": 'expect: {rows: ">= 10", unique: [day], freshness: "day within 1d"}',
    }
    catalog = "".join(f"{n}: {{{place}, {extra.get(n, 'mode: overwrite')}}}\n" for n, place in outputs.items())
    nodes = "".join(
        f"def {name}(orders: pl.LazyFrame) -> pl.LazyFrame:\n    return orders{body}\n\n\n"
        for name, body in {
            **dict.fromkeys(outputs, ""),
            "columns": ".select(ID='id', amount=pl.lit('1'))",
            "twice": ".filter(pl.col('amount') > 0).with_columns(id=pl.lit(7, pl.Int64))",
        }.items()
        if name != "early"
    )
    eager = "def early(orders: pl.LazyFrame) -> pl.DataFrame:\n    return orders.collect()\n\n\n"
    project = empty_project(
        CONF
        | {
            "conf/catalog.yml": "orders: {store: here, path: orders.csv, options: {try_parse_dates: true}}\n" + catalog,
            "conf/pipelines/job.yml": f"modules: [job]\nwrites: [{', '.join(outputs)}]\n",
            "pipelines/job.py": "import polars as pl\n\n\n" + nodes + eager,
            "data/orders.csv": HEAD + "1,2024-01-05,10\n2,2024-01-05,20\n3,2024-01-06,-1\n",
        }
    )
    done = project.flowpipe("run")
    assert done.code == 3
    again = "  hint: nothing was published; mend the data or its schema and run again"
    assert done.err.splitlines() == [
        "error: pipelines/job.py:8: dataset columns (node columns): id: expected Int64, it is missing",
        "error: pipelines/job.py:8: dataset columns (node columns): day: expected Date, it is missing",
        "  hint: return the columns that the schema declares",
        "error: pipelines/job.py:12: dataset amounts (node amounts): amount: greater_than_or_equal_to(0): 1 of 3 rows",
        again,
        "error: pipelines/job.py:16: dataset twice (node twice): unique(id): 2 of 2 rows",
        again,
        "error: pipelines/job.py:20: dataset few (node few): expect rows >= 10: there are 3",
        "error: pipelines/job.py:20: dataset few (node few): expect day within 1d: the newest is 2024-01-06",
        "error: pipelines/job.py:20: dataset few (node few): expect unique(day): 1 of 3 rows repeat another",
        again,
    ]
    assert files_of(project) == ["orders.csv"]


BARRED = "1,2024-01-05,10\n1,2024-01-06,20\n2,2024-01-07,30\n3,2024-01-08,5\n"
ROUND = "amount: is_round"
BARRIERS = [
    ("UniqueOrder", "fail", ["unique(id): 2 of 4 rows"], None),
    ("UniqueOrder", "warn", None, [1, 1, 2, 3]),
    ("UniqueOrder", "quarantine", None, [2, 3]),
    ("Round", "fail", [f"{ROUND}: 1 of 4 rows"], None),
    ("Round", "warn", None, [1, 1, 2, 3]),
    ("Round", "quarantine", None, [1, 1, 2]),
    ("Some", "fail", ["some: failed for the rows as a whole"], None),
    ("Some", "warn", None, [1, 1, 2, 3]),
    ("Some", "quarantine", ["some: failed for the rows as a whole"], None),
]


def test_checks_that_are_not_of_single_rows(empty_project: Make) -> None:
    for schema, on_invalid, refused, kept in BARRIERS:
        orders = BARRED.replace(",10", ",-90") if schema == "Some" else BARRED
        project = empty_project(whole(f'schema: "schemas:{schema}", on_invalid: {on_invalid}', orders))
        result = run(project)
        if refused:
            assert messages(result) == [f"dataset out (node out): {text}" for text in refused], (schema, on_invalid)
        else:
            assert result.error is None, (schema, on_invalid)
        assert published(project) == kept, (schema, on_invalid)
        shutil.rmtree(project.path / "data")


def test_expectations_are_of_the_rows_that_are_published(empty_project: Make) -> None:
    expect = 'expect: {unique: [id], rows: "1..2"}'
    project = empty_project(whole(f'schema: "schemas:UniqueOrder", on_invalid: quarantine, {expect}', BARRED))
    assert run(project).error is None
    assert published(project) == [2, 3]

    project.write({"conf/catalog.yml": project_catalog(project).replace("[id]", "[idd]").replace("1..2", "5")})
    assert messages(run(project)) == [
        'dataset out (node out): expect: unknown column "idd"; did you mean "id"? known: amount, day, id'
    ]
    assert published(project) == [2, 3]


def project_catalog(project: ProjectFolder) -> str:
    text: str = (project.path / "conf/catalog.yml").read_text()
    return text


def test_no_row_over_rows(empty_project: Make) -> None:
    project = empty_project(whole("mode: overwrite", BAD))
    assert run(project).error is None
    none = "return orders.filter(pl.col('id') < 0)"
    project.write(whole("mode: overwrite", BAD, body=none))
    assert messages(run(project)) == [
        "dataset out (node out): no row would replace the rows that are there; set `allow_empty: true` if that is right"
    ]
    assert published(project) == [1, 2, 3, 4]
    project.write(whole("mode: overwrite, allow_empty: true", BAD, body=none))
    assert run(project).error is None
    assert published(project) == []


def contract(settings: str, orders: str = BAD) -> dict[str, str]:
    """Two inputs of the same file under contracts, read lazily and eagerly; the node leaves a mark beside its code."""
    return whole("mode: overwrite", orders) | {
        "conf/catalog.yml": f"""
            orders: {{store: here, path: orders.csv, options: {{try_parse_dates: true}}, {settings}}}
            more: {{store: here, path: orders.csv, options: {{try_parse_dates: true}}, {settings}}}
            out: {{store: here, path: out.parquet}}
            """,
        "pipelines/job.py": """
            from pathlib import Path

            import polars as pl


            def out(orders: pl.LazyFrame, more: pl.DataFrame) -> pl.LazyFrame:
                Path(__file__).with_name("started").touch()
                return orders.filter(pl.col("id").is_in(more["id"].implode()))
            """,
    }


def test_contracts_of_columns_are_told_before_anything_runs(empty_project: Make) -> None:
    project = empty_project(contract('schema: "schemas:Order"'))
    project.write({"data/orders.csv": "idd,day,amount\n1,yesterday,1\n"})
    done = project.flowpipe("run")
    assert done.code == 3
    assert done.err == "".join(
        f"error: input {name}: {problem}\n  hint: mend the data, or the schema in the catalog\n"
        for name in ("orders", "more")
        for problem in ('id: expected Int64, it is missing; did you mean "idd"?', "day: expected Date, actual String")
    )
    assert not (project.path / "pipelines/started").exists()


def test_contracts_of_rows(empty_project: Make) -> None:
    project = empty_project(contract('schema: "schemas:UniqueOrder"', BAD + "1,2024-01-09,3\n"))
    result = run(project)
    assert messages(result) == [
        f"input {name}: {problem}"
        for name in ("orders", "more")
        for problem in (f"{BELOW}: 2 of 5 rows", "unique(id): 2 of 5 rows")
    ]

    project.write(contract('schema: "schemas:UniqueOrder", on_invalid: warn'))
    assert run(project).error is None
    assert (project.path / "pipelines/started").exists()
    assert published(project) == [1, 2, 3, 4]

    project.write(contract('schema: "schemas:UniqueOrder", on_invalid: quarantine', BAD + "1,2024-01-09,3\n"))
    records: list[Record] = []
    assert run(project, records=records).error is None
    assert published(project) == [4]
    for name in ("orders", "more"):
        bad = pl.read_parquet(project.path / f"data/{name}__rejected/all.parquet").sort("row")
        assert bad["checks"].to_list() == ["unique(id)", "unique(id)", BELOW, BELOW]

    project.write({"data/orders.csv": HEAD + "1,2024-01-05,10\n"})
    assert run(project).error is None
    assert published(project) == [1]
    assert pl.read_parquet(project.path / "data/orders__rejected/all.parquet").is_empty()
