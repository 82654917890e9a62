"""`flowpipe doctor` on projects, stores and servers that are well and that are not: every line, and the exit code."""

from __future__ import annotations

import json
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from filelock import FileLock

from flowpipe import health
from flowpipe.cli import run_command
from flowpipe.config import PipelineConfig
from flowpipe.testing import servers
from tests.conftest import ProjectFolder
from tests.projects.test_lock_and_signals import WAITING, running

LIBRARIES = ("polars", "duckdb", "deltalake", "apache-hamilton", "pandera", "pydantic")
PIPELINE = sorted(PipelineConfig.model_fields)
WRITTEN = "a file was written and removed"


@dataclass
class Doctor:
    """Runs the command in this process; tells its lines without what differs from machine to machine."""

    project: ProjectFolder
    capsys: pytest.CaptureFixture[str]
    code: int = 0

    def lines(self, *arguments: str) -> list[str]:
        self.capsys.readouterr()
        self.code = run_command(["doctor", "-C", str(self.project.path), *arguments], debug=False)
        done = self.capsys.readouterr()
        assert done.err == ""
        return [" ".join(line.split()) for line in masked(done.out).splitlines()]

    def run(self) -> int:
        """Run the project; the exit code."""
        code = run_command(["run", "-C", str(self.project.path)], debug=False)
        self.capsys.readouterr()
        return code

    def failures(self, *arguments: str) -> list[str]:
        """The lines that are not `ok`, with their hints."""
        lines = [line for line in self.lines(*arguments) if not line.startswith("ok ")]
        assert self.code == (1 if any(line.startswith("FAIL ") for line in lines) else 0)
        return [line for line in lines if not re.fullmatch(r"all is well|\d+ checks? failed", line)]


def masked(text: str) -> str:
    text = re.sub(r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\d+(\.\d+)+\b(?! [GM]B)", "VERSION", text)
    return re.sub(r"[\d.]+ [GT]B of [\d.]+ [GT]B free \(\d+%\)", "ROOM", text)


@pytest.fixture
def doctor(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(project, capsys)


def below(folder: Path) -> dict[str, bytes]:
    """All files and their bytes, but for those that SQLite keeps beside a ledger that is read."""
    found = [path for path in folder.rglob("*") if not path.name.endswith(("-shm", "-wal"))]
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in found}


def test_all_is_well(doctor: Doctor) -> None:
    before = below(doctor.project.path)
    assert doctor.lines() == [
        "ok python VERSION",
        "ok flowpipe VERSION",
        f"ok libraries {', '.join(f'{name} VERSION' for name in LIBRARIES)}",
        "ok ledger no run yet",
        "ok clock TIME UTC",
        "ok configuration 1 pipeline, 2 datasets, profile dev",
        f"ok state folder {WRITTEN}",
        "ok lock free",
        "ok unfinished no step waits to be published",
        "ok disk ROOM for .flowpipe, here, lake, base, temporary files",
        "ok here: read data, 1 entry",
        f"ok here: write {WRITTEN}",
        "ok lake: read data/lake is not there yet; the first publish makes it",
        f"ok lake: write {WRITTEN}",
        "ok base: read data/base.duckdb is not there yet; the first publish makes it",
        f"ok base: write {WRITTEN}",
        "ok executor threads, 4 at once on this machine",
        "all is well",
    ]
    assert doctor.code == 0
    assert below(doctor.project.path) == before


def test_after_a_run_all_is_well_and_stays_as_it_is(doctor: Doctor) -> None:
    doctor.project.write(
        {
            "conf/catalog.yml": """
                numbers: {store: here, path: numbers.csv}
                doubled: {store: base, table: doubled}
                """,
        }
    )
    assert doctor.run() == 0
    before = below(doctor.project.path)
    told = doctor.lines()
    assert [line for line in told if re.match("ok (ledger|here|base)", line)] == [
        "ok ledger version 2, newest run RUN, " + told[3].rpartition(", ")[2],
        "ok here: read data, 2 entries",
        "ok base: read data/base.duckdb, 1 table",
        "ok base: write a table was made and rolled back",
    ]
    assert doctor.code == 0
    assert below(doctor.project.path) == before


def test_it_reads_without_colours_and_as_json(doctor: Doctor) -> None:
    project = doctor.project
    (project.path / "data/numbers.csv").unlink()
    (project.path / "data").rmdir()
    project.write({"conf/catalog.yml": "numbers: {store: here, path: numbers.csv}\ndoubled: {store: lake, table: d}\n"})
    piped = project.flowpipe("doctor")
    assert (piped.code, piped.err) == (1, "")
    assert "\x1b" not in piped.out
    assert (
        "FAIL  here: read     there is no folder data\n"
        "                     hint: make it and put the inputs there, or correct the store's `url`\n"
    ) in piped.out
    found = json.loads("".join(doctor.lines("--json")))
    assert doctor.code == 1
    assert found["ok"] is False
    assert [each for each in found["findings"] if each["outcome"] != "ok"] == [
        {
            "what": "here: read",
            "outcome": "FAIL",
            "text": "there is no folder data",
            "hint": "make it and put the inputs there, or correct the store's `url`",
        }
    ]


def test_without_a_project_the_machine_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor = Doctor(ProjectFolder(tmp_path), capsys)
    assert [line.split()[1] for line in doctor.lines() if line.startswith("ok")] == ["python", "flowpipe", "libraries"]
    assert doctor.failures() == [
        f"FAIL project no flowpipe project at {tmp_path} or above it: there is no conf/project.yml",
        "hint: go to the project's folder, or name it with --project DIR; `flowpipe init DIR` makes one",
    ]


def test_a_broken_configuration_keeps_nothing_else_from_being_looked_at(doctor: Doctor) -> None:
    doctor.project.write(
        {
            "conf/profiles/dev.yml": """
                stores:
                  here: {adapter: files, url: data}
                  lake: {adapter: delat, url: data/lake}
                  base: {adapter: duckdb, database: "${env:NO_SUCH_BASE}"}
                  far: {adapter: postgres, dsn: "${env:NO_SUCH_DSN}", schema: "${env:NO_SUCH_SCHEMA:-public}"}
                executor: {type: thraeds}
                """,
            "conf/pipelines/double.yml": "modules: [double]\nwrites: [doubled]\nretries: 3\n",
        }
    )
    assert doctor.failures() == [
        "FAIL environment conf/profiles/dev.yml:4:37: the environment variable NO_SUCH_BASE is not set",
        "hint: export NO_SUCH_BASE=... or write ${env:NO_SUCH_BASE:-default}",
        "FAIL environment conf/profiles/dev.yml:5:33: the environment variable NO_SUCH_DSN is not set",
        "hint: export NO_SUCH_DSN=... or write ${env:NO_SUCH_DSN:-default}",
        'FAIL configuration conf/pipelines/double.yml:3:1: unknown key "retries"',
        f'hint: did you mean "retry"? known: {", ".join(PIPELINE)}',
        'FAIL configuration conf/profiles/dev.yml:3:19: unknown adapter "delat"',
        'hint: did you mean "delta"? known: delta, duckdb, files, postgres',
        'FAIL configuration conf/profiles/dev.yml:6:18: unknown executor "thraeds"',
        'hint: did you mean "threads"? known: dask, processes, ray, sync, threads',
        "note lake not opened: see what is wrong with its configuration",
        "note base not opened: see what is wrong with its configuration",
        "note far not opened: see what is wrong with its configuration",
        "note executor not asked: see what is wrong with its configuration",
    ]
    assert "ok here: read data, 1 entry" in doctor.lines()


def test_a_profile_that_is_not_there(doctor: Doctor) -> None:
    assert doctor.failures("--profile", "prod") == [
        'FAIL configuration unknown profile "prod"',
        "hint: known: dev; or write conf/profiles/prod.yml",
    ]


def test_the_environment_is_told_by_names_alone(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_FOLDER", "hidden-folder")
    url = '"data/${env:MY_FOLDER}/${env:NO_SUCH_PART:-part}"'
    doctor.project.write({"conf/profiles/dev.yml": f"stores: {{here: {{adapter: files, url: {url}}}}}\n"})
    lines = doctor.lines()
    assert "ok environment MY_FOLDER, NO_SUCH_PART (not set: its default is used)" in lines
    assert "hidden-folder" not in "".join(lines)
    assert "ok here: read data/***/part is not there yet; the first publish makes it" in lines


# Stores of this machine


def store(doctor: Doctor, yaml: str, table: str = "table: doubled") -> Doctor:
    """The project with one store, in which the output is."""
    doctor.project.write(
        {
            "conf/profiles/dev.yml": f"stores:\n  here: {{adapter: files, url: data}}\n  base: {yaml}\n",
            "conf/catalog.yml": f"numbers: {{store: here, path: numbers.csv}}\ndoubled: {{store: base, {table}}}\n",
        }
    )
    return doctor


@pytest.mark.parametrize("adapter", ["files", "delta"])
def test_a_folder_that_is_a_file(doctor: Doctor, adapter: str) -> None:
    table = "table: doubled" if adapter == "delta" else "path: doubled.parquet"
    assert store(doctor, f"{{adapter: {adapter}, url: data/numbers.csv}}", table).failures() == [
        "FAIL base: read data/numbers.csv is a file, not a folder",
        "hint: correct the store's `url`",
        "FAIL base: write data/numbers.csv cannot be made: numbers.csv is a file",
        "hint: correct the store's `url`",
    ]


@pytest.mark.parametrize("adapter", ["files", "delta"])
def test_a_folder_that_takes_no_file(doctor: Doctor, adapter: str) -> None:
    """The tests may run as root, for whom only the system's own folders are closed."""
    table = "table: doubled" if adapter == "delta" else "path: doubled.parquet"
    assert store(doctor, f"{{adapter: {adapter}, url: /sys/kernel}}", table).failures() == [
        "FAIL base: write /sys/kernel cannot be written: Permission denied",
        "hint: let this user write there, or use another `url`",
    ]


@contextmanager
def no_room() -> Iterator[None]:
    """As on a full disk: no file of this process may grow beyond a kilobyte."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(doctor: Doctor) -> None:
    before = below(doctor.project.path)
    with no_room():
        told = doctor.failures()
    full = [line for line in told if line.startswith("FAIL")]
    assert full == [
        f"FAIL {what} {shown} cannot be written: File too large"
        for what, shown in {
            "state folder": ".flowpipe/dev",
            "here: write": "data",
            "lake: write": "data/lake",
            "base: write": str(doctor.project.path / "data"),
        }.items()
    ]
    assert set(told) - set(full) == {"hint: make room there"}
    assert below(doctor.project.path) == before


def test_a_file_that_is_no_duckdb_file(doctor: Doctor) -> None:
    doctor.project.write({"data/base.duckdb": "this is not a database\n" * 400})
    assert store(doctor, "{adapter: duckdb, database: data/base.duckdb}").failures() == [
        "FAIL base: read data/base.duckdb is not a DuckDB file",
        "hint: see `database:` of the store",
    ]


def test_a_file_that_another_process_holds_open(doctor: Doctor) -> None:
    store(doctor, "{adapter: duckdb, database: data/base.duckdb}")
    program = f"import duckdb; c = duckdb.connect({str(doctor.project.path / 'data/base.duckdb')!r}); print(1); input()"
    with subprocess.Popen(
        [sys.executable, "-uc", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        assert doctor.failures() == [
            f"FAIL base: read data/base.duckdb is held open by process {holder.pid}",
            "hint: close it there, then run again",
        ]
        holder.communicate("\n")


# PostgreSQL


def postgres(doctor: Doctor, dsn: str, more: str = "") -> Doctor:
    return store(doctor, f'{{adapter: postgres, dsn: "{dsn}"{more}}}')


def test_a_postgres_that_is_well(doctor: Doctor, postgres_server: servers.PostgresServer) -> None:
    def look() -> list[str]:
        return [line for line in doctor.lines() if "base: " in line]

    shown = f"ok base: server PostgreSQL VERSION, database postgres on {postgres_server.folder}, user postgres"
    postgres(doctor, postgres_server.dsn, ", schema: doctor_new")
    assert look() == [
        shown,
        "ok base: clock the same as here",
        "ok base: read schema doctor_new is not there yet; the first publish makes it",
        "ok base: write a table was made and rolled back",
    ]
    with psycopg.connect(postgres_server.dsn) as connection:
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'doctor_new'").fetchall()
        assert found == [], "the look has made a schema"
        connection.execute("CREATE SCHEMA doctor_new CREATE TABLE one (x int)")
    assert look()[2] == "ok base: read schema doctor_new, 1 table"
    with psycopg.connect(postgres_server.dsn) as connection:
        count = "SELECT count(*) FROM pg_class WHERE relnamespace = 'doctor_new'::regnamespace"
        assert connection.execute(count).fetchall() == [(1,)]


def test_a_postgres_role_that_may_only_read(doctor: Doctor, postgres_server: servers.PostgresServer) -> None:
    with psycopg.connect(postgres_server.dsn) as connection:
        connection.execute("CREATE ROLE doctor_reader LOGIN; CREATE SCHEMA doctor_shut; CREATE SCHEMA doctor_seen")
        connection.execute("GRANT USAGE ON SCHEMA doctor_seen TO doctor_reader")
    dsn = postgres_server.dsn.replace("postgres:", "doctor_reader:", 1).replace("//postgres@", "//doctor_reader@")
    denied = [
        "FAIL base: write database postgres on FOLDER: permission denied for schema SCHEMA",
        "hint: grant it to the user that the store connects as",
    ]
    seen, shut = ([line.replace("SCHEMA", f"doctor_{name}") for line in denied] for name in ("seen", "shut"))

    def failures(schema: str) -> list[str]:
        told = postgres(doctor, dsn, f", schema: doctor_{schema}").failures()
        return [line.replace(str(postgres_server.folder), "FOLDER") for line in told]

    assert failures("seen") == seen
    assert failures("shut") == [
        "FAIL base: read user doctor_reader may not use schema doctor_shut",
        'hint: as its owner: GRANT USAGE ON SCHEMA "doctor_shut" TO "doctor_reader"',
        *shut,
    ]


def test_a_wrong_password(doctor: Doctor, postgres_server: servers.PostgresServer) -> None:
    with psycopg.connect(postgres_server.dsn) as connection:
        connection.execute("CREATE ROLE doctor_locked LOGIN PASSWORD 'right-password'")
        ((file,),) = connection.execute("SHOW hba_file").fetchall()
        rules = Path(file)
        rules.write_text(f"local all doctor_locked scram-sha-256\n{rules.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
    dsn = f"host={postgres_server.folder} dbname=postgres user=doctor_locked password=wrong-password"
    told = postgres(doctor, dsn).failures()
    server = 'connection failed: connection to server on socket "FOLDER/.s.PGSQL.5432" failed'
    refused = 'FATAL: password authentication failed for user "doctor_locked"'
    assert [line.replace(str(postgres_server.folder), "FOLDER") for line in told] == [
        f"FAIL base: server database postgres on FOLDER: {server}: {refused}",
        "hint: does the server run, and are the store's host, port, user and password right?",
    ]


def test_a_postgres_that_does_not_answer(doctor: Doctor) -> None:
    told = postgres(doctor, "postgresql://me:hunter22@127.0.0.1:9/db").failures()
    server = 'connection failed: connection to server at "VERSION", port 9 failed: Connection refused'
    assert told == [
        f"FAIL base: server database db on VERSION: {server}",
        "hint: does the server run, and are the store's host, port, user and password right?",
    ]
    assert "hunter22" not in "".join(doctor.lines("--json"))


def test_a_server_that_hangs_is_not_waited_for(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as door:
        postgres(doctor, f"postgresql://me:hunter22@127.0.0.1:{door.getsockname()[1]}/db")
        assert doctor.failures() == [
            "FAIL base no answer within 1 s",
            "hint: is its address right, and does a firewall let this machine through?",
        ]


# S3


@pytest.fixture(scope="module")
def reader(s3_server: servers.S3Server) -> tuple[str, str]:
    """A key that may read the bucket and not write."""
    flags = dict(flag.lstrip("-").split("=", 1) for flag in map(str, s3_server.process.args) if "=" in flag)  # type: ignore[arg-type]
    places = {name: f"127.0.0.1:{flags[f'{name}.port']}.{flags[f'{name}.port.grpc']}" for name in ("master", "filer")}
    given = "-user=reader -access_key=reader -secret_key=reader-secret"
    subprocess.run(
        [Path(sys.executable).with_name("weed"), "shell", *(f"-{name}={place}" for name, place in places.items())],
        input=f"s3.configure {given} -buckets={s3_server.bucket} -actions=Read,List -apply\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return "reader", "reader-secret"


@pytest.fixture
def s3(doctor: Doctor, s3_server: servers.S3Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Doctor]:
    def made(**other: str) -> Doctor:
        given = {"bucket": s3_server.bucket, "key": s3_server.key, "secret": s3_server.secret}
        given |= {"endpoint": s3_server.endpoint} | other
        options = "key: {key}, secret: {secret}, endpoint_url: '{endpoint}'".format(**given)
        return store(doctor, f"{{adapter: delta, url: 's3://{given['bucket']}/doctor', options: {{{options}}}}}")

    for name in s3_server.environment:
        monkeypatch.delenv(name, raising=False)
    return made


def test_an_s3_bucket_that_is_well(s3: Callable[..., Doctor], s3_server: servers.S3Server) -> None:
    assert [line for line in s3().lines() if "base: " in line] == [
        f"ok base: server {masked(s3_server.endpoint)}",
        "ok base: clock the same as here",
        "ok base: read ***/doctor, empty so far",
        "ok base: write an object was written and removed",
    ]
    assert "ok base: read ***/doctor, empty so far" in s3().lines()


def test_an_s3_key_that_may_only_read(s3: Callable[..., Doctor], reader: tuple[str, str]) -> None:
    assert s3(key=reader[0], secret=reader[1]).failures() == [
        "FAIL base: write access is denied",
        "hint: let this key write and delete objects there",
    ]


def test_what_is_wrong_with_an_s3_store(s3: Callable[..., Doctor], s3_server: servers.S3Server) -> None:
    credentials = "hint: look at the credentials: the store's options, the environment, the profile"
    signed = "The request signature we calculated does not match the signature you provided."
    assert s3(secret="wrong-secret").failures() == [
        f"FAIL base: read access is denied: {signed} Check your key and signing method.",
        credentials,
    ]
    assert s3(key="nobody").failures() == [
        "FAIL base: read access is denied: The access key ID you provided does not exist in our records.",
        credentials,
    ]
    assert s3(bucket="nowhere").failures() == [
        f"FAIL base: read there is no bucket nowhere at {masked(s3_server.endpoint)}",
        "hint: make the bucket, or correct the store's `url`",
    ]
    assert s3(endpoint="http://127.0.0.1:9").failures() == [
        "FAIL base: read the server does not answer",
        "hint: is `endpoint_url` right, and the server running?",
    ]


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: what the command prints is looked at."""


def test_a_server_of_files_is_only_read(doctor: Doctor) -> None:
    answer = partial(Silent, directory=doctor.project.path / "data")
    with ThreadingHTTPServer(("127.0.0.1", 0), answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        store(doctor, "{adapter: files, url: out}", "path: doubled.csv")
        profile = f"stores:\n  here: {{adapter: files, url: '{place}'}}\n  base: {{adapter: files, url: out}}\n"
        doctor.project.write({"conf/profiles/dev.yml": profile})
        assert [line for line in doctor.lines() if "here: " in line] == [f"ok here: read {masked(place)}, 1 entry"]
        server.shutdown()
    (told, hint) = doctor.failures()
    assert told.startswith("FAIL here: read Cannot connect to host")
    assert hint == "hint: look at the store's `url`, and whether its server runs"


# Runs, the ledger, breakers, clusters


def test_a_run_at_work(doctor: Doctor) -> None:
    doctor.project.write(WAITING)
    with running(doctor.project, "node", "run", "double", "--set", "params.factor=3") as process:
        (told,) = doctor.failures()
        since = r"since \d\d:\d\d:\d\d \((just now|\d.* ago)\): flowpipe run double .*"
        since = f"note lock held by run RUN, process PID, {since}"
        assert re.fullmatch(since.replace("PID", str(process.pid)), told), told
        process.kill()
    left = doctor.failures()
    assert [re.sub(r"[\d.]+ k?B", "SIZE", line) for line in left] in (
        [],
        ["note unfinished SIZE that killed runs left in dev/scratch; the next run, or `flowpipe clean`, removes it"],
    )


def test_a_look_that_fails_keeps_no_other_from_being_taken(doctor: Doctor) -> None:
    ledger = doctor.project.path / ".flowpipe/ledger.db"
    doctor.project.write({".flowpipe/ledger.db": "this is no ledger at all\n" * 100, ".flowpipe/dev/lock": ""})
    doctor.project.write({".flowpipe/dev/intents/torn.json": "torn"})
    damaged = [f"{ledger}: the run ledger is damaged", "hint: delete the file: it is only history"]
    with FileLock(doctor.project.path / ".flowpipe/dev/lock"):
        assert doctor.failures() == [
            f"FAIL ledger {damaged[0]}",
            damaged[1],
            f"FAIL lock {damaged[0]}",
            damaged[1],
            "FAIL unfinished JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
            "hint: if this line does not tell what to mend, report it",
        ]
    assert "ok here: read data, 1 entry" in doctor.lines()


def test_a_step_that_is_decided_and_not_published(doctor: Doctor) -> None:
    store(doctor, "{adapter: files, url: out}", "path: doubled.csv")
    (doctor.project.path / "out/doubled.csv").mkdir(parents=True)
    assert doctor.run() == 4
    assert doctor.failures() == [
        "note unfinished 1 step decided but not published: double all; the next run publishes first"
    ]
    doctor.project.write(
        {"conf/catalog.yml": "numbers: {store: here, path: numbers.csv}\nother: {store: here, path: o.csv}\n"}
    )
    told = doctor.failures()
    assert any("had decided to publish dataset doubled, which is not configured any more" in line for line in told)


def test_a_breaker_that_is_open(doctor: Doctor) -> None:
    store(doctor, "{adapter: files, url: out, breaker: {failures: 2, cool_down: 10m}}", "path: doubled.csv")
    assert "ok base: breaker closed, 0 of 2 failures" in doctor.lines()
    now = datetime.now(UTC)

    def failed(count: int, at: datetime) -> None:
        told = json.dumps({"count": count, "at": at.isoformat(), "error": "no route to host"})
        doctor.project.write({".flowpipe/dev/breakers/base.json": told})

    failed(2, now)
    (told, hint) = doctor.failures()
    assert re.fullmatch(r"FAIL base: breaker open until .*\d\d:\d\d: no route to host", told)
    assert hint == "hint: mend the store, then `flowpipe breaker reset base`"
    failed(2, now - timedelta(hours=1))
    assert doctor.failures() == ["note base: breaker half-open, 2 of 2 failures"]


def test_a_ledger_that_is_damaged_or_of_the_future(doctor: Doctor) -> None:
    assert doctor.run() == 0
    ledger = doctor.project.path / ".flowpipe/ledger.db"
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE runs SET started_at = '2999-01-02T03:04:05.000000+00:00'")
    assert doctor.failures() == [
        "FAIL clock TIME UTC, but the newest run began at TIME UTC",
        "hint: set the clock, as by `timedatectl set-ntp true`",
    ]
    with sqlite3.connect(ledger) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert doctor.failures() == [
        f"FAIL ledger {ledger}: the run ledger has version 99, this flowpipe knows version 2",
        "hint: upgrade flowpipe, or delete the file: it is only history",
    ]
    shutil.rmtree(doctor.project.path / ".flowpipe")
    doctor.project.write({".flowpipe/ledger.db": "this is no ledger at all\n" * 100})
    assert doctor.failures() == [
        f"FAIL ledger {ledger}: the run ledger is damaged",
        "hint: delete the file: it is only history",
    ]


def test_a_dask_cluster(doctor: Doctor, dask_address: str) -> None:
    def executor(yaml: str) -> None:
        doctor.project.write({"conf/profiles/dev.yml": f"stores: {{here: {{adapter: files, url: data}}}}\n{yaml}\n"})

    executor(f'executor: {{type: dask, address: "{dask_address}"}}')
    well = [f"ok executor dask, 2 workers at {masked(dask_address)}", "all is well"]
    while doctor.lines()[-2:] != well:  # they may still be starting
        time.sleep(0.1)
    executor('executor: {type: dask, address: "tcp://127.0.0.1:9"}')
    assert doctor.failures() == [
        "FAIL executor dask scheduler tcp://VERSION:9 cannot be reached: Connection refused",
        "hint: look whether the scheduler runs, and whether this machine may connect to its port",
    ]
    executor("executor: {type: dask, workers: 2}")
    assert "ok executor dask, 2 at once on this machine" in doctor.lines(), "no cluster is started for a look"


PLAIN = {
    "plain.py": """
        from flowpipe.adapters.files import Files


        class Plain(Files):
            probe = None
        """,
    "plain-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: plain\nVersion: 1\n",
    "plain-1.dist-info/entry_points.txt": "[flowpipe.adapters]\nplain = plain:Plain\nbroken = nothing_at_all:No\n",
}


def test_an_adapter_that_does_not_probe_is_asked_for_a_dataset(doctor: Doctor, tmp_path: Path) -> None:
    site = ProjectFolder(tmp_path / "site").write(PLAIN)
    store(doctor, "{adapter: plain, url: data}", "path: doubled.parquet")
    doctor.project.write(
        {
            "conf/profiles/dev.yml": (
                "stores:\n  here: {adapter: files, url: data}\n  base: {adapter: plain, url: data}\n"
                "  other: {adapter: plain, url: data}\n"
            )
        }
    )
    paths = ":".join([str(site.path), *filter(None, sys.path)])
    told = masked(doctor.project.flowpipe("doctor", PYTHONPATH=paths).out)
    assert "ok    base: answer   dataset doubled: not there yet\n" in told, told
    assert "ok    other: answer  made; there is no dataset to ask it for\n" in told
    store(doctor, "{adapter: broken, url: data}", "path: doubled.parquet")
    told = doctor.project.flowpipe("doctor", PYTHONPATH=paths).out
    assert "adapter \"broken\" cannot be loaded: No module named 'nothing_at_all'\n" in told
    assert 'hint: pip install "plain"\n' in told
