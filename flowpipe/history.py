"""How the records of a run become rows of tables, and rows become what people ask of the past.

Every function works on an open SQLite connection; the functions that read need `sqlite3.Row` as its row factory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flowpipe.records import (
    Checked,
    NodeEnded,
    NodeStarted,
    Outcome,
    Published,
    Record,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
)

VERSION = 2
TABLES = """
CREATE TABLE runs (run TEXT PRIMARY KEY, project TEXT, profile TEXT, command TEXT, pid INT, started_at TEXT,
    seconds REAL, outcome TEXT, error TEXT) WITHOUT ROWID;
CREATE TABLE steps (run TEXT, pipeline TEXT, slice TEXT, started_at TEXT, reason TEXT,
    seconds REAL, outcome TEXT, error TEXT, PRIMARY KEY (run, pipeline, slice));
CREATE TABLE nodes (run TEXT, pipeline TEXT, slice TEXT, node TEXT, started_at TEXT,
    seconds REAL, attempts INT, outcome TEXT, rows INT, worker TEXT, warning TEXT,
    PRIMARY KEY (run, pipeline, slice, node)) WITHOUT ROWID;
CREATE TABLE checks (run TEXT, pipeline TEXT, slice TEXT, dataset TEXT, "check" TEXT,
    failed INT, consequence TEXT, PRIMARY KEY (run, pipeline, slice, dataset, "check"));
CREATE TABLE outputs (run TEXT, pipeline TEXT, slice TEXT, dataset TEXT, at TEXT, rows INT, bytes INT,
    rejected INT, version TEXT, recovered INT, PRIMARY KEY (run, pipeline, slice, dataset));
"""

# By the version of the ledger that is there: what it lacks.
ADDED = {1: "ALTER TABLE nodes ADD COLUMN worker TEXT; ALTER TABLE nodes ADD COLUMN warning TEXT"}


@dataclass(frozen=True)
class RunRow:
    """One run; `outcome` and `seconds` are None while it goes on. `steps` counts its steps by outcome."""

    run: str
    project: str
    profile: str
    command: str
    pid: int
    started_at: datetime
    seconds: float | None
    outcome: Outcome | None
    error: str | None
    steps: Mapping[Outcome | None, int]


@dataclass(frozen=True)
class NodeRow:
    """One node of a step; `outcome` is None while it runs."""

    node: str
    started_at: datetime
    seconds: float | None
    attempts: int | None
    outcome: Outcome | None
    rows: int | None
    worker: str | None = None
    warning: str | None = None


@dataclass(frozen=True)
class StepRow:
    """One step of a run, with its nodes in the order of their starts."""

    pipeline: str
    slice: str
    started_at: datetime
    reason: str | None
    seconds: float | None
    outcome: Outcome | None
    error: str | None
    nodes: tuple[NodeRow, ...]
    checks: tuple[Checked, ...]
    outputs: tuple[Published, ...]


@dataclass(frozen=True)
class RunDetail:
    """One run and all its steps, in the order in which they were recorded."""

    run: RunRow
    steps: tuple[StepRow, ...]


def store(connection: sqlite3.Connection, record: Record) -> None:
    """Keep one record."""
    match record:
        case RunStarted():
            started = (record.project, record.profile, record.command, record.pid, _utc(record.at))
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL)", (record.run, *started))
        case RunEnded():
            connection.execute(
                "UPDATE runs SET seconds = ?, outcome = ?, error = ? WHERE run = ?",
                (record.seconds, record.outcome, record.error, record.run),
            )
        case StepStarted():
            # Anew when inputs changed under it.
            _put(connection, "steps", _step(record) | {"started_at": _utc(record.at), "reason": record.reason})
        case StepEnded():
            ended = (record.seconds, record.outcome, record.error, _utc(record.at - timedelta(seconds=record.seconds)))
            # A step that is skipped never started.
            connection.execute(
                "INSERT INTO steps (run, pipeline, slice, reason, seconds, outcome, error, started_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET seconds = excluded.seconds,"
                " outcome = excluded.outcome, error = excluded.error, reason = coalesce(excluded.reason, reason)",
                (record.run, record.pipeline, record.slice, record.reason, *ended),
            )
            # Nodes that were given up.
            connection.execute(
                "UPDATE nodes SET outcome = ? WHERE run = ? AND pipeline = ? AND slice = ? AND outcome IS NULL",
                (record.outcome, record.run, record.pipeline, record.slice),
            )
        case NodeStarted():
            _put(connection, "nodes", _step(record) | {"node": record.node, "started_at": _utc(record.at)})
        case NodeEnded():
            _put(connection, "nodes", vars(record) | {"started_at": _utc(record.started_at)})
        case Checked():
            _put(connection, "checks", vars(record))
        case Published():
            _store_output(connection, record)


def _store_output(connection: sqlite3.Connection, record: Published) -> None:
    if record.recovered:
        # What an earlier run decided is published before any step of this one.
        connection.execute(
            "INSERT INTO steps (run, pipeline, slice, started_at, reason, seconds, outcome)"
            " VALUES (?, ?, ?, ?, 'decided by an earlier run', 0, 'done') ON CONFLICT DO NOTHING",
            (record.run, record.pipeline, record.slice, _utc(record.at)),
        )
    _put(connection, "outputs", vars(record) | {"at": _utc(record.at)})


def _put(connection: sqlite3.Connection, table: str, row: Mapping[str, object]) -> None:
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
    connection.execute(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608


def _step(record: StepStarted | StepEnded | NodeStarted) -> dict[str, object]:
    return {"run": record.run, "pipeline": record.pipeline, "slice": record.slice}


def _utc(moment: datetime) -> str:
    # Of one width, so that text sorts by time.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def crash(connection: sqlite3.Connection, run: str) -> None:
    """Mark an open run, and what it had begun, as crashed."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        # Its end may have been written since it was found open.
        still_open = "AND EXISTS (SELECT 1 FROM runs WHERE runs.run = ?1 AND runs.outcome IS NULL)"
        for table in ("steps", "nodes", "runs"):
            connection.execute(
                f"UPDATE {table} SET outcome = 'crashed' WHERE run = ?1 AND outcome IS NULL {still_open}",  # noqa: S608
                (run,),
            )


def names(connection: sqlite3.Connection, *, unfinished: bool = False) -> list[str]:
    """The names of all runs, or of those that have no end, newest first."""
    only = "WHERE outcome IS NULL" if unfinished else ""
    found = connection.execute(f"SELECT run FROM runs {only} ORDER BY started_at DESC, run DESC")  # noqa: S608
    return [run for (run,) in found]


def latest(connection: sqlite3.Connection, limit: int) -> list[RunRow]:
    """The latest runs, newest first."""
    rows = connection.execute("SELECT * FROM runs ORDER BY started_at DESC, run DESC LIMIT ?", (limit,))
    return [_run_row(connection, row) for row in rows.fetchall()]


def last_of_node(connection: sqlite3.Connection, pipeline: str, node: str) -> tuple[str, str, NodeRow] | None:
    """The latest run and slice in which a node ran, and how that went."""
    query = "SELECT * FROM nodes WHERE pipeline = ? AND node = ? ORDER BY started_at DESC LIMIT 1"
    row = connection.execute(query, (pipeline, node)).fetchone()
    return (row["run"], row["slice"], NodeRow(**_values(row, "run", "pipeline", "slice"))) if row else None


def _run_row(connection: sqlite3.Connection, row: sqlite3.Row) -> RunRow:
    counts = connection.execute("SELECT outcome, count(*) FROM steps WHERE run = ? GROUP BY outcome", (row["run"],))
    return RunRow(**_values(row), steps=dict(counts.fetchall()))


def detail(connection: sqlite3.Connection, run: str) -> RunDetail:
    """One run and all its steps."""

    def rows(table: str, step: sqlite3.Row, order: str = "rowid") -> list[sqlite3.Row]:
        query = f"SELECT * FROM {table} WHERE run = ? AND pipeline = ? AND slice = ? ORDER BY {order}"  # noqa: S608
        return connection.execute(query, (run, step["pipeline"], step["slice"])).fetchall()

    steps = connection.execute("SELECT * FROM steps WHERE run = ? ORDER BY rowid", (run,)).fetchall()
    (row,) = connection.execute("SELECT * FROM runs WHERE run = ?", (run,)).fetchall()
    return RunDetail(
        _run_row(connection, row),
        tuple(
            StepRow(
                **_values(step, "run"),
                nodes=tuple(
                    NodeRow(**_values(row, "run", "pipeline", "slice"))
                    for row in rows("nodes", step, "started_at, node")
                ),
                checks=tuple(Checked(**_values(row)) for row in rows("checks", step)),
                outputs=tuple(
                    Published(**_values(row) | {"recovered": bool(row["recovered"])}) for row in rows("outputs", step)
                ),
            )
            for step in steps
        ),
    )


def _values(row: sqlite3.Row, *left_out: str) -> dict[str, Any]:
    values = {name: value for name, value in dict(row).items() if name not in left_out}
    return values | {name: datetime.fromisoformat(values[name]) for name in ("at", "started_at") if name in values}
