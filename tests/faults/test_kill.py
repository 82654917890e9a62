"""Runs are killed with SIGKILL between and inside all verbs of a publish; the next run makes the tables right.

Every mode of every store is killed a few times, seeded; `python -m benchmarks.faults` does so a thousand times.
"""

from __future__ import annotations

import functools
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import job
import polars as pl
import pytest

from benchmarks.faults import targets
from benchmarks.faults.job import FILE_MODES, TABLE_MODES, Target
from benchmarks.faults.life import FILES, VERBS, command
from benchmarks.faults.scene import Scene
from flowpipe.testing.kills import NEVER, At, Ended, in_child

KILLS = 4
LOCAL = {target.name: target for target in targets.local()}
ON_SERVERS = {"files on S3": FILE_MODES, "delta on S3": TABLE_MODES, "postgres": TABLE_MODES}
MODES = {**{name: target.modes for name, target in LOCAL.items()}, **ON_SERVERS}


@pytest.mark.parametrize(
    ("target", "mode"), [(name, mode) for name, modes in MODES.items() for mode in modes], indirect=["target"]
)
def test_a_killed_run_is_mended_by_the_next_one(target: Target, mode: str, tmp_path: Path) -> None:
    score = Scene(target, mode, tmp_path).play(KILLS, random.Random(f"{target.name} {mode}"))
    assert [str(one) for one in score.differences] == []
    assert score.kills == KILLS


# Kills of a step that publishes to several tables of several stores, and how many of them in a row.
OF_MANY = {"plain": 16, "quarantine": 12}
IN_A_ROW = 4


@dataclass(frozen=True)
class Prepared:
    """A project with tables whose inputs have moved on, and how an undisturbed run ends."""

    base: Path
    quarantine: bool
    undisturbed: dict[str, list[tuple[object, ...]]]
    instants: int


@pytest.fixture(params=OF_MANY, scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Prepared:
    base, quarantine = tmp_path_factory.mktemp("faults") / "base", request.param == "quarantine"
    job.make(base, quarantine=quarantine)
    first = functools.partial(command, str(base), ("run", "--to", "2024-02"))
    assert in_child(first, output=base / "output").value == 0
    job.move_on(base)
    calm = base.parent / "calm"
    shutil.copytree(base, calm)
    counted = run(calm)
    assert counted.value == 0
    return Prepared(base, quarantine, job.tables(calm), counted.instants)


def run(project: Path, at: At = NEVER) -> Ended:
    work = functools.partial(command, str(project), ("run",))
    return in_child(work, at=at, files=FILES, verbs=VERBS, output=project / "output")


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


def test_a_step_of_many_outputs_is_killed_and_mended(prepared: Prepared, tmp_path: Path) -> None:
    wanted, chosen = OF_MANY["quarantine" if prepared.quarantine else "plain"], random.Random(7)
    for number in range(wanted // IN_A_ROW):
        project, kills = tmp_path / str(number), []
        shutil.copytree(prepared.base, project)
        # Stratified: the first kill of each project has its own stretch of all that is published.
        at = 1 + int((number + chosen.random()) * prepared.instants * IN_A_ROW / wanted)
        for _ in range(IN_A_ROW):
            if not run(project, At(instant=at)).killed:
                break  # nothing was left to be published
            kills.append(at)
            # Early enough to be reached, since less and less is left to be published.
            at = chosen.randint(1, 200)
        assert kills
        assert run(project).value == 0, (project / "output").read_text()
        found = job.tables(project)
        wrong = [
            name
            for name in sorted({*prepared.undisturbed, *found})
            if prepared.undisturbed.get(name) != found.get(name)
        ]
        assert not wrong, f"killed at instants {kills} of {prepared.instants}: {wrong} differ"
        shutil.rmtree(project)
