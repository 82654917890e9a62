"""A run that takes longer than its deadline: how it ends, and that the next one goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest

from flowpipe.errors import DeadlinePassed
from flowpipe.project import Project
from flowpipe.run import RunResult
from tests.conftest import ProjectFolder

HINT = "  hint: run the same command again to go on, or give it more time: --deadline {}\n"

# One quick pipeline, and one that sleeps for as long as the file `sleep` says, in its node or while rows are computed.
SLOW = {
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        doubled: {store: here, path: doubled.parquet}
        slept: {store: here, path: slept.parquet}
        """,
    "conf/pipelines/slow.yml": "modules: [slow]\nwrites: [slept]\n",
    "pipelines/slow.py": """
        import time
        from pathlib import Path

        import polars as pl


        def _sleep(place: str) -> None:
            where, seconds = Path("sleep").read_text().split()
            if where == place:
                time.sleep(float(seconds))


        def _staged(frame: pl.DataFrame) -> pl.DataFrame:
            _sleep("staging")
            return frame


        def slept(doubled: pl.LazyFrame) -> pl.LazyFrame:
            _sleep("node")
            return doubled.map_batches(_staged)
        """,
    "sleep": "node 60",
}


@pytest.fixture
def slow(project: ProjectFolder) -> ProjectFolder:
    return project.write(SLOW)


def last_run(project: ProjectFolder) -> tuple[str, list[tuple[str, str]], str | None]:
    """Outcome, steps with theirs, and error of the last run, as the ledger keeps them."""
    shown = json.loads(project.flowpipe("show", "last", "--json").out)
    return (
        shown["run"]["outcome"],
        [(step["pipeline"], step["outcome"]) for step in shown["steps"]],
        shown["run"]["error"],
    )


@pytest.mark.parametrize("executor", ["threads", "sync"])
@pytest.mark.parametrize("place", ["node", "staging"])
def test_a_run_is_stopped_at_its_deadline(slow: ProjectFolder, executor: str, place: str) -> None:
    slow.write({"sleep": f"{place} 60"})
    began = time.monotonic()
    stopped = slow.flowpipe("run", "--deadline", "4s", "--set", f"executor.type={executor}")
    assert 4 < time.monotonic() - began < 30
    error = "the deadline of 4s has passed; 1 of 2 steps are done\n" + HINT.format("8s")
    assert (stopped.code, stopped.err) == (1, f"error: {error}")
    assert [line.split()[:2] for line in stopped.out.splitlines()[1:-1]] == [["double", "done"], ["slow", "cancelled"]]
    assert stopped.out.splitlines()[-1].startswith("failed: 1 done, 1 cancelled in ")
    assert last_run(slow) == ("failed", [("double", "done"), ("slow", "cancelled")], error.rstrip("\n"))
    assert {path.name for path in (slow.path / "data").iterdir()} == {"numbers.csv", "doubled.parquet"}

    slow.write({"sleep": "nowhere 0"})
    again = slow.flowpipe("run", "--deadline", "10m")
    assert (again.code, again.err) == (0, "")
    assert pl.read_parquet(slow.path / "data/slept.parquet")["n"].to_list() == [2, 4, 6]
    assert last_run(slow) == ("done", [("double", "skipped"), ("slow", "done")], None)


def test_what_is_published_at_the_deadline_is_finished(slow: ProjectFolder) -> None:
    slowly = """
        import sys, time
        from flowpipe.adapters.files.store import Files
        from flowpipe.cli import main

        publish = Files.publish


        def slowly(self, publication):
            time.sleep(3)
            publish(self, publication)


        Files.publish = slowly
        sys.argv = ["flowpipe", "run", "--deadline", "2500ms"]
        main()
        """
    slow.write({"slowly.py": slowly})
    stopped = subprocess.run([sys.executable, "slowly.py"], cwd=slow.path, capture_output=True, text=True, check=False)
    error = "error: the deadline of 2500ms has passed; 1 of 2 steps are done\n" + HINT.format("5s")
    assert (stopped.returncode, stopped.stderr) == (1, error)
    assert pl.read_parquet(slow.path / "data/doubled.parquet")["n"].to_list() == [2, 4, 6]
    assert list((slow.path / ".flowpipe/dev/intents").iterdir()) == []
    assert last_run(slow)[:2] == ("failed", [("double", "done")])


def test_the_flag_is_stronger_than_the_profile_and_that_than_the_project(slow: ProjectFolder) -> None:
    profile = (slow.path / "conf/profiles/dev.yml").read_text()
    slow.write({"conf/project.yml": "name: small\ndefaults: {deadline: 3s}\n"})
    assert "the deadline of 3s has passed; " in slow.flowpipe("run").err
    slow.write({"conf/profiles/dev.yml": f"{profile}deadline: 2s\n"})
    assert "the deadline of 2s has passed; " in slow.flowpipe("run").err
    assert "the deadline of 1s has passed" in slow.flowpipe("run", "--set", "deadline=1s").err
    slow.write({"sleep": "node 3"})
    assert slow.flowpipe("run", "--deadline", "1h").code == 0
    assert slow.flowpipe("run", "--deadline", "soon").err == (
        'error: --deadline: "soon" is not a duration\n  hint: write it like 30s, 10m or 2h\n'
    )


def test_no_step_starts_where_there_is_no_time_at_all(slow: ProjectFolder) -> None:
    stopped = slow.flowpipe("run", "--deadline", "0s")
    assert (stopped.code, stopped.err.splitlines()[0][:42]) == (1, "error: the deadline of 0ms has passed")
    assert last_run(slow)[:2] == ("failed", [])


def in_thread(work: Callable[[], RunResult]) -> RunResult:
    results: list[RunResult] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def test_a_run_of_another_thread_looks_at_the_clock_between_nodes(
    slow: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow.write({"sleep": "node 3"})
    monkeypatch.chdir(slow.path)
    result = in_thread(lambda: Project.load(slow.path).run(deadline=timedelta(seconds=3)))
    assert isinstance(result.error, DeadlinePassed)
    assert str(result.error) == "the deadline of 3s has passed; 1 of 2 steps are done\n" + HINT.format("6s").rstrip()
    assert (result.outcome, result.outcomes) == ("failed", {"double": "done", "slow": "cancelled"})
