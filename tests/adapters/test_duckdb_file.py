"""The DuckDB file: what it is not, who else holds it, what it takes up, and the remote files that queries reach."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import polars as pl
import pytest

from flowpipe.adapters import Dataset
from flowpipe.adapters.abilities import Maintainable, Upkeep
from flowpipe.adapters.duckdb import DuckDB, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import FlowpipeError, PublishError
from flowpipe.partition import WHOLE
from flowpipe.testing import servers
from flowpipe.testing.suite import Store, rows

UPKEEP = Upkeep(frozenset(), timedelta(days=7))


def table(name: str = "delays") -> Dataset:
    return Dataset(name, DatasetConfig(store="warehouse", table=name))


def query(sql: str) -> Dataset:
    return Dataset("report", DatasetConfig(store="warehouse", query=sql))


def run_sql(path: Path, *statements: str) -> list[Any]:
    with duckdb.connect(str(path)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(DuckDB(Options(database="data/w.duckdb"), tmp_path), tmp_path)


def refused(store: Store) -> tuple[str, str]:
    """What a read and a publish say."""
    staged = store.stage(table(), rows("2013-01", 1), run="run2")
    with pytest.raises(FlowpipeError) as read:
        store.adapter.pin(table(), WHOLE)
    with pytest.raises(PublishError) as published:
        store.adapter.publish(staged)
    assert type(read.value) is FlowpipeError
    return str(read.value), str(published.value)


def test_what_is_no_database_is_said(store: Store) -> None:
    path = store.folder / "data" / "w.duckdb"
    path.parent.mkdir()
    path.write_text("no database" * 1000)
    message = "data/w.duckdb is not a DuckDB file\n  hint: see `database:` of the store"
    assert refused(store) == (message, message)
    assert path.read_text() == "no database" * 1000


def test_a_folder_is_no_database(store: Store) -> None:
    path = store.folder / "data" / "w.duckdb"
    path.mkdir(parents=True)
    message = "data/w.duckdb is not a DuckDB file\n  hint: see `database:` of the store"
    assert refused(store) == (message, message)


ASKING = """
import difflib, os, sys  # all of Python's own, while it may be read
from pathlib import Path
import polars as pl
from flowpipe.errors import FlowpipeError
from flowpipe.partition import WHOLE
from flowpipe.testing.suite import Store, rows
from flowpipe.adapters import Dataset, Missing
from flowpipe.adapters.duckdb import DuckDB, Options
from flowpipe.datasets import DatasetConfig
folder, scratch = map(Path, sys.argv[1:])
store = Store(DuckDB(Options(database="data/w.duckdb"), folder), scratch)
dataset = Dataset("delays", DatasetConfig(store="warehouse", table="delays"))
staged = store.stage(dataset, rows("2013-01", 2), run="run2")
scratch.chmod(0o755)
if os.geteuid() == 0:  # root may do everything
    os.setegid(65534); os.seteuid(65534)
for ask in (lambda: store.adapter.pin(dataset, WHOLE), lambda: store.adapter.publish(staged)):
    try:
        ask()
    except FlowpipeError as error:
        print(type(error).__name__, error)
    except Missing as error:
        print("Missing", error.location)
"""


@pytest.mark.parametrize("denied", ["data/w.duckdb", "data", "."])
def test_what_may_not_be_opened_is_said(tmp_path: Path, denied: str) -> None:
    # Not below pytest's folder, which is for one user only.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if denied != ".":
            Store(DuckDB(Options(database="data/w.duckdb"), folder), tmp_path).publish(table(), rows("2013-01", 1))
        (folder / denied).chmod(0o555 if denied == "." else 0o000)
        done = subprocess.run(
            [sys.executable, "-c", ASKING, name, str(tmp_path / "scratch")], check=False, capture_output=True, text=True
        )
        (folder / denied).chmod(0o755)
    message = (
        "data/w.duckdb: permission denied\n"
        "  hint: DuckDB needs to read and write the file and its folder, also to read a table\n"
    )
    read = "Missing data/w.duckdb\n" if denied == "." else f"FlowpipeError {message}"
    assert done.stdout == f"{read}PublishError {message}", done.stderr


def test_a_file_held_by_another_process_is_named(store: Store) -> None:
    store.publish(table(), rows("2013-01", 1))
    path = store.folder / "data" / "w.duckdb"
    holding = f"import duckdb; c = duckdb.connect({str(path)!r}); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        message = f"data/w.duckdb is held open by process {holder.pid}\n  hint: close it there, then run again"
        assert refused(store) == (message, message)
        with pytest.raises(FlowpipeError, match="is held open by process"):
            store.adapter.maintain(table(), UPKEEP)  # type: ignore[attr-defined]  # it is Maintainable, see below
        holder.communicate("\n")
    assert store.ids(table()) == [1]


def test_maintain_makes_the_file_smaller(store: Store) -> None:
    assert isinstance(store.adapter, Maintainable)
    assert store.adapter.maintain(table(), UPKEEP) == []
    path = store.folder / "data" / "w.duckdb"
    frame = pl.select(id=pl.int_range(300_000), text=pl.int_range(300_000).hash().cast(pl.String))
    for number in range(3):
        store.publish(table(), frame, run=f"run{number}")
    store.publish(table(), frame.head(10), run="run9")
    run_sql(path, "CREATE TABLE child (id BIGINT)")
    before = path.stat().st_size
    (dry,) = store.adapter.maintain(table(), Upkeep(frozenset(), timedelta(days=7), dry_run=True))
    assert dry.startswith("data/w.duckdb: ")
    assert dry.endswith(f" MB of {before / 1e6:,.1f} MB are free")
    assert path.stat().st_size == before
    published, pin = store.held(table()), store.adapter.pin(table(), WHOLE)
    (line,) = store.adapter.maintain(table(), UPKEEP)
    after = path.stat().st_size
    assert after < before / 2
    assert line == f"data/w.duckdb: {before / 1e6:,.1f} MB became {after / 1e6:,.1f} MB"
    assert store.adapter.maintain(table(), UPKEEP) == []
    assert store.ids(table()) == list(range(10))
    assert (store.held(table()), store.adapter.pin(table(), WHOLE)) == (published, pin)
    assert published.changed is None


def test_maintain_leaves_constraints_and_computed_columns(store: Store) -> None:
    path = store.folder / "data" / "w.duckdb"
    path.parent.mkdir()
    run_sql(
        path,
        "CREATE TABLE big AS SELECT hash(i) AS h FROM range(300000) t(i)",
        "CREATE TABLE delays (id BIGINT PRIMARY KEY, twice BIGINT GENERATED ALWAYS AS (id * 2), t VARCHAR DEFAULT 'x')",
        "INSERT INTO delays (id) FROM range(9)",
        "CREATE TABLE late (id BIGINT PRIMARY KEY)",
        "INSERT INTO late FROM range(5)",
        "CREATE TABLE child (id BIGINT REFERENCES late(id))",
        "INSERT INTO child VALUES (1)",
        "DROP TABLE big",
    )
    for name in ("delays", "late"):
        store.adapter.maintain(table(name), UPKEEP)  # type: ignore[attr-defined]  # it is Maintainable, see above
    assert run_sql(path, "FROM delays ORDER BY id", "FROM late ORDER BY id") == [
        [(number, number * 2, "x") for number in range(9)],
        [(number,) for number in range(5)],
    ]
    with pytest.raises(duckdb.ConstraintException):
        run_sql(path, "INSERT INTO delays (id) VALUES (1)")


@pytest.fixture
def lake(s3_server: servers.S3Server) -> servers.S3Server:
    options = {"key": s3_server.key, "secret": s3_server.secret, "endpoint_url": s3_server.endpoint}
    fs = fsspec.filesystem("s3", **options)
    for number in range(3):
        with fs.open(f"{s3_server.bucket}/duckdb/{number}.parquet", "wb") as file:
            pl.DataFrame({"id": [number]}).write_parquet(file)
    return s3_server


def test_a_query_reads_s3_by_the_options_of_the_store(lake: servers.S3Server, tmp_path: Path) -> None:
    given = {"key": lake.key, "secret": lake.secret, "endpoint_url": lake.endpoint}
    options = Options(database="w.duckdb", options=given)
    assert lake.secret not in repr(options)
    store = Store(DuckDB(options, tmp_path), tmp_path)
    store.publish(table("few"), pl.DataFrame({"id": [1, 2]}))
    both = query(f"SELECT id FROM 's3://{lake.bucket}/duckdb/*.parquet' JOIN few USING (id)")
    for _ in range(2):
        assert store.adapter.schema(both) == {"id": pl.Int64()}
        assert store.ids(both) == [1, 2]
        assert not store.adapter.is_empty(both, WHOLE)


def test_a_query_reads_s3_by_the_environment(
    lake: servers.S3Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    assert store.ids(query(f"SELECT * FROM read_parquet('s3://{lake.bucket}/duckdb/2.parquet')")) == [2]
    with pytest.raises(FlowpipeError) as caught:
        store.ids(query("FROM 's3://nobody-has-this/duckdb/2.parquet'"))
    assert str(caught.value) == (
        "data/w.duckdb: FileNotFoundError: The specified bucket does not exist\n  hint: see `options:` of the store"
    )


def test_any_other_url_goes_the_same_way(store: Store) -> None:
    with fsspec.filesystem("memory").open("/some/1.parquet", "wb") as file:
        pl.DataFrame({"id": [7]}).write_parquet(file)
    store.publish(table(), rows("2013-01", 1))
    assert store.ids(query("FROM 'memory://some/*.parquet'")) == [7]
    with pytest.raises(FlowpipeError, match=r'^cannot open "odd://" urls: '):
        store.ids(query("FROM 'odd://some/1.parquet'"))


def test_s3_without_its_library_says_what_to_install(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(table(), rows("2013-01", 1))
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(FlowpipeError) as caught:
        store.ids(query("FROM 's3://bucket/1.parquet'"))
    assert str(caught.value) == (
        '"s3://" urls need s3fs, which is not installed\n  hint: pip install "flowpipe-etl[s3]"'
    )
