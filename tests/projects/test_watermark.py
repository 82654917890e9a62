"""Only the rows above a watermark are read, each once, whatever was killed, forced or changed between."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import polars as pl
import psycopg
import pytest

from flowpipe.testing.servers import PostgresServer
from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]

FILES = {
    "conf/project.yml": "name: small\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
          source: {adapter: duckdb, database: data/source.duckdb}
          base: {adapter: duckdb, database: data/base.duckdb}
        """,
    "conf/catalog.yml": """
        orders: {store: source, table: orders}
        asked:  {store: source, query: "SELECT * FROM orders WHERE amount > 0"}
        landed: {store: here, path: orders.csv, options: {try_parse_dates: true}}
        logged: {store: lake, table: logged, mode: append}
        latest: {store: base, table: latest, mode: merge, key: [id]}
        """,
    "conf/pipelines/load.yml": "modules: [load]\nwrites: {rows: logged, newest: latest}\n"
    "reads: {orders: {watermark: at}}\n",
    "pipelines/load.py": """
        import polars as pl


        def rows(orders: pl.LazyFrame) -> pl.LazyFrame:
            return orders


        def newest(orders: pl.LazyFrame) -> pl.LazyFrame:
            return orders.group_by("id").agg(pl.all().sort_by("at").last())
        """,
}
FIRST = "(1, TIMESTAMP '2024-01-01 10:00', 5), (2, TIMESTAMP '2024-01-02 10:00', 6)"


def sql(project: ProjectFolder, database: str, *statements: str) -> list[tuple[object, ...]]:
    (project.path / "data").mkdir(exist_ok=True)
    with duckdb.connect(str(project.path / f"data/{database}.duckdb")) as connection:
        for statement in statements[:-1]:
            connection.execute(statement)
        return connection.execute(statements[-1]).fetchall()


@pytest.fixture
def project(empty_project: Make) -> ProjectFolder:
    made = empty_project(FILES)
    table = 'CREATE TABLE orders (id BIGINT, "at" TIMESTAMP, amount BIGINT)'
    sql(made, "source", table, f"INSERT INTO orders VALUES {FIRST}")
    return made


def logged(project: ProjectFolder) -> list[tuple[int, int]]:
    return sorted(pl.read_delta(str(project.path / "data/lake/logged")).select("id", "amount").rows())


def latest(project: ProjectFolder) -> list[tuple[object, ...]]:
    return sql(project, "base", "SELECT id, amount FROM latest ORDER BY id")


def run(project: ProjectFolder, *arguments: str) -> str:
    done = project.flowpipe("run", *arguments)
    assert done.code == 0, done.err
    return done.out


def test_only_new_rows_are_loaded_and_each_once(project: ProjectFolder) -> None:
    run(project)
    assert logged(project) == [(1, 5), (2, 6)]
    assert "up to date" in run(project)
    sql(project, "source", "INSERT INTO orders VALUES (1, '2024-01-03 10:00', 7), (3, '2024-01-01 00:00', 9)")
    plan = project.flowpipe("plan").out
    assert "orders: version datetime 2024-01-02T10:00:00 -> datetime 2024-01-03T10:00:00" in plan
    assert "logged 1 row, latest 1 row" in run(project)
    # The third order is older than what was loaded: a watermark is a promise that there is none.
    assert logged(project) == [(1, 5), (1, 7), (2, 6)]
    assert latest(project) == [(1, 7), (2, 6)]


def test_force_loads_a_merge_again_and_never_doubles_an_append(project: ProjectFolder) -> None:
    run(project)
    sql(project, "source", "INSERT INTO orders VALUES (3, '2024-01-01 00:00', 9)")
    run(project, "--force")
    assert logged(project) == [(1, 5), (2, 6)]
    assert latest(project) == [(1, 5), (2, 6), (3, 9)]


def test_changed_code_loads_nothing_again(project: ProjectFolder) -> None:
    run(project)
    module = project.path / "pipelines/load.py"
    module.write_text(module.read_text().replace("return orders\n", "return orders.with_columns(x=1).drop('x')\n"))
    assert "latest 0 rows" in run(project)
    assert "up to date" in run(project)
    assert (logged(project), latest(project)) == ([(1, 5), (2, 6)], [(1, 5), (2, 6)])


def test_of_a_query_and_of_files(project: ProjectFolder) -> None:
    project.write({"data/orders.csv": "id,at,amount\n1,2024-01-01 10:00:00,5\n"})
    pipeline = "modules: [load]\nwrites: {rows: logged}\nreads: {orders: {dataset: landed, watermark: at}}\n"
    project.write({"conf/pipelines/load.yml": pipeline})
    assert "logged 1 row" in run(project)
    project.write({"data/orders.csv": "id,at,amount\n1,2024-01-01 10:00:00,5\n8,2024-01-02 10:00:00,6\n"})
    assert "logged 1 row" in run(project)
    assert logged(project) == [(1, 5), (8, 6)]
    project.write({"conf/pipelines/load.yml": pipeline.replace("landed", "asked").replace("logged", "latest")})
    assert "latest 2 rows" in run(project)
    sql(project, "source", "INSERT INTO orders VALUES (9, '2024-01-05', -1), (9, '2024-01-06', 1)")
    assert "latest 1 row" in run(project)
    assert latest(project) == [(1, 5), (2, 6), (9, 1)]


def test_what_check_refuses(project: ProjectFolder) -> None:
    project.write(
        {
            "conf/catalog.yml": FILES["conf/catalog.yml"]
            .replace("mode: append", "mode: overwrite")
            .replace("mode: merge, key: [id]", 'mode: merge, key: [id], missing: delete, max_deleted: "5%"')
        }
    )
    done = project.flowpipe("check")
    assert done.code == 2
    assert done.err == (
        "error: conf/pipelines/load.yml:2:16: dataset logged: "
        "mode overwrite would leave only the rows above the watermark\n"
        "  hint: use mode append, merge or snapshot\n"
        "error: conf/pipelines/load.yml:2:32: dataset latest: a key that is not among the new rows is not missing\n"
        "  hint: use `missing: keep`, or read without a watermark\n"
    )


def test_a_column_that_is_not_there(project: ProjectFolder) -> None:
    project.write(
        {"conf/pipelines/load.yml": FILES["conf/pipelines/load.yml"].replace("watermark: at", "watermark: att")}
    )
    done = project.flowpipe("run")
    assert (done.code, done.err) == (
        3,
        'error: unknown watermark of orders: column "att"\n  hint: did you mean "at"? known: amount, at, id\n',
    )


def test_of_postgres_by_bound_parameters(project: ProjectFolder, postgres_server: PostgresServer) -> None:
    profile = FILES["conf/profiles/dev.yml"].replace(
        "{adapter: duckdb, database: data/source.duckdb}",
        '{adapter: postgres, dsn: "${env:WAREHOUSE_DSN}", schema: wm}',
    )
    project.write({"conf/profiles/dev.yml": profile})
    server = dict(postgres_server.environment)

    def loaded(*statements: str) -> str:
        with psycopg.connect(postgres_server.dsn) as connection:
            for statement in statements:
                connection.execute(statement)
        done = project.flowpipe("run", **server)
        assert done.code == 0, done.err
        return done.out

    table = "CREATE TABLE wm.orders (id bigint, at timestamptz, amount bigint)"
    first = loaded("DROP SCHEMA IF EXISTS wm CASCADE", "CREATE SCHEMA wm", table)
    assert "logged 0 rows, latest 0 rows" in first
    assert "logged 2 rows" in loaded("INSERT INTO wm.orders VALUES (1, '2024-01-01Z', 5), (2, '2024-01-02Z', 6)")
    assert "up to date" in loaded()
    assert "logged 1 row" in loaded("INSERT INTO wm.orders VALUES (1, '2024-01-02 00:00:00.000001Z', 7), (3, NULL, 1)")
    assert (logged(project), latest(project)) == ([(1, 5), (1, 7), (2, 6)], [(1, 7), (2, 6)])
