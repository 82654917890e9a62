"""A run is killed with SIGKILL between and inside all verbs of a publish; the next run makes the tables right."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import job

KILLER = Path(__file__).parent / "killer.py"
BATCHES = 12
KILLS = 7
RANDOM_KILLS = 3


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[tuple[object, ...]]], int, float]:
    """A project with tables of two months whose inputs have moved on; its undisturbed end, instants and seconds."""
    base = tmp_path_factory.mktemp("faults") / "base"
    job.make(base)
    first = job.run(base, "--to", "2024-02")
    assert first.returncode == 0, first.stderr
    job.move_on(base)
    calm = base.parent / "calm"
    shutil.copytree(base, calm)
    began = time.monotonic()
    counted = subprocess.run(
        [sys.executable, KILLER, base.parent / "count", "-", "run"],
        cwd=calm,
        capture_output=True,
        text=True,
        check=False,
    )
    assert counted.returncode == 0, counted.stderr
    return base, job.tables(calm), int((base.parent / "count").read_text()), time.monotonic() - began


def test_an_undisturbed_run_publishes_everything_once(prepared) -> None:
    base, undisturbed, instants, _ = prepared
    months = [pl.read_parquet(base / f"data/landing/events/2024-{month:02}.parquet") for month in (1, 2, 3)]
    rows = pl.concat(months)
    good, bad = rows.filter(pl.col("kind") != "oops"), rows.filter(pl.col("kind") == "oops")
    last = months[2].filter(pl.col("kind") != "oops")
    for store in ("base", "lake"):
        assert undisturbed[f"{store}/replaced"] == job.as_rows(good)
        assert len(undisturbed[f"{store}/replaced__rejected"]) == bad.height > 0
        merged = last.group_by(id=pl.col("id") % 50).agg(pl.col("amount").sum(), pl.col("day").max())
        assert undisturbed[f"{store}/merged"] == job.as_rows(merged)
        assert sorted(row[0] for row in undisturbed[f"{store}/appended"]) == job.appended_ids()
    assert len(undisturbed["folder/over.csv"]) == len(undisturbed["folder/over.parquet"]) == 3
    assert instants > BATCHES * KILLS


@pytest.mark.parametrize("batch", range(BATCHES))
def test_killed_inside_publish(prepared, batch: int, tmp_path: Path) -> None:
    base, undisturbed, instants, _ = prepared
    chosen = random.Random(batch)
    for number in range(KILLS):
        # Stratified: each kill has its own stretch of the publish.
        width = instants / (BATCHES * KILLS)
        at = 1 + int((batch * KILLS + number + chosen.random()) * width)
        project = tmp_path / str(number)
        shutil.copytree(base, project)
        killed = subprocess.run(
            [sys.executable, KILLER, tmp_path / "count", str(at), "run"], cwd=project, capture_output=True, check=False
        )
        assert killed.returncode == -signal.SIGKILL, f"instant {at} of {instants}"
        assert_mended(project, undisturbed, f"instant {at} of {instants}")


@pytest.mark.parametrize("batch", range(BATCHES))
def test_killed_at_a_random_time(prepared, batch: int, tmp_path: Path) -> None:
    base, undisturbed, _, seconds = prepared
    chosen = random.Random(1000 + batch)
    for number in range(RANDOM_KILLS):
        project = tmp_path / str(number)
        shutil.copytree(base, project)
        after = chosen.uniform(0.2, 1.0) * seconds
        process = subprocess.Popen(
            [sys.executable, "-m", "flowpipe", "run"], cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(after)
        process.kill()
        process.wait()
        assert_mended(project, undisturbed, f"after {after:.2f} s of {seconds:.2f}")


def assert_mended(project: Path, undisturbed: dict[str, list[tuple[object, ...]]], when: str) -> None:
    again = job.run(project)
    assert again.returncode == 0, f"{when}: {again.stderr}"
    found = job.tables(project)
    wrong = [name for name in undisturbed.keys() | found.keys() if undisturbed.get(name) != found.get(name)]
    assert not wrong, f"killed {when}: {wrong} differ"
    shutil.rmtree(project)
