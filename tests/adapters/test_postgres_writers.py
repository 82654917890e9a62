"""PostgreSQL: writers that race or die, readers meanwhile, and what one transaction holds: statements, swaps, keys."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from postgres_schema import WAITING, PostgresStore, blocked, fresh, table, until

from flowpipe.adapters import Dataset, Held
from flowpipe.errors import DataError, PublishError
from flowpipe.testing.servers import PostgresServer
from flowpipe.testing.suite import MONTHLY, month, rows


@pytest.fixture
def store(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
    with fresh(postgres_server.dsn, tmp_path) as made:
        yield made


PUBLISHING = """
import pickle, sys
from pathlib import Path
from flowpipe.adapters.postgres import Options, Postgres
from flowpipe.errors import PublishError
dsn, schema, name = sys.argv[1:]
adapter = Postgres(Options(dsn=dsn, schema=schema), Path("."))
publications = pickle.loads(Path(name).read_bytes())
print("ready", flush=True)
input()
try:
    for publication in publications:
        adapter.publish(publication)
except PublishError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def race(store: PostgresStore, *publications: Any, meanwhile: Callable[[], Any] = int) -> list[tuple[int, str]]:
    """Publish in one process for each, all begun at once; exit codes and what they said, sorted."""
    running = []
    for number, each in enumerate(publications):
        path = store.folder / f"publications-{number}"
        path.write_bytes(pickle.dumps(each))
        command = [sys.executable, "-c", PUBLISHING, store.dsn, store.schema, str(path)]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    meanwhile()
    return sorted((process.wait(60), process.communicate()[0]) for process in running)


def test_two_processes_append_the_same_slice_to_a_table_that_is_not_there_yet(store: PostgresStore) -> None:
    dataset = table(mode="append", **MONTHLY)
    both = [[store.stage(dataset, rows("2013-01", *range(1000)), month("2013-01"), run=run)] for run in ("a", "b")]
    with store.connect() as other:
        key = f"""hashtextextended('flowpipe "{store.schema}"."delays"', 0)"""
        other.execute(f"SELECT pg_advisory_lock({key})")
        (won, _), (lost, said) = race(
            store, *both, meanwhile=lambda: until(lambda: len(store.sql(WAITING)[0]) == 2) and other.close()
        )
    assert (won, lost) == (0, 4)
    assert "delays (2013-01) was already appended by run " in said
    assert len(store.ids(dataset)) == 1000


def test_a_process_that_is_killed_leaves_nothing_and_holds_up_nobody(store: PostgresStore) -> None:
    store.publish(table(), rows("2013-01", 1))
    again = store.stage(table(), rows("2013-01", 2), fingerprint="f2", run="run2")
    path = store.folder / "publications"
    path.write_bytes(pickle.dumps([again]))
    command = [sys.executable, "-c", PUBLISHING, store.dsn, store.schema, str(path)]
    with store.connect() as other, other.transaction():
        other.execute("LOCK TABLE delays IN ROW EXCLUSIVE MODE")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            until(lambda: store.sql(WAITING)[0])
            process.kill()
        until(lambda: not store.sql(WAITING)[0])
    assert store.ids(table()) == [1]
    store.adapter.publish(again)
    assert store.ids(table()) == [2]
    assert store.held(table()) == Held(again.state)


def test_a_reader_sees_old_or_new_while_two_processes_publish(store: PostgresStore) -> None:
    dataset = table()
    store.publish(dataset, rows("2013-01", *[0] * 500))
    streams = [
        [
            store.stage(dataset, rows("2013-01", *[n] * 500), fingerprint=f"f{n}", run=f"r{n}")
            for n in range(first, first + 25)
        ]
        for first in (1, 1000)
    ]
    done, seen = threading.Event(), set()

    def watch() -> int:
        looks = 0
        while not done.is_set():
            seen.add(tuple(store.sql("SELECT count(*), count(DISTINCT id) FROM delays")[0]))
            ids = store.ids(dataset)
            seen.add((len(ids), len(set(ids))))
            looks += 1
        return looks

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        assert [code for code, _ in race(store, *streams)] == [0, 0]
        done.set()
        assert watching.result() > 5
    assert seen == {((500, 1),), (500, 1)}
    assert store.held(dataset).changed is None


def test_what_runs_after_the_rows_is_part_of_the_publish(store: PostgresStore) -> None:
    dataset = table(
        after_publish=[
            "INSERT INTO log SELECT count(*) FROM delays",
            "UPDATE delays SET id = id + 1",
            "SELECT count(*) FROM log",
        ]
    )
    store.sql("CREATE TABLE log (n bigint)")
    published = store.publish(dataset, rows("2013-01", 1, 2))
    assert store.ids(dataset) == [2, 3]
    assert store.held(dataset) == Held(published.state)
    store.adapter.publish(published)
    assert store.sql("SELECT n FROM log")[0] == [(2,)]


def test_what_a_statement_sets_ends_with_it(store: PostgresStore) -> None:
    other = f"{store.schema}_other"
    store.sql(f"CREATE SCHEMA {other}", "CREATE TABLE log (setting text)")
    log = f"INSERT INTO {store.schema}.log SELECT current_setting('lock_timeout')"
    dataset = table(after_publish=[log, "SET lock_timeout = '1ms'", f"SET search_path = {other}"])
    for number in (1, 2):
        published = store.publish(dataset, rows("2013-01", number), fingerprint=f"f{number}", run=f"run{number}")
        assert store.held(dataset) == Held(published.state)
    assert store.sql("SELECT setting FROM log")[0] == [("0",), ("0",)]
    assert store.one(f"SELECT count(*) FROM pg_class WHERE relnamespace = '{other}'::regnamespace") == 0
    store.sql(f"DROP SCHEMA {other}")


@pytest.mark.parametrize("statement", ["INSERT INTO delays\n  SELECT 1 / 0, NULL", "SELECT nothing()"])
def test_a_statement_that_fails_after_the_rows_undoes_all(store: PostgresStore, statement: str) -> None:
    with pytest.raises(PublishError) as caught:
        store.publish(table(after_publish=["SELECT 1", statement]), rows("2013-01", 1))
    shown = " ".join(statement.split())
    reason = "division by zero" if "/" in shown else "function nothing() does not exist"
    assert str(caught.value) == (
        f"dataset delays: statement 2 of after_publish failed, nothing was published: {reason}\n  hint: mend `{shown}`"
    )
    assert (
        store.sql("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema::regnamespace")[0]
        == []
    )


def test_rows_of_other_tables_are_not_deleted(store: PostgresStore) -> None:
    store.publish(table(), rows("2013-01", 1))
    store.sql(
        "ALTER TABLE delays ADD PRIMARY KEY (id)",
        "CREATE TABLE children (id bigint CONSTRAINT of_delays REFERENCES delays ON DELETE CASCADE)",
        "INSERT INTO children VALUES (1)",
    )
    with pytest.raises(PublishError) as caught:
        store.publish(table(), rows("2013-01", 2), fingerprint="f2", run="run2")
    assert str(caught.value) == (
        "overwriting table delays would change rows of table children, by its foreign key of_delays\n"
        "  hint: use `mode: merge`, which updates in place, or a foreign key without CASCADE and SET"
    )
    store.sql("ALTER TABLE children DROP CONSTRAINT of_delays, ADD CONSTRAINT x FOREIGN KEY (id) REFERENCES delays")
    with pytest.raises(DataError) as refused:
        store.publish(table(), rows("2013-01", 2), fingerprint="f2", run="run2")
    assert (
        str(refused.value)
        .partition(": ")[2]
        .startswith('update or delete on table "delays" violates foreign key constraint "x" on table "children"')
    )
    assert store.ids(table()) == [1]


def test_a_swapped_table_is_the_same_to_everybody(store: PostgresStore) -> None:
    owner, reader = (f"{name}_{store.schema}" for name in ("owner", "reader"))
    store.sql(
        f"CREATE ROLE {owner}",
        f"CREATE ROLE {reader}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {store.schema} GRANT DELETE ON TABLES TO {reader}",
        """CREATE TABLE delays (number bigserial CONSTRAINT odd PRIMARY KEY, id bigint NOT NULL DEFAULT 7, day date,
        CONSTRAINT positive CHECK (id > 0), UNIQUE (id, day), twice bigint GENERATED ALWAYS AS (id * 2) STORED)""",
        'CREATE INDEX "An index" ON delays (day) WHERE id > 1',
        'CREATE INDEX "Another" ON delays (day) WHERE id > 1',
        f"REVOKE DELETE ON delays FROM {reader}",
        f"GRANT SELECT ON delays TO {reader}, PUBLIC",
        f"GRANT UPDATE (day) ON delays TO {reader} WITH GRANT OPTION",
        "COMMENT ON TABLE delays IS 'late, it''s'",
        f"ALTER TABLE delays OWNER TO {owner}",
        "INSERT INTO delays (id, day) VALUES (1, '2012-01-01')",
    )
    facts = (
        "SELECT relacl, relowner::regrole::text, obj_description(oid) FROM pg_class WHERE oid = 'delays'::regclass",
        """SELECT attname, attacl, attnotnull, format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = 'delays'::regclass AND attnum > 0 ORDER BY attnum""",
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'delays' ORDER BY 1",
        "SELECT conname FROM pg_constraint WHERE conrelid = 'delays'::regclass ORDER BY 1",
        "SELECT pg_get_serial_sequence('delays', 'number')",
    )
    before, was = store.sql(*facts), store.one("SELECT 'delays'::regclass::oid")
    published = store.publish(table(swap=True), rows("2013-01", 1, 2), fingerprint="f2", run="run2")
    assert store.sql(*facts) == before
    assert store.one("SELECT 'delays'::regclass::oid") != was
    assert store.sql("SELECT * FROM delays ORDER BY id")[0] == [
        (2, 1, rows("2013-01", 1)["day"][0], 2), (3, 2, rows("2013-01", 1)["day"][0], 4),
    ]  # fmt: skip
    assert store.held(table(swap=True)) == Held(published.state)
    store.sql("DROP TABLE delays", f"DROP OWNED BY {owner}, {reader}", f"DROP ROLE {owner}, {reader}")


@pytest.mark.parametrize(
    ("statements", "lost"),
    [
        (["CREATE VIEW seen AS SELECT * FROM delays"], "view seen"),
        (
            ["ALTER TABLE delays ADD UNIQUE (id)", "CREATE TABLE y (id bigint CONSTRAINT x REFERENCES delays (id))"],
            "foreign key x",
        ),
        (
            ["CREATE TRIGGER t BEFORE UPDATE ON delays EXECUTE FUNCTION suppress_redundant_updates_trigger()"],
            "trigger t",
        ),
        (["CREATE POLICY p ON delays"], "policy p"),
        (["CREATE RULE r AS ON INSERT TO delays DO ALSO NOTHING"], "rule r"),
        (["ALTER TABLE delays SET (fillfactor = 70)"], "its storage parameters"),
        (["CREATE TABLE part () INHERITS (delays)"], "its parts or parents"),
    ],
)
def test_what_a_swap_would_lose_forbids_it(store: PostgresStore, statements: list[str], lost: str) -> None:
    store.publish(table(swap=True), rows("2013-01", 1))
    store.sql(*statements)
    with pytest.raises(PublishError) as caught:
        store.publish(table(swap=True), rows("2013-01", 2), fingerprint="f2", run="run2")
    assert str(caught.value) == (
        f"table delays cannot be swapped: a new one would be without {lost}\n  hint: leave out `swap: true`"
    )
    assert store.ids(table()) == [1]


def test_only_this_dataset_s_publishes_wait(store: PostgresStore) -> None:
    """A table that somebody writes to holds up nothing but its own publish."""
    store.publish(table(), rows("2013-01", 1))
    other: Dataset = table("other")
    staged = store.stage(table(), rows("2013-01", 2), fingerprint="f2", run="run2")
    with blocked(store, lambda: store.adapter.publish(staged)):
        store.publish(other, pl.DataFrame({"id": [1]}))
        assert store.ids(other) == [1]
        assert store.ids(table()) == [1]
    assert store.ids(table()) == [2]
