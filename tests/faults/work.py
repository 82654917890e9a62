"""What children do beside running the command: wait for each other, meet another writer, have no room, publish on."""

from __future__ import annotations

import os
import resource
import time
from datetime import date, datetime
from functools import partial
from pathlib import Path

import polars as pl

from benchmarks.faults.life import command
from flowpipe.testing.kills import Instants

FOREIGN = (-1, date(1999, 1, 1), "foreign", -1, datetime(1999, 1, 1))
"""A row that somebody else wrote, in a window of its own."""


def racing(project: str, arguments: tuple[str, ...], instants: Instants, *, runs: int) -> int:
    """Run the command, and decide and publish only when so many runs at this place are about to."""
    mine = Path(project)

    def wait() -> None:
        (mine / "decided").touch()
        until = time.monotonic() + 30
        place = mine.name.partition("-")[0]
        while len(list(mine.parent.glob(f"{place}-*/decided"))) < runs and time.monotonic() < until:
            time.sleep(0.001)

    try:
        return command(project, arguments, instants, decided=wait)
    finally:
        # A run that has nothing to decide, or fails before it, is not waited for.
        (mine / "decided").touch()


def beside_another(project: str, arguments: tuple[str, ...], instants: Instants, *, store: str) -> int:
    """Run the command; once its rows are staged, somebody else writes one row to its table."""
    return command(project, arguments, instants, decided=partial(_write, store, Path(project)))


def on_a_full_disk(project: str, arguments: tuple[str, ...], instants: Instants, *, most: int) -> int:
    """Run the command where no file can grow beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    return command(project, arguments, instants)


def publishing_on(project: str, rows: int, times: int, instants: Instants) -> int:
    """Publish so often, each time so many rows that all carry the publish's number, and on until `seen` is there.

    The number of the last one.
    """
    from flowpipe.errors import PublishError
    from flowpipe.project import Project
    from flowpipe.testing import Store

    os.chdir(project)
    catalog = Project.load().catalog
    dataset = catalog.dataset("out")
    store = Store(catalog.adapter(dataset), Path("scratch"))
    with instants.watching():
        pass
    number, patience = -1, time.monotonic() + 60
    while number + 1 < times or not (Path("seen").exists() or time.monotonic() > patience):
        number += 1
        frame = pl.DataFrame({"id": range(rows), "amount": [number] * rows})
        publication = store.stage(dataset, frame, fingerprint=f"f{number}", run=f"run{number}")
        until = time.monotonic() + 30
        while True:
            try:
                store.adapter.publish(publication)
                break
            except PublishError as error:
                # A DuckDB file belongs to one process at a time, and a reader is one.
                if "held open" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.001)
    return number


def _write(store: str, project: Path) -> None:
    place = project.parent / f"{project.name}.out"
    frame = pl.DataFrame([FOREIGN], schema=["id", "day", "kind", "amount", "at"], orient="row")
    names, values = ", ".join(f'"{name}"' for name in frame.columns), "-1, '1999-01-01', 'foreign', -1, '1999-01-01'"
    insert = f"INSERT INTO events ({names}) VALUES ({values})"
    if store == "duckdb":
        import duckdb

        with duckdb.connect(str(place / "base.duckdb")) as connection:
            connection.execute(insert)
    elif store == "postgres":
        import psycopg

        with psycopg.connect(os.environ["WAREHOUSE_DSN"]) as connection:
            connection.execute(f'SET search_path = "{project.name}"')
            connection.execute(insert)
    elif store.startswith("delta"):
        from deltalake import write_deltalake

        url = f"s3://flowpipe/{project.name}/events" if store.endswith("S3") else str(place / "events")
        write_deltalake(url, frame.to_arrow(), mode="append")
    else:
        url = f"s3://flowpipe/{project.name}/over.parquet" if store.endswith("S3") else str(place / "over.parquet")
        frame.write_parquet(url)
