"""A store that fails run after run is left alone: through the command, with a real PostgreSQL behind a bad network."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from proxy import Fault, Proxy, proxied

from flowpipe.testing.servers import PostgresServer
from tests.conftest import Finished, ProjectFolder

PASSWORD = "hunter22-sesame"
AWAY = Fault(cut_after=0)
FILES = {
    "conf/project.yml": "name: warehouse\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          warehouse:
            adapter: postgres
            dsn: "${env:WAREHOUSE_DSN}"
            schema: "${env:WAREHOUSE_SCHEMA}"
            breaker: {failures: 2, cool_down: 1h}
        """,
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        copied: {store: here, path: copied.csv}
        doubled: {store: warehouse, table: doubled, mode: replace, partition: {every: month, column: day}}
        """,
    "conf/pipelines/copy.yml": "{modules: [copied], writes: [copied]}\n",
    "conf/pipelines/double.yml": """
        modules: [double]
        writes: [doubled]
        partitions: {every: month, start: 2024-01, end: 2024-03}
        """,
    "pipelines/copied.py": """
        import polars as pl


        def copied(numbers: pl.LazyFrame) -> pl.LazyFrame:
            return numbers
        """,
    "pipelines/double.py": """
        from datetime import date

        import polars as pl


        def doubled(numbers: pl.LazyFrame, partition: date) -> pl.LazyFrame:
            return numbers.select(pl.col("n") * 2, day=pl.lit(partition))
        """,
    "data/numbers.csv": "n\n1\n2\n3\n",
}


@dataclass(frozen=True)
class Warehouse:
    """A project, and the network between it and the server of its store."""

    project: ProjectFolder
    network: Proxy
    schema: str
    admin: str

    def flowpipe(self, *arguments: str) -> Finished:
        dsn = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.network.port}/postgres"
        return self.project.flowpipe(*arguments, WAREHOUSE_DSN=dsn, WAREHOUSE_SCHEMA=self.schema)

    def sql(self, statement: str) -> list[Any]:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f"SET search_path = {self.schema}")
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def breaker(self) -> dict[str, Any]:
        """What the command says of the store."""
        told = self.flowpipe("breaker", "--json")
        assert (told.code, told.err) == (0, "")
        (found,) = json.loads(told.out)
        return dict(found)

    def state(self) -> tuple[str, int]:
        found = self.breaker()
        return found["state"], (found["failures"] or {"count": 0})["count"]


@pytest.fixture
def warehouse(
    empty_project: Callable[[dict[str, str]], ProjectFolder], postgres_server: PostgresServer
) -> Iterator[Warehouse]:
    folder = re.search(r"host=([^&]+)", postgres_server.dsn)
    assert folder
    with proxied(f"{folder[1]}/.s.PGSQL.5432", Fault()) as network:
        made = Warehouse(empty_project(FILES), network, f"b{uuid.uuid4().hex[:12]}", postgres_server.dsn)
        made.sql(f"CREATE SCHEMA {made.schema}")
        yield made
        made.sql(f"DROP SCHEMA {made.schema} CASCADE")


def test_a_store_that_is_away_is_left_alone_until_its_cool_down_has_passed(warehouse: Warehouse) -> None:
    network = warehouse.network
    network.fault = AWAY
    for failures, state in ((1, "closed"), (2, "open")):
        failed = warehouse.flowpipe("run", "double")
        assert (failed.code, failed.err.splitlines()[-1].strip()) == (
            1,
            "hint: does the server run, and are the store's host, port, user and password right?",
        )
        assert warehouse.state() == (state, failures)
    said = failed.err.splitlines()[0].removeprefix("error: conf/profiles/dev.yml:3:3: ")
    assert said.startswith("database postgres on 127.0.0.1: connection failed: "), said

    met = network.met
    began = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    for command in ("run", "plan"):
        alone = warehouse.flowpipe(command, "double")
        assert alone.code == 1
        assert re.fullmatch(
            rf'error: conf/profiles/dev.yml:3:3: store "warehouse" failed 2 times in a row, the last time at {began}: '
            rf"{re.escape(said)}\n"
            rf"  hint: it is tried again from ({began}|\d\d:\d\d) on; mend it and run "
            r"`flowpipe breaker reset warehouse` to try at once\n",
            alone.err,
        ), alone.err
    assert network.met == met, "the store was asked all the same"
    assert warehouse.state() == ("open", 2), "to be left alone is no failure"
    (step,) = json.loads(warehouse.flowpipe("runs", "--json", "-n", "1").out)
    assert step["outcome"] == "failed"
    assert warehouse.flowpipe("run", "copy").code == 0, "another store is none of its business"
    assert warehouse.flowpipe("check").code == 0

    passed = ("--set", "stores.warehouse.breaker.cool_down=1ms")
    again = warehouse.flowpipe("run", "double", *passed)
    assert (again.code, again.err.splitlines()[0]) == (1, f"error: conf/profiles/dev.yml:3:3: {said}")
    assert network.met > met
    assert warehouse.state() == ("open", 3)

    network.fault = Fault()
    assert warehouse.flowpipe("run", "double").code == 1, "the cool-down began anew"
    assert warehouse.flowpipe("plan", "double", *passed).code == 0
    assert warehouse.state() == ("open", 3), "a plan is no run"
    done = warehouse.flowpipe("run", "double", *passed)
    assert (done.code, done.err) == (0, "")
    assert warehouse.sql("SELECT count(*), sum(n) FROM doubled") == [(9, 36)]
    assert warehouse.breaker() == {
        "store": "warehouse",
        "state": "closed",
        "failures": None,
        "limit": 2,
        "until": None,
    }
    assert list((warehouse.project.path / ".flowpipe/dev/breakers").iterdir()) == []


def test_a_breaker_is_listed_and_reset(warehouse: Warehouse) -> None:
    warehouse.network.fault = AWAY
    closed = "STORE      STATE   FAILURES  LAST  ERROR\nwarehouse  closed  0 of 2\n"
    assert warehouse.flowpipe("breaker").out == closed
    for _ in range(2):
        assert warehouse.flowpipe("run", "double").code == 1
    head, row = warehouse.flowpipe("breaker").out.splitlines()
    assert head.split() == ["STORE", "STATE", "FAILURES", "LAST", "ERROR"]
    found = re.split(r"  +", row)
    assert found[0] == "warehouse"
    assert re.fullmatch(r"open until (\d{4}-\d\d-\d\d )?\d\d:\d\d", found[1])
    assert (found[2], found[4][:30]) == ("2 of 2", "database postgres on 127.0.0.1")
    assert PASSWORD not in row
    kept = [path for path in warehouse.project.path.rglob("*") if path.is_file()]
    assert any(path.name == "warehouse.json" for path in kept)
    assert [path for path in kept if PASSWORD.encode() in path.read_bytes()] == []

    assert warehouse.flowpipe("breaker", "reset", "warehouse").out == closed
    warehouse.network.fault = Fault()
    assert warehouse.flowpipe("run", "double").code == 0
    assert warehouse.flowpipe("breaker", "reset").out == closed, "there is nothing to forget"


def test_what_the_breaker_command_refuses(warehouse: Warehouse) -> None:
    wrong = warehouse.flowpipe("breaker", "reset", "warehuose")
    assert (wrong.code, wrong.err) == (
        2,
        'error: unknown store "warehuose"\n  hint: did you mean "warehouse"? known: here, warehouse\n',
    )
    none = warehouse.flowpipe("breaker", "reset", "here")
    assert (none.code, none.err) == (
        2,
        (
            'error: conf/profiles/dev.yml:2:3: store "here" has no breaker\n'
            "  hint: give it one: `breaker: {failures: 5, cool_down: 10m}`\n"
        ),
    )
    warehouse.project.write({"conf/profiles/calm.yml": "extends: dev\nstores: {warehouse: {breaker: null}}\n"})
    told = warehouse.flowpipe("breaker", "--profile", "calm")
    assert (told.code, told.out) == (0, "no store of profile calm has a `breaker:`\n")


def test_a_run_fails_once_however_often_the_store_refuses_in_it(warehouse: Warehouse) -> None:
    assert warehouse.flowpipe("run", "double").code == 0
    warehouse.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not today'; END$$")
    warehouse.sql("CREATE TRIGGER refuse BEFORE INSERT ON doubled EXECUTE FUNCTION refuse()")
    refused = warehouse.flowpipe("run", "double", "--force")
    assert (refused.code, "not today" in refused.err) == (4, True)
    assert refused.out.count("failed") > 2, "several steps were refused"
    assert warehouse.state() == ("closed", 1)
    assert "not today" in warehouse.breaker()["failures"]["error"]
    # What was decided is published first by the next run, or refused again.
    assert warehouse.flowpipe("run", "double").code == 4
    assert warehouse.state() == ("open", 2)
    alone = warehouse.flowpipe("run")
    assert (alone.code, alone.err.count('store "warehouse" failed 2 times in a row')) == (1, 1)
    warehouse.sql("DROP TRIGGER refuse ON doubled")
    assert warehouse.flowpipe("breaker", "reset").code == 0
    assert warehouse.flowpipe("run").code == 0


def test_what_is_not_the_store_s_fault_is_no_failure_of_it(warehouse: Warehouse) -> None:
    strict = ("--set", "stores.warehouse.breaker.failures=1")
    node = FILES["pipelines/double.py"]
    warehouse.project.write({"pipelines/double.py": node.replace("return ", "return 1 / 0 or ")})
    assert warehouse.flowpipe("run", "double", *strict).code == 1
    warehouse.project.write({"pipelines/double.py": node})
    warehouse.sql("CREATE TABLE doubled (n bigint CHECK (n < 3), day date)")
    wrong = warehouse.flowpipe("run", "double", *strict)
    assert (wrong.code, "violates check constraint" in wrong.err) == (3, True)
    warehouse.project.write(
        {
            "conf/catalog.yml": FILES["conf/catalog.yml"].rstrip()
            + "\n        numbers2: {store: warehouse, table: numbers}\n",
            "pipelines/double.py": node.replace("numbers", "numbers2"),
        }
    )
    missing = warehouse.flowpipe("run", "double", *strict)
    assert (missing.code, "input numbers2 is not there" in missing.err) == (2, True)
    assert warehouse.state() == ("closed", 0)


def test_the_settings_are_checked(warehouse: Warehouse) -> None:
    wrong = warehouse.flowpipe(
        "check",
        "--set", "stores.warehouse.breaker.failures=0",
        "--set", "stores.warehouse.breaker.cool_down=soon",
        "--set", "stores.warehouse.breaker.cooldown=1m",
    )  # fmt: skip
    assert wrong.code == 2
    assert '"soon" is not a duration' in wrong.err
    assert 'unknown key "cooldown"\n  hint: did you mean "cool_down"? known: cool_down, failures\n' in wrong.err
    assert "stores.warehouse.breaker.failures=0: " in wrong.err
