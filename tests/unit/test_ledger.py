"""The ledger: what was recorded is read back, dead runs are told from living ones, and nothing holds up a run."""

from __future__ import annotations

import logging
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from flowpipe import history
from flowpipe.errors import UsageError
from flowpipe.history import NodeRow, RunDetail, RunRow, StepRow
from flowpipe.ledger import Ledger, new_run_id
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

RUN = "20261122-141309-3fa2"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
STEP = (RUN, "daily_delays", "2013-02")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def started(run: str = RUN, moment: datetime = NOON) -> RunStarted:
    return RunStarted(run, moment, "flights", "dev", "flowpipe run", 4711)


def ended(run: str = RUN, outcome: Outcome = "done", error: str | None = None) -> RunEnded:
    return RunEnded(run, at(9), 9.0, outcome, error)


WHOLE_RUN: list[Record] = [
    started(),
    StepEnded(RUN, "clean_flights", "2013-02", at(0.5), 0.25, "skipped", "up to date"),
    StepStarted(*STEP, at(1), "params.late_minutes changed 15 -> 20"),
    NodeStarted(*STEP, "delays", at(1.5)),
    NodeStarted(*STEP, "daily_delays", at(1.75)),
    NodeEnded(*STEP, "daily_delays", at(1.75), 0.5, 2, "done"),
    NodeEnded(*STEP, "delays", at(1.5), 1.0, 1, "done", 336_776),
    Checked(*STEP, "daily_delays", "share >= 0", 3, "quarantined"),
    Checked(*STEP, "daily_delays", "flights >= 1", 0, "passed"),
    Published(*STEP, "daily_delays", at(4), 434, 20_480, 3, "14"),
    Published(*STEP, "carrier_rank", at(4.5), 16, 1_024, recovered=True),
    StepEnded(*STEP, at(5), 4.0, "done"),
    ended(),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".flowpipe" / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as ledger:
        yield ledger


def message(error: pytest.ExceptionInfo[UsageError]) -> str:
    return str(error.value)


# ---- reading back ----------------------------------------------------------------------------------------------------


def test_a_run_is_read_back_whole(ledger: Ledger, path: Path) -> None:
    for record in WHOLE_RUN:
        ledger.write(record)
    run = RunRow(RUN, "flights", "dev", "flowpipe run", 4711, NOON, 9.0, "done", None, steps={"done": 1, "skipped": 1})
    skipped = StepRow("clean_flights", "2013-02", at(0.25), "up to date", 0.25, "skipped", None, (), (), ())
    nodes = (
        NodeRow("delays", at(1.5), 1.0, 1, "done", 336_776),
        NodeRow("daily_delays", at(1.75), 0.5, 2, "done", None),
    )
    checks, outputs = WHOLE_RUN[7:9], WHOLE_RUN[9:11]
    reason = "params.late_minutes changed 15 -> 20"
    step = StepRow("daily_delays", "2013-02", at(1), reason, 4.0, "done", None, nodes, tuple(checks), tuple(outputs))  # type: ignore[arg-type]  # slices of a list of all records
    assert Ledger(path).run(RUN) == RunDetail(run, (skipped, step))
    assert Ledger(path).runs() == [run]


def test_a_failure_is_read_back(ledger: Ledger) -> None:
    ledger.write(started())
    ledger.write(StepStarted(*STEP, at(1), "never published"))
    ledger.write(NodeEnded(*STEP, "delays", at(1), 0.5, 3, "failed"))
    ledger.write(StepEnded(*STEP, at(2), 1.0, "failed", error="delays failed: ValueError"))
    ledger.write(ended(outcome="failed", error="delays failed: ValueError"))
    detail = ledger.run("last")
    (step,) = detail.steps
    assert (detail.run.outcome, detail.run.error) == ("failed", "delays failed: ValueError")
    assert (step.outcome, step.reason, step.error) == ("failed", "never published", "delays failed: ValueError")
    assert step.nodes == (NodeRow("delays", at(1), 0.5, 3, "failed", None),)


def test_what_still_runs_has_no_outcome(ledger: Ledger) -> None:
    for record in WHOLE_RUN[:5]:
        ledger.write(record)
    detail = ledger.run(RUN)
    assert (detail.run.outcome, detail.run.seconds) == (None, None)
    assert detail.run.steps == {"skipped": 1, None: 1}
    assert [(node.node, node.outcome) for node in detail.steps[1].nodes] == [("delays", None), ("daily_delays", None)]


def test_a_step_that_starts_anew_is_one_step(ledger: Ledger) -> None:
    ledger.write(started())
    ledger.write(StepStarted(*STEP, at(1), "never published"))
    ledger.write(StepStarted(*STEP, at(2), "inputs changed"))
    (step,) = ledger.run(RUN).steps
    assert (step.started_at, step.reason) == (at(2), "inputs changed")


def test_what_an_earlier_run_decided_is_a_step_of_the_run_that_published_it(ledger: Ledger) -> None:
    ledger.write(started())
    output = Published(*STEP, "daily_delays", at(1), 434, 20_480, recovered=True)
    ledger.write(output)
    (step,) = ledger.run(RUN).steps
    assert (step.pipeline, step.slice, step.reason, step.outcome) == (*STEP[1:], "decided by an earlier run", "done")
    assert step.outputs == (output,)
    ledger.write(StepEnded(*STEP, at(2), 0.5, "skipped", "up to date"))
    (step,) = ledger.run(RUN).steps
    assert (step.reason, step.outcome, step.outputs) == ("up to date", "skipped", (output,))


def test_times_are_read_back_as_the_same_instants_in_order(ledger: Ledger) -> None:
    east = timezone(timedelta(hours=5))
    ledger.write(started("b", NOON.astimezone(east)))
    ledger.write(started("a", at(0.000001)))
    assert [(row.run, row.started_at) for row in ledger.runs()] == [("a", at(0.000001)), ("b", NOON)]


def test_the_latest_runs_come_first(ledger: Ledger) -> None:
    for number in range(5):
        ledger.write(started(f"run-{number}", at(number)))
        ledger.write(ended(f"run-{number}"))
    assert [row.run for row in ledger.runs(limit=3)] == ["run-4", "run-3", "run-2"]
    assert ledger.run("last").run.run == "run-4"


# ---- names -----------------------------------------------------------------------------------------------------------


def test_run_ids_sort_by_time_whatever_the_zone() -> None:
    east = timezone(timedelta(hours=5))
    moments = [NOON, at(1).astimezone(east), at(3600), at(86_400).astimezone(east)]
    ids = [new_run_id(moment) for moment in moments]
    assert ids == sorted(ids)
    assert ids[1].startswith("20261122-120001-")
    assert len(ids[0]) == len(RUN)
    assert len({new_run_id(NOON) for _ in range(20)}) > 1


def test_a_run_is_found_by_the_beginning_of_its_name(ledger: Ledger) -> None:
    for run in ("20261122-1", "20261122-12", "20261123-1"):
        ledger.write(started(run))
    assert ledger.run("20261123").run.run == "20261123-1"
    assert ledger.run("20261122-1").run.run == "20261122-1"


def test_an_ambiguous_beginning_names_the_runs(ledger: Ledger) -> None:
    for number in range(8):
        ledger.write(started(f"2026112{number}-1", at(number)))
    with pytest.raises(UsageError) as error:
        ledger.run("2026112")
    assert message(error) == (
        '"2026112" begins the names of 8 runs\n'
        "  hint: give more of one: 20261127-1, 20261126-1, 20261125-1, 20261124-1, 20261123-1, 20261122-1 and 2 more"
    )


def test_an_unknown_run_names_the_nearest(ledger: Ledger) -> None:
    ledger.write(started())
    with pytest.raises(UsageError) as error:
        ledger.run("20261122-141308-3fa2")
    assert message(error) == (
        'unknown run "20261122-141308-3fa2"\n  hint: did you mean "20261122-141309-3fa2"? known: 20261122-141309-3fa2'
    )


# ---- files -----------------------------------------------------------------------------------------------------------


def test_no_ledger_means_no_runs(ledger: Ledger, path: Path) -> None:
    assert ledger.runs() == []
    assert ledger.sweep() == []
    for name in ("last", RUN):
        with pytest.raises(UsageError) as error:
            ledger.run(name)
        assert message(error) == f'unknown run "{name}"\n  hint: there is none yet'
    assert not path.parent.exists()


def test_an_empty_file_means_no_runs(ledger: Ledger, path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert ledger.runs() == []
    ledger.write(started())
    assert len(ledger.runs()) == 1


def test_a_damaged_ledger_may_be_deleted(ledger: Ledger, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    expected = f"{path}: the run ledger is damaged\n  hint: delete the file: it is only history"
    for attempt in (ledger.runs, ledger.sweep, lambda: ledger.run("last"), lambda: ledger.write(started())):
        with pytest.raises(UsageError) as error:
            attempt()
        assert message(error) == expected
    ledger.close()
    path.unlink()
    ledger.write(started())
    assert len(ledger.runs()) == 1


def test_a_ledger_of_a_newer_flowpipe_is_left_alone(ledger: Ledger, path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 3")
    expected = (
        f"{path}: the run ledger has version 3, this flowpipe knows version 2\n"
        "  hint: upgrade flowpipe, or delete the file: it is only history"
    )
    for attempt in (ledger.runs, ledger.sweep, lambda: ledger.run("last"), lambda: ledger.write(started())):
        with pytest.raises(UsageError) as error:
            attempt()
        assert message(error) == expected


def test_a_run_does_not_start_when_its_ledger_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "ledger.db"
    with Ledger(path) as ledger, pytest.raises(UsageError) as error:
        ledger.write(started())
    assert message(error) == (
        f"{path}: the run ledger cannot be written: Not a directory\n"
        "  hint: check the folder's permissions and free space"
    )


def test_a_ledger_that_cannot_be_read_says_so(ledger: Ledger, path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(UsageError) as error:
        ledger.runs()
    # What follows is SQLite's own, and differs between its versions.
    first, hint = message(error).splitlines()
    assert first.startswith(f"{path}: the run ledger cannot be read: ")
    assert hint == "  hint: check the folder's permissions and free space"


def test_a_ledger_that_fails_in_a_run_warns_once_and_goes_on(
    ledger: Ledger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.write(started())
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE nodes")
    with caplog.at_level(logging.WARNING):
        for record in WHOLE_RUN[1:]:
            ledger.write(record)
    assert caplog.messages == ["the history of this run is incomplete: no such table: nodes"]
    assert ledger.runs()[0].outcome == "done"


def test_a_record_is_lost_while_another_writer_holds_the_file(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowpipe.ledger._PATIENCE", 0.1)
    with Ledger(path) as ledger:
        ledger.write(started())
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        ledger.write(StepStarted(*STEP, at(1), "never published"))
        ledger.write(NodeStarted(*STEP, "delays", at(1)))
        other.execute("COMMIT")
        other.close()
        ledger.write(ended())
        assert ledger.runs()[0].outcome == "done"
    assert caplog.messages == ["the history of this run is incomplete: database is locked"]


READ_ONLY = """
import os, sys
from pathlib import Path
import filelock
from flowpipe.ledger import Ledger
if os.geteuid() == 0:
    os.seteuid(65534)  # root may write everywhere
ledger = Ledger(Path(sys.argv[1]))
print(ledger.sweep(), [row.run for row in ledger.runs()], ledger.run("last").run.outcome)
"""


def test_a_read_only_ledger_can_be_read() -> None:
    # Not below `tmp_path`, which only its owner may enter.
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        with Ledger(path) as ledger:
            ledger.write(started())
        path.chmod(0o444)
        for place in (Path(folder) / "ledger.db.running", Path(folder)):
            place.chmod(0o555)
        program = [sys.executable, "-c", READ_ONLY, str(path)]
        read = subprocess.run(program, check=False, capture_output=True, text=True)
        left = sorted(file.name for file in Path(folder).iterdir())
        Path(folder).chmod(0o755)
    assert (read.stderr, read.stdout) == ("", f"[] ['{RUN}'] None\n")
    assert left == ["ledger.db", "ledger.db.running"]


# ---- processes -------------------------------------------------------------------------------------------------------

DRIVER = """
import os, sys
from datetime import datetime, UTC
from pathlib import Path
from flowpipe.ledger import Ledger
from flowpipe.records import *
ledger, run = Ledger(Path(sys.argv[1])), sys.argv[2]
now = datetime.now(UTC)
ledger.write(RunStarted(run, now, "flights", "dev", "flowpipe run", os.getpid()))
ledger.write(StepStarted(run, "done", "all", now, "never published"))
ledger.write(StepEnded(run, "done", "all", now, 0.0, "done"))
ledger.write(StepStarted(run, "daily_delays", "all", now, "never published"))
ledger.write(NodeStarted(run, "daily_delays", "all", "delays", now))
print("ready", flush=True)
sys.stdin.read()
ledger.write(RunEnded(run, now, 0.0, "done"))
"""


def drive(path: Path, run: str) -> subprocess.Popen[str]:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(path), run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout
    assert driver.stdout.readline() == "ready\n"
    return driver


def test_a_run_whose_process_died_is_crashed(ledger: Ledger, path: Path) -> None:
    dead, alive = drive(path, "dead"), drive(path, "alive")
    assert ledger.sweep() == []
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    assert ledger.sweep() == ["dead"]
    detail = ledger.run("dead")
    assert detail.run.outcome == "crashed"
    assert [(step.pipeline, step.outcome) for step in detail.steps] == [("done", "done"), ("daily_delays", "crashed")]
    assert [node.outcome for node in detail.steps[1].nodes] == ["crashed"]
    assert ledger.run("alive").run.outcome is None
    alive.communicate("")
    assert ledger.sweep() == []
    assert ledger.run("alive").run.outcome == "done"
    assert list((path.parent / f"{path.name}.running").iterdir()) == []


def test_a_run_of_this_process_is_alive_until_it_is_closed(ledger: Ledger, path: Path) -> None:
    ledger.write(started())
    assert ledger.sweep() == Ledger(path).sweep() == []
    ledger.close()
    assert Ledger(path).sweep() == [RUN]
    assert Ledger(path).sweep() == []


def test_a_run_that_lost_its_lock_file_still_ends(ledger: Ledger, path: Path) -> None:
    ledger.write(started())
    (path.parent / f"{path.name}.running" / RUN).unlink()
    with Ledger(path) as other:
        assert other.sweep() == [RUN]
    ledger.write(ended())
    assert ledger.runs()[0].outcome == "done"


WRITER = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from flowpipe.ledger import Ledger
from flowpipe.records import *
ledger, run, now = Ledger(Path(sys.argv[1])), sys.argv[2], datetime.now(UTC)
ledger.sweep()
ledger.write(RunStarted(run, now, "flights", "dev", "flowpipe run", 1))
ledger.write(StepStarted(run, "p", "all", now, "never published"))
for number in range(200):
    ledger.write(NodeEnded(run, "p", "all", f"node_{number}", now, 0.0, 1, "done"))
ledger.write(StepEnded(run, "p", "all", now, 0.0, "done"))
ledger.write(RunEnded(run, now, 0.0, "done"))
"""


def test_several_processes_write_at_once(ledger: Ledger, path: Path) -> None:
    # The file is not there yet: they also make it at once.
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"run-{number}"], stderr=subprocess.PIPE, text=True)
        for number in range(6)
    ]
    assert [writer.communicate()[1] for writer in writers] == [""] * 6
    assert ledger.sweep() == []
    for number in range(6):
        detail = ledger.run(f"run-{number}")
        assert (detail.run.outcome, len(detail.steps[0].nodes)) == ("done", 200)


def test_reading_the_ledger_imports_nothing_heavy(ledger: Ledger, path: Path) -> None:
    ledger.write(started())
    ledger.write(ended())
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from flowpipe.ledger import Ledger
        ledger = Ledger(Path(sys.argv[1]))
        heavy = {"polars", "pyarrow", "pandas", "hamilton", "pydantic", "filelock"} & set(sys.modules)
        print(ledger.sweep(), len(ledger.runs()), heavy)
    """)
    read = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert read.stdout == "[] 1 set()\n"


def test_a_ledger_of_an_older_flowpipe_is_read_and_goes_on(ledger: Ledger, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    nodes = "CREATE TABLE nodes (run TEXT, pipeline TEXT, slice TEXT, node TEXT, started_at TEXT, seconds REAL,"
    nodes += " attempts INT, outcome TEXT, rows INT, PRIMARY KEY (run, pipeline, slice, node)) WITHOUT ROWID"
    with sqlite3.connect(path) as connection:
        for statement in history.TABLES.split(";"):
            connection.execute(nodes if "TABLE nodes" in statement else statement)
        connection.execute("PRAGMA user_version = 1")
        for record in WHOLE_RUN:
            if not isinstance(record, NodeEnded):
                history.store(connection, record)
    (step,) = [step for step in ledger.run("last").steps if step.nodes]
    assert {node.worker for node in step.nodes} == {None}
    other = "20261123-000000-0000"
    ledger.write(started(other, at(60)))
    ledger.write(StepStarted(other, "p", "all", at(61), "why"))
    ledger.write(NodeEnded(other, "p", "all", "n", at(62), 1, 1, "done", worker="pid 7 on here", warning="mind"))
    (step,) = ledger.run(other).steps
    assert [(node.worker, node.warning) for node in step.nodes] == [("pid 7 on here", "mind")]
