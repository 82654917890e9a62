"""PostgreSQL through the command: modes, skips, constraints, and a password that is nowhere to be found."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from flowpipe.testing.servers import PostgresServer
from tests.conftest import Finished, ProjectFolder

PASSWORD = "hunter22-sesame"
FILES = {
    "conf/project.yml": "name: warehouse\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          warehouse: {adapter: postgres, dsn: "${env:WAREHOUSE_DSN}", schema: "${env:WAREHOUSE_SCHEMA}"}
        """,
    "conf/catalog.yml": """
        flights: {store: here, path: "in/{partition:%Y-%m}.csv", partition: {every: month},
                  options: {try_parse_dates: true}}
        delays: {store: warehouse, table: delays, mode: replace, partition: {every: month, column: day}}
        carriers: {store: warehouse, table: carriers, mode: merge, key: [carrier], order_by: day,
                   after_publish: "UPDATE carriers SET seen = seen + 1"}
        totals: {store: warehouse, table: totals, swap: true}
        late:
          store: warehouse
          partition: {every: month}
          query: |
            SELECT carrier, sum(minutes)::bigint AS minutes FROM delays
            WHERE day >= $start AND day < $end GROUP BY 1
        worst: {store: warehouse, table: worst, mode: append, partition: {every: month, column: month}}
        """,
    "conf/pipelines/delays.yml": """
        modules: [delays]
        writes: [delays, carriers]
        partitions: {every: month, start: 2013-01, end: 2013-02}
        """,
    "conf/pipelines/totals.yml": "{modules: [totals], writes: [totals]}\n",
    "conf/pipelines/worst.yml": """
        modules: [worst]
        writes: [worst]
        partitions: {every: month, start: 2013-01, end: 2013-02}
        """,
    "pipelines/delays.py": """
        import polars as pl


        def delays(flights: pl.LazyFrame) -> pl.LazyFrame:
            return flights.filter(pl.col("minutes") > 0)


        def carriers(flights: pl.LazyFrame) -> pl.LazyFrame:
            return flights.group_by("carrier").agg(pl.col("day").max())
        """,
    "pipelines/totals.py": """
        import polars as pl


        def totals(delays: pl.LazyFrame) -> pl.LazyFrame:
            return delays.select(pl.len().cast(pl.Int64).alias("rows"), pl.col("minutes").sum())
        """,
    "pipelines/worst.py": """
        from datetime import date

        import polars as pl


        def worst(late: pl.LazyFrame, partition: date) -> pl.LazyFrame:
            return late.top_k(1, by="minutes").with_columns(month=pl.lit(partition))
        """,
    "data/in/2013-01.csv": "carrier,day,minutes\nUA,2013-01-05,7\nAA,2013-01-06,0\nAA,2013-01-07,3\n",
    "data/in/2013-02.csv": "carrier,day,minutes\nUA,2013-02-05,1\nB6,2013-02-06,9\n",
}


@dataclass(frozen=True)
class Warehouse:
    """A project, and the schema of its own that it writes to, as a user with a password."""

    project: ProjectFolder
    dsn: str
    schema: str
    admin: str

    def flowpipe(self, *arguments: str) -> Finished:
        return self.project.flowpipe(*arguments, WAREHOUSE_DSN=self.dsn, WAREHOUSE_SCHEMA=self.schema)

    def sql(self, statement: str) -> list[Any]:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f"SET search_path = {self.schema}")
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def warehouse(
    empty_project: Callable[[dict[str, str]], ProjectFolder], postgres_server: PostgresServer
) -> Iterator[Warehouse]:
    name = f"p{uuid.uuid4().hex[:12]}"
    dsn = postgres_server.dsn.replace("//postgres:@", f"//{name}:{PASSWORD}@")
    made = Warehouse(empty_project(FILES), dsn, name, postgres_server.dsn)
    made.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    made.sql(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
    made.sql(f"CREATE TABLE {name}.carriers (carrier text PRIMARY KEY, day date NOT NULL, seen int DEFAULT 0)")
    made.sql(f"ALTER TABLE {name}.carriers OWNER TO {name}")
    yield made
    made.sql(f"DROP OWNED BY {name} CASCADE")
    made.sql(f"DROP ROLE {name}")


def test_modes_skips_and_queries(warehouse: Warehouse) -> None:
    for pipeline in ("delays", "totals", "worst"):
        done = warehouse.flowpipe("run", pipeline)
        assert done.code == 0, done.out + done.err
    assert warehouse.sql("SELECT carrier, minutes FROM delays ORDER BY day") == [
        ("UA", 7), ("AA", 3), ("UA", 1), ("B6", 9),
    ]  # fmt: skip
    assert [row[0] for row in warehouse.sql("SELECT carrier FROM carriers ORDER BY 1")] == ["AA", "B6", "UA"]
    assert warehouse.sql("SELECT seen FROM carriers ORDER BY carrier") == [(2,), (1,), (2,)]
    assert warehouse.sql("SELECT * FROM totals") == [(4, 20)]
    assert warehouse.sql("SELECT carrier, minutes FROM worst ORDER BY month") == [("UA", 7), ("B6", 9)]
    before = warehouse.sql("SELECT dataset, slice, run FROM _flowpipe_state ORDER BY 1, 2")
    again = warehouse.flowpipe("run", "delays")
    assert again.code == 0, again.out + again.err
    assert warehouse.flowpipe("run", "totals").code == 0
    assert warehouse.sql("SELECT dataset, slice, run FROM _flowpipe_state ORDER BY 1, 2") == before
    warehouse.project.write({"data/in/2013-02.csv": "carrier,day,minutes\nB6,2013-02-06,2\n"})
    assert warehouse.flowpipe("run", "delays").code == 0
    assert warehouse.flowpipe("run", "totals").code == 0
    assert warehouse.sql("SELECT * FROM totals") == [(3, 12)]
    after = warehouse.sql("SELECT dataset, slice, run FROM _flowpipe_state ORDER BY 1, 2")
    changed = [(dataset, part) for dataset, part, run in after if (dataset, part, run) not in before]
    assert changed == [("carriers", "2013-02"), ("delays", "2013-02"), ("totals", "*")]


def test_a_change_by_somebody_else_is_put_right(warehouse: Warehouse) -> None:
    assert warehouse.flowpipe("run", "delays").code == 0
    warehouse.sql("UPDATE delays SET minutes = 99 WHERE carrier = 'B6'")
    plan = warehouse.flowpipe("plan", "delays")
    assert "the table was changed by somebody else" in plan.out, plan.out
    assert warehouse.flowpipe("run", "delays").code == 0
    assert warehouse.sql("SELECT minutes FROM delays WHERE carrier = 'B6'") == [(9,)]


def test_what_the_table_s_constraints_refuse_is_a_data_error(warehouse: Warehouse) -> None:
    warehouse.sql("ALTER TABLE carriers ADD CONSTRAINT known CHECK (carrier <> 'B6')")
    refused = warehouse.flowpipe("run", "delays")
    assert refused.code == 3
    assert 'new row for relation "carriers" violates check constraint "known"' in refused.err
    warehouse.sql("ALTER TABLE carriers DROP CONSTRAINT known")
    assert warehouse.flowpipe("run", "delays").code == 0
    assert len(warehouse.sql("SELECT * FROM carriers")) == 3


def test_the_password_is_nowhere(warehouse: Warehouse) -> None:
    outs = [warehouse.flowpipe(*words) for words in (("check",), ("plan",), ("run", "delays"), ("status",))]
    warehouse.sql("DROP TABLE delays")
    warehouse.sql("CREATE VIEW delays AS SELECT 1 AS carrier")
    outs.append(warehouse.flowpipe("run", "delays", "--debug"))
    wrong = warehouse.project.flowpipe(
        "run", "delays", WAREHOUSE_DSN=f"postgresql://me:{PASSWORD}@127.0.0.1:1/w", WAREHOUSE_SCHEMA="w"
    )
    outs.append(wrong)
    malformed = warehouse.project.flowpipe("check", WAREHOUSE_DSN=f"postgres//me:{PASSWORD}", WAREHOUSE_SCHEMA="w")
    outs.append(malformed)
    assert (outs[-3].code, malformed.code) == (1, 2)
    assert "permission denied for view delays" in outs[-3].err
    assert "the dsn is no connection string" in malformed.err
    assert "does the server run" in wrong.err
    for each in outs:
        assert PASSWORD not in each.out + each.err
    files = [path for path in warehouse.project.path.rglob("*") if path.is_file()]
    assert any(".flowpipe" in str(path) for path in files)
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []
