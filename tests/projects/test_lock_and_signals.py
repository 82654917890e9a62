"""Runs that overlap, runs that are told to stop, and nodes that are tried again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pytest

from tests.conftest import ProjectFolder

INTERRUPTED = "error: interrupted; nothing is half published\n  hint: run the same command again to go on\n"

# Each waits, where its name says, for the file `go`, having touched the file `here`.
WAITING = {
    "pipelines/double.py": """
        import time
        from pathlib import Path

        import polars as pl


        def _wait(place: str) -> None:
            if Path("where").read_text() == place:
                Path("here").touch()
                while not Path("go").exists():
                    time.sleep(0.01)


        def _wait_staging(frame: pl.DataFrame) -> pl.DataFrame:
            _wait("staging")
            return frame


        def doubled(numbers: pl.LazyFrame, factor: int) -> pl.LazyFrame:
            _wait("node")
            return numbers.select(pl.col("n") * factor).map_batches(_wait_staging)
        """,
    "where": "nowhere",
}


@contextmanager
def running(project: ProjectFolder, place: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has come to a place and waits there."""
    project.write({"where": place})
    with subprocess.Popen(
        [sys.executable, "-m", "flowpipe", *(arguments or ("run",))],
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (project.path / "here").exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield process
        project.write({"where": "nowhere"})
    (project.path / "here").unlink()


def data(project: ProjectFolder) -> set[str]:
    return {path.name for path in (project.path / "data").iterdir()}


def outcomes(project: ProjectFolder) -> list[str]:
    """The outcomes of all runs, newest first."""
    return [entry["outcome"] for entry in json.loads(project.flowpipe("runs", "--json").out)]


@pytest.fixture
def waiting(project: ProjectFolder) -> ProjectFolder:
    return project.write(WAITING)


def test_an_overlapping_run(waiting: ProjectFolder) -> None:
    with running(waiting, "node") as first:
        second = waiting.flowpipe("run")
        assert (second.code, second.out, second.err) == (
            75,
            "",
            (
                f"error: another run of this project and profile holds {waiting.path}/.flowpipe/dev/lock\n"
                "  hint: wait for it with --wait 10m, or look at it with `flowpipe runs`\n"
            ),
        )
        assert outcomes(waiting) == [None]
        assert waiting.flowpipe("runs").out.splitlines()[1].endswith("running        1 running")
        patient = subprocess.Popen(
            [sys.executable, "-m", "flowpipe", "run", "--wait", "10m"], cwd=waiting.path, stdout=subprocess.PIPE
        )
        assert waiting.flowpipe("plan").code == 0, "only runs wait for runs"
        assert patient.poll() is None
        (waiting.path / "go").touch()
        assert first.wait() == 0
        out, _ = patient.communicate()
        assert patient.returncode == 0
        assert b"skipped" in out
    assert outcomes(waiting) == ["done", "done"]


@pytest.mark.parametrize(
    ("number", "place", "executor"),
    [
        (signal.SIGINT, "node", "threads"),
        (signal.SIGTERM, "node", "sync"),
        (signal.SIGTERM, "staging", "threads"),
        (signal.SIGINT, "staging", "sync"),
    ],
)
def test_a_signal_ends_a_run(waiting: ProjectFolder, number: int, place: str, executor: str) -> None:
    profile = (waiting.path / "conf/profiles/dev.yml").read_text()
    waiting.write({"conf/profiles/dev.yml": f"{profile}executor: {{type: {executor}}}\n"})
    with running(waiting, place) as process:
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, err) == (128 + number, INTERRUPTED)
    assert [line.split()[0] for line in out.splitlines()] == ["run", "double", "cancelled:"]
    assert "doubled.parquet" not in data(waiting)
    shown = json.loads(waiting.flowpipe("show", "last", "--json").out)
    node = "cancelled" if (place, executor) == ("node", "threads") else "failed" if place == "node" else "done"
    (step,) = shown["steps"]
    assert (shown["run"]["outcome"], step["outcome"]) == ("cancelled", "cancelled")
    assert [each["outcome"] for each in step["nodes"]] == [node]
    done = waiting.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    assert pl.read_parquet(waiting.path / "data/doubled.parquet")["n"].to_list() == [2, 4, 6]
    assert list((waiting.path / ".flowpipe/dev/intents").iterdir()) == []


# Sends itself a signal while the first of two outputs is published.
STOPPED_IN_PUBLISH = """
import os, signal, sys
from flowpipe.adapters.files.store import Files
from flowpipe.cli import main

publish = Files.publish


def stopped(self, publication):
    publish(self, publication)
    os.kill(os.getpid(), signal.SIGTERM)


Files.publish = stopped
sys.argv = ["flowpipe", "run"]
main()
"""


def test_a_signal_during_a_publish_waits_for_all_of_the_step(project: ProjectFolder) -> None:
    project.write(
        {
            "conf/catalog.yml": """
                numbers: {store: here, path: numbers.csv}
                doubled: {store: here, path: doubled.parquet}
                table: {store: base, table: numbers}
                last: {store: here, path: last.csv}
                """,
            "conf/pipelines/double.yml": """
                modules: [double]
                params: {factor: 2}
                writes: {doubled: doubled, again: table}
                """,
            "conf/pipelines/last.yml": "modules: [last]\nreads: {rows: doubled}\nwrites: [last]\n",
            "pipelines/double.py": """
                import polars as pl


                def doubled(numbers: pl.LazyFrame, factor: int) -> pl.LazyFrame:
                    return numbers.select(pl.col("n") * factor)


                def again(doubled: pl.LazyFrame) -> pl.LazyFrame:
                    return doubled
                """,
            "pipelines/last.py": """
                import polars as pl


                def last(rows: pl.LazyFrame) -> pl.LazyFrame:
                    return rows
                """,
        }
    )
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED_IN_PUBLISH], cwd=project.path, capture_output=True, text=True, check=False
    )
    assert (stopped.returncode, stopped.stderr) == (143, INTERRUPTED)
    assert {"doubled.parquet", "base.duckdb"} <= data(project)
    assert "last.csv" not in data(project)
    assert list((project.path / ".flowpipe/dev/intents").iterdir()) == []
    assert outcomes(project) == ["cancelled"]
    done = project.flowpipe("run")
    assert [line.split()[:2] for line in done.out.splitlines()[1:-1]] == [["double", "skipped"], ["last", "done"]]


FLAKY = {
    "conf/pipelines/double.yml": """
        modules: [double]
        params: {factor: 2}
        writes: [doubled]
        retry: {attempts: 2, wait: 1ms, errors: [ConnectionError]}
        nodes: {flaky: {retry: {attempts: 4, wait: 1ms, errors: [TimeoutError, json.JSONDecodeError]}}}
        """,
    "pipelines/double.py": """
        from pathlib import Path

        import polars as pl


        def _fail(name: str, times: int, error: Exception) -> None:
            tries = Path(name)
            done = len(tries.read_text()) if tries.exists() else 0
            tries.write_text("x" * (done + 1))
            if done < times:
                raise error


        def flaky(numbers: pl.LazyFrame) -> pl.LazyFrame:
            _fail("flaky", 3, TimeoutError("no answer"))
            return numbers


        def doubled(flaky: pl.LazyFrame, factor: int) -> pl.LazyFrame:
            _fail("doubled", 1, ConnectionError("refused"))
            return flaky
        """,
}


def test_nodes_are_tried_again_as_the_yaml_says(project: ProjectFolder) -> None:
    done = project.write(FLAKY).flowpipe("run", "-v")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[:2] + line.split()[-2:] for line in done.out.splitlines() if "attempts" in line] == [
        ["flaky", "done", "4", "attempts"],
        ["doubled", "done", "2", "attempts"],
    ]
    (step,) = json.loads(project.flowpipe("show", "last", "--json").out)["steps"]
    assert {node["node"]: node["attempts"] for node in step["nodes"]} == {"flaky": 4, "doubled": 2}

    (project.path / "flaky").unlink()
    edited = (project.path / "conf/pipelines/double.yml").read_text().replace("attempts: 4", "attempts: 3")
    project.write({"conf/pipelines/double.yml": edited})
    failed = project.flowpipe("run", "--force")
    assert (failed.code, failed.err) == (
        1,
        (
            "error: pipelines/double.py:14: node flaky failed after 3 attempts: TimeoutError: no answer\n"
            "  at pipelines/double.py:11: raise error\n"
            "  hint: run again with --debug to see the traceback\n"
        ),
    )

    (project.path / "flaky").unlink()
    project.write({"conf/pipelines/double.yml": edited.replace("TimeoutError", "OSError, ValueErorr")})
    wrong = project.flowpipe("check")
    assert (wrong.code, wrong.err) == (
        2,
        'error: conf/pipelines/double.yml:5:67: unknown exception "ValueErorr"\n  hint: did you mean "ValueError"?\n',
    )
