"""What can be wrong around a project, by the words in which a page says so; each lasts until its test has ended."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest

from flowpipe.testing import servers
from tests.mistakes.page import Change

SMALL, ROWS = 200_000, 50_000
SECRET = "hunter2"  # in no output


@dataclass
class World:
    """Where a command runs: the project's folder, its environment, and what starts it where it has its own process."""

    project: Path
    request: pytest.FixtureRequest
    environment: dict[str, str] = field(default_factory=dict)
    own_process: bool = False
    prefix: Sequence[str] = ()


Given = Callable[[World], Iterator[None]]
GIVEN: dict[str, Callable[[World], AbstractContextManager[None]]] = {}


def given(what: str) -> Callable[[Given], Given]:
    """Let a page say so."""

    def keep(function: Given) -> Given:
        GIVEN[what] = contextmanager(function)
        return function

    return keep


# Commands and libraries


@given("psycopg is not installed")
def no_psycopg(world: World) -> Iterator[None]:
    without(world, "psycopg")
    yield


@given("Dask is not installed")
def no_dask(world: World) -> Iterator[None]:
    without(world, "distributed")
    yield


def without(world: World, library: str) -> None:
    """A process of its own in which a library is as if it were not installed."""
    folder = world.project / "absent"
    folder.mkdir()
    hidden = f"""
        import sys
        from importlib.machinery import PathFinder

        class Absent(PathFinder):
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                return None if name.partition(".")[0] == {library!r} else super().find_spec(name, path, target)

        sys.meta_path[:] = [Absent if finder is PathFinder else finder for finder in sys.meta_path]
        """
    (folder / "sitecustomize.py").write_text(textwrap.dedent(hidden), encoding="utf-8")
    world.own_process = True
    world.environment["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


@given("another run is at work")
def another_run(world: World) -> Iterator[None]:
    """A second process that computes until it is ended."""
    begun = world.project / "begun"
    waits = f"    import time\\n\\n    open({str(begun)!r}, 'w').close()\\n    time.sleep(60)\\n    return visits"
    Change("pipelines/ranking.py", "    return visits", waits.replace("\\n", "\n")).make(world.project)
    command = [sys.executable, "-m", "flowpipe", "run", "ranking", "--force"]
    with subprocess.Popen(command, cwd=world.project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(begun, process)
        yield
        process.kill()


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until another process has made a file."""
    until = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < until
        time.sleep(0.01)


# Inputs


@given("orders.csv is in Latin-1")
def latin(world: World) -> Iterator[None]:
    (world.project / "data/landing/orders.csv").write_bytes("shop,day,amount\nKöln,2024-01-03,1.5\n".encode("latin-1"))
    yield


@given("orders.csv is called order.csv")
def misnamed(world: World) -> Iterator[None]:
    (world.project / "data/landing/orders.csv").rename(world.project / "data/landing/order.csv")
    yield


@given("there are no visits")
def no_visits(world: World) -> Iterator[None]:
    shutil.rmtree(world.project / "data/landing/visits")
    yield


@given("the visits of March have another column")
def another_column(world: World) -> Iterator[None]:
    march = pl.DataFrame({"shop": ["Bonn"], "day": date(2024, 3, 31), "guests": [7]})
    march.write_parquet(world.project / "data/landing/visits/2024-03.parquet")
    yield


@given("the visits of March are text")
def another_type(world: World) -> Iterator[None]:
    march = pl.DataFrame({"shop": ["Bonn"], "day": date(2024, 3, 31), "visitors": ["many"]})
    march.write_parquet(world.project / "data/landing/visits/2024-03.parquet")
    yield


@given("the visits of February are cut short")
def cut_short(world: World) -> Iterator[None]:
    path = world.project / "data/landing/visits/2024-02.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    yield


@given("the shop has a token")
def token(world: World) -> Iterator[None]:
    world.environment["SHOP_TOKEN"] = SECRET
    yield


# Stores


@given("another process holds the DuckDB file")
def held(world: World) -> Iterator[None]:
    begun = world.project / "begun"
    code = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); open(sys.argv[2], 'w').close(); time.sleep(60)"
    command = [sys.executable, "-c", code, str(world.project / "data/warehouse.duckdb"), str(begun)]
    with subprocess.Popen(command) as process:
        wait_for(begun, process)
        yield
        process.kill()


def log(world: World) -> list[Path]:
    """The entries of the Delta table's log."""
    return sorted((world.project / "data/lake/sales/_delta_log").glob("*.json"))


@given("the newest entry of the Delta log is torn")
def torn(world: World) -> Iterator[None]:
    newest = log(world)[-1]
    newest.write_bytes(newest.read_bytes()[:50])
    yield


@given("the first entry of the Delta log is missing")
def gap(world: World) -> Iterator[None]:
    log(world)[0].unlink()
    yield


@given("the data files of the Delta table are missing")
def no_files(world: World) -> Iterator[None]:
    for path in (world.project / "data/lake/sales").rglob("*.parquet"):
        path.unlink()
    yield


@given("the Delta table has the feature rowTracking")
def foreign_feature(world: World) -> Iterator[None]:
    newest = log(world)[-1]
    features = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["rowTracking", "domainMetadata"]}
    entry = newest.with_name(f"{int(newest.stem) + 1:020}.json")
    entry.write_text(json.dumps({"protocol": features}) + "\n", encoding="utf-8")
    yield


@given("somebody put another table into the Delta folder")
def another_table(world: World) -> Iterator[None]:
    from deltalake import write_deltalake

    folder = world.project / "data/lake/sales"
    shutil.rmtree(folder)
    write_deltalake(folder, pl.DataFrame({"customer": ["Ada"], "day": date(2024, 1, 1)}).to_arrow())
    yield


@contextmanager
def as_nobody(world: World) -> Iterator[None]:
    """A process of its own that has no more rights than the files give; pytest's folders are closed to all but root."""
    world.own_process = True
    if os.geteuid() != 0:
        yield
        return
    with TemporaryDirectory(prefix="flowpipe-mistake-") as folder:
        Path(folder).chmod(0o755)
        world.project = Path(shutil.copytree(world.project, Path(folder) / "shop"))
        subprocess.run(["chown", "-R", "65534", str(world.project)], check=True)
        world.prefix = ["setpriv", "--reuid=65534", "--clear-groups"]
        yield


@given("data/lake may not be written")
def read_only_store(world: World) -> Iterator[None]:
    with as_nobody(world):
        yield from read_only(world.project / "data/lake")


@given("the project may not be written")
def read_only_project(world: World) -> Iterator[None]:
    with as_nobody(world):
        yield from read_only(world.project)


def read_only(folder: Path) -> Iterator[None]:
    """A folder in which nothing can be written until the end."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for each in folders:
        each.chmod(0o555)
    yield
    for each in folders:
        each.chmod(0o755)


@given("orders.csv may not be read")
def unreadable(world: World) -> Iterator[None]:
    with as_nobody(world):
        path = world.project / "data/landing/orders.csv"
        path.chmod(0)
        yield
        path.chmod(0o644)


@given("the disk of the lake is full")
def full(world: World) -> Iterator[None]:
    """A small disk of its own where that may be mounted, else files that cannot grow; and many new orders."""
    lake, aside = world.project / "data/lake", world.project / "aside"
    days = pl.Series("day", [date(2024, 1, 1 + number % 31) for number in range(ROWS)])
    noise = pl.Series("amount", [random.Random(number).random() for number in range(ROWS)])
    pl.DataFrame({"shop": "Bonn", "day": days, "amount": noise}).write_csv(world.project / "data/landing/orders.csv")
    lake.rename(aside)
    lake.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "none", str(lake)]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        shutil.copytree(aside, lake, dirs_exist_ok=True)
        world.own_process = True
        world.prefix = [] if mounted else ["prlimit", f"--fsize={SMALL}"]
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(lake)], check=True)


@given("PostgreSQL")
def postgres(world: World) -> Iterator[None]:
    import psycopg

    server: servers.PostgresServer = world.request.getfixturevalue("postgres_server")
    dsn = partial(psycopg.conninfo.make_conninfo, server.dsn)
    rules = server.folder / "pg_hba.conf"
    trusting = rules.read_text(encoding="utf-8")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        for role in ("reader", "guest"):
            connection.execute(f"DROP ROLE IF EXISTS {role}")
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        rules.write_text(f"local all guest scram-sha-256\n{trusting}", encoding="utf-8")
        connection.execute("SELECT pg_reload_conf()")
        world.environment |= {
            "OWNER": dsn(),
            "NO_DATABASE": dsn(dbname="no_such_database"),
            "READER": dsn(user="reader"),
            "WRONG_PASSWORD": dsn(user="guest", password=SECRET),
        }
        yield
        rules.write_text(trusting, encoding="utf-8")


@given("S3")
def s3(world: World) -> Iterator[None]:
    server: servers.S3Server = world.request.getfixturevalue("s3_server")
    world.environment.update(server.environment)
    yield


@given("the key of S3 is wrong")
def wrong_key(world: World) -> Iterator[None]:
    world.environment["AWS_SECRET_ACCESS_KEY"] = SECRET
    yield


@given("nobody is where S3 should be")
def no_s3(world: World) -> Iterator[None]:
    world.environment |= {
        "AWS_ACCESS_KEY_ID": "shop",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    yield
