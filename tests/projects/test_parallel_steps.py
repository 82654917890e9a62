"""Which steps run at the same time, what waits for what, and what becomes of the others when one fails or all stop."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from months import FILES, IDLE, beside, ids, is_alive, published, running, shared_memory, shown, steps

from flowpipe.project import Project
from flowpipe.records import Published, Record, RunStarted, StepEnded, StepStarted
from flowpipe.run import RunResult
from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]

ISOLATED = ("threads", "processes")
MEETING = beside('tell(f"here-{month}"); until("here-2024-01", "here-2024-02")')
INTERRUPTED = "error: interrupted; nothing is half published\n  hint: run the same command again to go on\n"


@pytest.fixture
def months(empty_project: Make) -> ProjectFolder:
    return empty_project(FILES)


def ran(
    project: ProjectFolder, executor: str, workers: int = 2, listen: Callable[[Record], None] = lambda _: None
) -> RunResult:
    sets = [f"executor.type={executor}", f"executor.workers={workers}"]
    return Project.load(project.path, sets=sets).run(on_record=listen)


def two(executor: str) -> tuple[str, ...]:
    """The flags for an executor of two workers."""
    return "--set", f"executor.type={executor}", "--set", "executor.workers=2"


def at_first(project: ProjectFolder, *sets: str) -> int:
    """How many steps of a run begin before anything else happens."""
    told: list[Record] = []
    result = Project.load(project.path, sets=sets).run(force=True, on_record=told.append)
    assert result.error is None
    assert isinstance(told[0], RunStarted)
    return next(number for number, record in enumerate(told[1:]) if not isinstance(record, StepStarted))


@pytest.mark.parametrize("executor", ISOLATED)
def test_two_partitions_run_at_the_same_time(months: ProjectFolder, executor: str) -> None:
    months.write(MEETING)
    done = months.flowpipe("run", *two(executor))
    assert (done.code, done.err) == (0, "")
    assert ids(months) == [1, 2, 3]
    assert steps(months) == {f"cut 2024-0{n}": "done" for n in (1, 2, 3)}
    assert [step["nodes"][0]["outcome"] for step in shown(months)["steps"]] == ["done"] * 3


def test_how_many_run_at_once(months: ProjectFolder) -> None:
    assert at_first(months, "executor.type=sync") == 1
    assert at_first(months) == 3, "threads: at least 4"
    threads = ("executor.type=threads", "executor.workers=2")
    assert at_first(months, *threads) == 2
    assert at_first(months, "executor.type=processes", "executor.workers=2") == 2
    assert at_first(months, *threads, "max_parallel_steps=1") == 1
    assert at_first(months, *threads, "max_parallel_steps=3") == 3
    months.write({"conf/project.yml": "name: small\ndefaults: {max_parallel_steps: 1}\n"})
    assert at_first(months) == 1
    profile = FILES["conf/profiles/dev.yml"].rstrip() + "\n        max_parallel_steps: 2\n"
    months.write({"conf/profiles/dev.yml": profile})
    assert at_first(months) == 2


SUMS = {
    "conf/catalog.yml": FILES["conf/catalog.yml"].rstrip()
    + '\n        sum: {store: here, path: "sum/{partition}.csv", mode: replace, partition: {every: month}}\n',
    "conf/pipelines/sums.yml": "modules: [sums]\nwrites: [sum]\n"
    "partitions: {every: month, start: 2024-01, end: 2024-02}\n",
    "pipelines/sums.py": """
        import polars as pl
        from waiting import tell


        def sum(out: pl.LazyFrame, partition: str) -> pl.LazyFrame:
            tell(f"sum-{partition}")
            return out.select(pl.col("id").sum())
        """,
}


@pytest.mark.parametrize("executor", ISOLATED)
def test_a_reader_waits_for_its_own_window_alone(months: ProjectFolder, executor: str) -> None:
    # February goes on when January's sum is there, which cannot begin before January is published.
    node = 'month == "2024-02" and until("sum-2024-01")'
    months.write(SUMS | beside(node)).write(
        {"conf/pipelines/cut.yml": FILES["conf/pipelines/cut.yml"].replace("2024-03", "2024-02")}
    )
    done = months.flowpipe("run", "--json", *two(executor))
    assert (done.code, done.err) == (0, "")
    told = [json.loads(line) for line in done.out.splitlines()]
    order = [(each["record"], each["pipeline"], each["slice"]) for each in told if "slice" in each]
    for month in ("2024-01", "2024-02"):
        assert order.index(("Published", "cut", month)) < order.index(("StepStarted", "sums", month))
    assert order.index(("StepStarted", "sums", "2024-01")) < order.index(("Published", "cut", "2024-02"))
    assert pl.read_csv(months.path / "data/sum/2024-02.csv")["id"].to_list() == [2]


ONE_BY_ONE = {
    "merge": "{store: lake, table: out, mode: merge, key: [id]}",
    "merge into duckdb": "{store: base, table: out, mode: merge, key: [id]}",
    "snapshot": "{store: lake, table: out, mode: snapshot, key: [id], effective: run_time}",
}


@pytest.mark.parametrize("case", ONE_BY_ONE)
@pytest.mark.parametrize("executor", ISOLATED)
def test_steps_that_change_the_same_rows_run_one_by_one(months: ProjectFolder, case: str, executor: str) -> None:
    months.write({"conf/catalog.yml": f"{_rows()}out: {ONE_BY_ONE[case]}\n"})
    told: list[tuple[str, str]] = []

    def listen(record: Record) -> None:
        if isinstance(record, StepStarted | Published):
            told.append((type(record).__name__, record.slice))

    result = ran(months, executor, listen=listen)
    assert result.error is None
    assert told == [(kind, f"2024-0{n}") for n in (1, 2, 3) for kind in ("StepStarted", "Published")]


def _rows() -> str:
    return "rows: {store: here, path: rows.csv, options: {try_parse_dates: true}}\n"


@pytest.mark.parametrize("executor", ISOLATED)
def test_after_the_first_failure_what_runs_is_published(
    months: ProjectFolder, executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(months.path)
    months.write(
        beside(
            'tell(f"here-{month}")\n'
            '    if month == "2024-01":\n        until("here-2024-02")\n        raise ValueError("bad month")\n'
            '    until("failed")'
        )
    )

    def listen(record: Record) -> None:
        if isinstance(record, StepEnded) and record.outcome == "failed":
            Path("failed").touch()

    result = ran(months, executor, listen=listen)
    assert result.error
    assert (result.error.exit_code, result.outcome) == (1, "failed")
    assert re.sub(" on pid .*: V", ": V", str(result.error)).splitlines()[:2] == [
        "pipelines/cut.py:12: node out failed: ValueError: bad month",
        '  at pipelines/beside.py:11: raise ValueError("bad month")',
    ]
    assert list(result.outcomes.items()) == [("cut 2024-01", "failed"), ("cut 2024-02", "done")]
    assert steps(months) == {"cut 2024-01": "failed", "cut 2024-02": "done"}
    assert published(months) == {"2024-02.parquet"}
    months.write({"pipelines/beside.py": IDLE})
    again = ran(months, executor)
    # The code changed for all of them.
    assert sorted(again.outcomes.items()) == [(f"cut 2024-0{n}", "done") for n in (1, 2, 3)]


def test_what_failed_is_all_that_is_run_again(months: ProjectFolder) -> None:
    months.write(beside('assert month == "2024-02" or not Path("bad").exists()')).write({"bad": ""})
    assert months.flowpipe("run").code == 1
    (months.path / "bad").unlink()
    assert months.flowpipe("run").code == 0
    assert steps(months) == {"cut 2024-01": "done", "cut 2024-02": "skipped", "cut 2024-03": "done"}
    assert ids(months) == [1, 2, 3]


@pytest.mark.parametrize("executor", ISOLATED)
def test_two_that_fail_at_once_are_both_told_of(months: ProjectFolder, executor: str) -> None:
    node = 'tell(f"here-{month}"); until("here-2024-01", "here-2024-02"); raise ValueError(f"no {month}")'
    months.write(beside(node))
    done = months.flowpipe("run", *two(executor))
    assert done.code == 1
    assert len(re.findall("^error: ", done.err, re.MULTILINE)) == 1
    found = {step["slice"]: (step["outcome"], step["error"]) for step in shown(months)["steps"]}
    assert found.keys() == {"2024-01", "2024-02"}
    for month, (outcome, error) in found.items():
        assert outcome == "failed"
        assert f"ValueError: no {month}" in error
    assert published(months) == set()


def test_a_publish_that_fails_while_others_run(months: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(months.path)
    months.write(beside('month == "2024-03" and until("failed")'))
    blocked = months.path / "data/out/2024-02.parquet"
    blocked.mkdir(parents=True)

    def listen(record: Record) -> None:
        if isinstance(record, StepEnded) and record.outcome == "failed":
            Path("failed").touch()

    result = ran(months, "threads", 3, listen=listen)
    assert result.error
    assert result.error.exit_code == 4
    assert sorted(result.outcomes.items()) == [
        ("cut 2024-01", "done"),
        ("cut 2024-02", "failed"),
        ("cut 2024-03", "done"),
    ]
    blocked.rmdir()
    again = months.flowpipe("run")
    assert (again.code, again.err) == (0, "")
    assert "cut 2024-02  recovered: out 1 row" in again.out
    assert ids(months) == [1, 2, 3]


def wait_for(process: subprocess.Popen[str], *paths: Path) -> None:
    while not all(path.exists() for path in paths):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "place", "executor"),
    [
        (signal.SIGINT, "node", "threads"),
        (signal.SIGTERM, "staging", "threads"),
        (signal.SIGTERM, "node", "processes"),
        (signal.SIGINT, "staging", "processes"),
    ],
)
def test_a_signal_ends_all_steps(months: ProjectFolder, number: int, place: str, executor: str) -> None:
    waits = 'tell(f"here-{month}"); Path("stay").exists() and until("never")'
    months.write(beside(**{place: waits})).write({"stay": ""})
    here = [months.path / f"here-2024-0{n}" for n in (1, 2)]
    with running(months, *two(executor)) as process:
        wait_for(process, *here)
        began = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate()
        assert time.monotonic() - began < 20
    assert (process.returncode, err) == (128 + number, INTERRUPTED)
    assert steps(months) == {"cut 2024-01": "cancelled", "cut 2024-02": "cancelled"}
    assert not any(is_alive(int(path.read_text())) for path in here)
    assert shared_memory(shown(months)["run"]["run"]) == []
    assert published(months) == set()
    (months.path / "stay").unlink()
    done = months.flowpipe("run", *two(executor))
    assert (done.code, done.err) == (0, "")
    assert ids(months) == [1, 2, 3]
    assert list((months.path / ".flowpipe/dev/scratch").glob("*")) == []
    assert list((months.path / ".flowpipe/dev/intents").glob("*")) == []


@pytest.mark.parametrize("place", ["node", "staging"])
def test_workers_outlive_no_driver_that_is_killed(months: ProjectFolder, place: str) -> None:
    waits = 'tell(f"here-{month}"); Path("stay").exists() and until("never")'
    months.write(beside(**{place: waits})).write({"stay": ""})
    here = [months.path / f"here-2024-0{n}" for n in (1, 2)]
    with running(months, *two("processes")) as process:
        wait_for(process, *here)
        process.kill()
        process.wait()
    until = time.monotonic() + 10
    while any(is_alive(int(path.read_text())) for path in here):
        assert time.monotonic() < until
        time.sleep(0.05)
    run = json.loads(months.flowpipe("runs", "--json").out)[0]
    assert run["outcome"] == "crashed"
    (months.path / "stay").unlink()
    done = months.flowpipe("run", *two("processes"))
    assert (done.code, done.err) == (0, "")
    assert ids(months) == [1, 2, 3]
    assert shared_memory(run["run"]) == []
    assert list((months.path / ".flowpipe/dev/scratch").glob("*")) == []


@pytest.mark.parametrize("executor", ISOLATED)
def test_a_deadline_ends_all_steps(months: ProjectFolder, executor: str) -> None:
    months.write(beside('until("never")'))
    done = months.flowpipe("run", "--deadline", "3s", *two(executor))
    assert (done.code, done.err) == (
        1,
        (
            "error: the deadline of 3s has passed; 0 of 3 steps are done\n"
            "  hint: run the same command again to go on, or give it more time: --deadline 6s\n"
        ),
    )
    assert steps(months) == {"cut 2024-01": "cancelled", "cut 2024-02": "cancelled"}


@pytest.mark.parametrize("executor", ISOLATED)
def test_the_timeout_of_a_step(months: ProjectFolder, executor: str) -> None:
    months.write(beside('month == "2024-02" and (tell("pid"), until("never"))')).write(
        {"conf/pipelines/cut.yml": FILES["conf/pipelines/cut.yml"] + "timeout: 8s\nretry: {attempts: 3, wait: 1ms}\n"}
    )
    done = months.flowpipe("run", *two(executor))
    assert (done.code, done.err) == (
        1,
        (
            "error: step cut 2024-02 took longer than its timeout of 8s\n"
            "  hint: give it more with `timeout:`, or see what it waited for with `flowpipe show last`\n"
        ),
    )
    assert steps(months)["cut 2024-02"] == "failed"
    assert not is_alive(int((months.path / "pid").read_text()))


def test_all_that_runs_is_seen_on_a_terminal(months: ProjectFolder) -> None:
    months.write(beside('until("go")'))
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "flowpipe", "run", "-v", "--set", "max_parallel_steps=2"]
    environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(command, cwd=months.path, env=environment, stdout=follower) as process:
        os.close(follower)
        seen = ""
        while "cut 2024-01: out; cut 2024-02: out" not in seen:
            seen += os.read(leader, 65536).decode()
        (months.path / "go").touch()
        while True:
            try:
                seen += os.read(leader, 65536).decode()
            except OSError:
                break
    assert process.returncode == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
    assert re.search(r"^    cut 2024-0\d: out  done ", plain, re.MULTILINE)
    assert re.search(r"^  cut 2024-03 +done +out 1 row ", plain, re.MULTILINE)
