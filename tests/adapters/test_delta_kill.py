"""A publish that is killed inside, at calls of the operating system and delta-rs, and made again: once, and whole."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from delta_lake import Lake, everyone_reads, month
from polars.testing import assert_frame_equal

from flowpipe.adapters import Held, Publication

# Counts native calls of a publish, and kills itself at one of them; with -1 it only tells how many there are.
PROCESS = """
import os, pickle, signal, sys
from pathlib import Path
from flowpipe.adapters.delta import Delta, Options

root, number = Path(sys.argv[1]), int(sys.argv[2])
publications = pickle.loads((root / "publications").read_bytes())
store = Delta(Options(url="lake"), root)
left = [number]

def count(frame, event, argument):
    if event == "c_call" and str(getattr(argument, "__module__", None)).partition(".")[0] in {"posix", "_io"} or (
        event == "c_call" and type(getattr(argument, "__self__", None)).__module__.partition(".")[0] == "deltalake"
    ):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

sys.setprofile(count)
store.publish_all(publications)
sys.setprofile(None)
print(number - left[0])
"""
MONTHS: dict[str, Any] = {"partition": {"column": "day", "every": "month"}}
TABLES: dict[str, dict[str, Any]] = {
    "batch": {"mode": "replace", **MONTHS},
    "append": {"mode": "append", **MONTHS},
    "straddling": {"mode": "replace", **MONTHS},
    "columns": {"mode": "overwrite", "schema_change": "replace"},
    "added": {"mode": "append", "schema_change": "add", **MONTHS},
    "merge": {"mode": "merge", "key": ["id"], "missing": "delete", "max_deleted": 9, "delete_when": "id = 9"},
    "snapshot": {"mode": "snapshot", "key": ["id"], "missing": "close", "max_deleted": 9},
}


def rows(number: int, *values: int) -> pl.DataFrame:
    return pl.DataFrame({"id": values, "day": [date(2013, number, 1)] * len(values)})


def seen(moment: int, *values: int) -> pl.DataFrame:
    at = pl.lit(datetime(2013, 1, moment, tzinfo=UTC)).alias("valid_from")
    ends = pl.lit(None, pl.Datetime("us", "UTC")).alias("valid_to")
    return rows(1, *values).with_columns(at, ends, pl.lit(value=True).alias("is_current"))


def prepared(root: Path, kind: str) -> tuple[Lake, Sequence[Publication]]:
    """A table with rows, and what is to be published into it."""
    lake = Lake(root, TABLES[kind])
    if kind in ("batch", "append", "added"):
        lake.publish(rows(1, 1), month("2013-01"))
        extra = [pl.lit("x").alias("new")] if kind == "added" else []
        again = [(1, 10)] if kind == "batch" else []
        slices = [*again, (2, 2), (3, 3), (4, 4)]
        return lake, [
            lake.stage(rows(number, value).with_columns(*extra), month(f"2013-0{number}"), fingerprint="f2", run="r2")
            for number, value in slices
        ]
    if kind == "straddling":
        Lake(root).publish(pl.concat([rows(1, 1), rows(2, 2)]))
        return lake, [lake.stage(rows(2, 20), month("2013-02"), fingerprint="f2", run="r2")]
    if kind == "columns":
        lake.publish(rows(1, 1))
        return lake, [lake.stage(rows(2, 2).with_columns(new=pl.lit("x")), fingerprint="f2", run="r2")]
    if kind == "merge":
        lake.publish(rows(1, 1, 2, 3))
        return lake, [lake.stage(rows(2, 2, 9, 4), fingerprint="f2", run="r2")]
    lake.publish(seen(1, 1, 2))
    publication = lake.stage(seen(2, 2, 3).with_columns(day=date(2014, 1, 1)), fingerprint="f2", run="r2")
    return lake, [replace(publication, state=replace(publication.state, published_at="2013-01-02T00:00:00+00:00"))]


def killed(root: Path, publications: Sequence[Publication], number: int) -> subprocess.CompletedProcess[str]:
    (root / "publications").write_bytes(pickle.dumps(publications))
    command = [sys.executable, "-c", PROCESS, str(root), str(number)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", TABLES)
def test_killed_inside_and_published_again(tmp_path: Path, kind: str) -> None:
    lake, publications = prepared(tmp_path / "whole", kind)
    before = everyone_reads(lake.path, "id")
    done = killed(tmp_path / "whole", publications, -1)
    assert done.returncode == 0, done.stderr
    calls = int(done.stdout)
    wanted = everyone_reads(lake.path, "id")
    assert not wanted.equals(before)
    for number in range(calls // 8, calls, max(1, calls // 4)):
        root = tmp_path / str(number)
        lake, publications = prepared(root, kind)
        assert killed(root, publications, number).returncode == -9
        between = everyone_reads(lake.path, "id").select(before.columns)
        assert sorted(between.rows()) in [sorted(each.select(before.columns).rows()) for each in (before, wanted)]
        lake.store.publish_all(publications)
        assert_frame_equal(everyone_reads(lake.path, "id"), wanted, check_row_order=False)
        held = lake.store.held(lake.dataset, [one.slice for one in publications])
        assert held == {one.slice.key: Held(one.state) for one in publications}
