"""A run is killed with SIGKILL between and inside all verbs of a publish; the next run makes the tables right."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import job

KILLER = Path(__file__).parent / "killer.py"
# Batches, and the projects of each; the job that also quarantines rows is slower to start.
INSIDE = {"plain": (10, 2), "quarantine": (2, 1)}
# The run after a kill is killed, too, and the one after that: so often, before one is let run to its end.
IN_A_ROW = 4
AT_RANDOM = (4, 6)


@dataclass(frozen=True)
class Prepared:
    """A project with tables whose inputs have moved on, and how an undisturbed run ends."""

    base: Path
    quarantine: bool
    undisturbed: dict[str, list[tuple[object, ...]]]
    instants: int
    seconds: float


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Prepared:
    base = tmp_path_factory.mktemp("faults") / "base"
    quarantine = request.param == "quarantine"
    job.make(base, quarantine=quarantine)
    first = job.run(base, "--to", "2024-02")
    assert first.returncode == 0, first.stderr
    job.move_on(base)
    calm, count = base.parent / "calm", base.parent / "count"
    shutil.copytree(base, calm)
    began = time.monotonic()
    counted = subprocess.run(
        [sys.executable, KILLER, count, "-", "run"], cwd=calm, capture_output=True, text=True, check=False
    )
    assert counted.returncode == 0, counted.stderr
    return Prepared(base, quarantine, job.tables(calm), int(count.read_text()), time.monotonic() - began)


@pytest.mark.parametrize("prepared", ["plain", "quarantine"], indirect=True)
def test_an_undisturbed_run_publishes_everything_once(prepared: Prepared) -> None:
    months = [pl.read_parquet(prepared.base / f"data/landing/events/2024-{month:02}.parquet") for month in (1, 2, 3)]
    good = job.passed(pl.concat(months), quarantine=prepared.quarantine)
    last = job.passed(months[2], quarantine=prepared.quarantine)
    for store in ("base", "lake"):
        found = {name.removeprefix(f"{store}/"): rows for name, rows in prepared.undisturbed.items()}
        assert found["replaced"] == job.as_rows(good)
        assert len(found.get("replaced__rejected", [])) == sum(map(len, months)) - len(good)
        merged = last.group_by(id=pl.col("id") % 50).agg(pl.col("amount").sum(), pl.col("day").max())
        assert found["merged"] == job.as_rows(merged)
        assert sorted(row[0] for row in found["appended"]) == job.appended_ids(quarantine=prepared.quarantine)
    assert len(prepared.undisturbed["folder/over.csv"]) == len(prepared.undisturbed["folder/over.parquet"]) >= 3


@pytest.mark.parametrize(
    ("prepared", "batch"),
    [(name, batch) for name, (batches, _) in INSIDE.items() for batch in range(batches)],
    indirect=["prepared"],
)
def test_killed_inside_publish(prepared: Prepared, batch: int, tmp_path: Path) -> None:
    batches, projects = INSIDE["quarantine" if prepared.quarantine else "plain"]
    chosen = random.Random(batch)
    for number in range(projects):
        project, kills = tmp_path / str(number), []
        shutil.copytree(prepared.base, project)
        # Stratified: the first kill of each project has its own stretch of all that is published.
        at = 1 + int((batch * projects + number + chosen.random()) * prepared.instants / (batches * projects))
        for _ in range(IN_A_ROW):
            killed = subprocess.run(
                [sys.executable, KILLER, tmp_path / "count", str(at), "run"],
                cwd=project,
                capture_output=True,
                text=True,
                check=False,
            )
            if kills and killed.returncode == 0:
                break  # nothing was left to be published
            kills.append(at)
            assert killed.returncode == -signal.SIGKILL, f"instants {kills} of {prepared.instants}: {killed.stderr}"
            # Early enough to be reached, since less and less is left to be published.
            at = chosen.randint(1, 60)
        assert_mended(project, prepared, f"at instants {kills} of {prepared.instants}")


@pytest.mark.parametrize(
    ("prepared", "batch"), [("plain", batch) for batch in range(AT_RANDOM[0])], indirect=["prepared"]
)
def test_killed_at_a_random_time(prepared: Prepared, batch: int, tmp_path: Path) -> None:
    chosen = random.Random(1000 + batch)
    for number in range(AT_RANDOM[1]):
        project = tmp_path / str(number)
        shutil.copytree(prepared.base, project)
        after = chosen.uniform(0.3, 1.0) * prepared.seconds
        process = subprocess.Popen(
            [sys.executable, "-m", "flowpipe", "run"], cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(after)
        process.kill()
        process.wait()
        assert_mended(project, prepared, f"after {after:.2f} s of {prepared.seconds:.2f}")


def assert_mended(project: Path, prepared: Prepared, when: str) -> None:
    """Run again and compare every table with that of the undisturbed run."""
    again = job.run(project)
    assert again.returncode == 0, f"{when}: {again.stderr}"
    found, wanted = job.tables(project), prepared.undisturbed
    wrong = [name for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)]
    assert not wrong, f"killed {when}: {wrong} differ"
    shutil.rmtree(project)
