"""Two machines on one table without a lock, here and on S3: of one slice one wins, and nothing is there twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from delta_lake import MONTHLY, month
from test_delta_s3 import Bucket, bucket  # noqa: F401 - a fixture

from flowpipe.adapters import Dataset
from flowpipe.adapters.delta import Delta, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.partition import WHOLE
from flowpipe.testing import suite

# Both wait for the same moment, publish, and say how each publish ended.
PROCESS = """
import json, sys, time
from pathlib import Path
from flowpipe.adapters import Dataset
from flowpipe.adapters.delta import Delta, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import PublishError
from flowpipe.testing import suite

told = json.loads(sys.argv[1])
store = suite.Store(Delta(Options(**told["store"]), Path()), Path())
dataset = Dataset("delays", DatasetConfig.model_validate({"store": "lake", "table": "delays", **told["config"]}))
staged = [
    store.stage(dataset, suite.rows(key, *values), suite.month(key), fingerprint=told["name"], run=told["name"])
    for key, values in told["slices"]
]
print("ready", flush=True)
sys.stdin.readline()
for publication in staged:
    try:
        store.adapter.publish(publication)
        print("published", flush=True)
    except PublishError as error:
        print(error.problems[0].message, flush=True)
"""
KEYS = [f"2013-{number:02}" for number in range(1, 7)]


class Machine:
    """A process that has staged and waits to publish."""

    def __init__(self, name: str, options: dict[str, object], config: dict[str, object], slices: object) -> None:

        told = json.dumps({"name": name, "store": options, "config": config, "slices": slices})
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ended(self) -> list[str]:
        out, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0
        return out.splitlines()


def race(machines: Sequence[Machine]) -> list[list[str]]:
    for machine in machines:
        machine.go()
    return [machine.ended() for machine in machines]


@pytest.fixture(params=["local", "s3"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    if request.param == "local":
        return {"url": str(tmp_path / "lake")}
    found: Bucket = request.getfixturevalue("bucket")
    return {"url": found.url, "options": found.options}


@pytest.mark.parametrize("mode", ["replace", "append", "merge"])
def test_one_slice_is_published_by_one_of_them(options: dict[str, object], tmp_path: Path, mode: str) -> None:
    config = {**MONTHLY, "mode": mode, "key": ["id"]}
    slices = [[key, [number, number + 100]] for number, key in enumerate(KEYS, 1)]
    told = race([Machine(name, options, config, slices) for name in ("one", "two")])
    store = suite.Store(Delta(Options.model_validate(options), tmp_path), tmp_path)
    dataset = Dataset("delays", DatasetConfig.model_validate({"store": "lake", "table": "delays", **config}))
    assert store.ids(dataset) == sorted([*range(1, 7), *range(101, 107)])
    held = store.adapter.held(dataset, [month(key) for key in KEYS])
    assert all(one.changed is None for one in held.values())
    winners = [one.state.run for one in held.values() if one.state is not None]
    if mode == "append":
        for name, other, ends in (("one", "two", told[0]), ("two", "one", told[1])):
            lost = "delays ({}) was already appended by run " + other + "; a slice is never appended twice"
            assert ends == [
                "published" if winner == name else lost.format(key) for key, winner in zip(KEYS, winners, strict=True)
            ]
    else:
        assert told == [["published"] * 6] * 2


def test_different_slices_all_arrive(options: dict[str, object], tmp_path: Path) -> None:
    config = {**MONTHLY}
    told = race([
        Machine(name, options, config, [[key, [number]] for number, key in enumerate(KEYS, 1) if number % 2 == rest])
        for name, rest in (("one", 0), ("two", 1))
    ])  # fmt: skip
    assert told == [["published"] * 3] * 2
    store = suite.Store(Delta(Options.model_validate(options), tmp_path), tmp_path)
    dataset = Dataset("delays", DatasetConfig.model_validate({"store": "lake", "table": "delays", **config}))
    assert store.ids(dataset, WHOLE) == list(range(1, 7))
    rows = store.read(dataset)
    assert rows.select(pl.col("day").dt.month()).to_series().sort().to_list() == list(range(1, 7))
