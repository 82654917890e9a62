"""Other writers: one between plan and publish, and two runs of one project that know nothing of each other."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import work

from benchmarks.faults.job import Rows, Target
from benchmarks.faults.life import Life

TABLES = ("delta", "duckdb", "postgres")
# One wins; the other has nothing left to do, or comes second, or is refused.
CODES = {0, 4}


def place() -> str:
    return f"k{os.urandom(6).hex()}"


@pytest.mark.parametrize(
    ("target", "mode"),
    [(store, mode) for store in TABLES for mode in ("overwrite", "replace", "append", "merge")]
    + [("files", "overwrite"), ("files on S3", "overwrite"), ("delta on S3", "append"), ("delta on S3", "overwrite")],
    indirect=["target"],
)
def test_another_writer_between_plan_and_publish(target: Target, mode: str, tmp_path: Path) -> None:
    calm, met = (Life(target, mode, tmp_path, place()) for _ in range(2))
    for one in (calm, met):
        assert one.run(one.move_on()).value == 0, one.told()
    assert calm.run(calm.move_on()).value == 0, calm.told()
    arguments = met.move_on()
    ended = met.run(arguments, work=partial(work.beside_another, store=target.name))
    assert ended.value == 0, met.told(ended)
    # What others wrote stays, but where the publish says what the whole table is.
    columns = ("id", "day", "kind", "amount", "at")
    foreign = tuple(value for _, value in sorted(zip(columns, work.FOREIGN, strict=True)))
    kept = [] if mode == "overwrite" else [foreign]
    assert met.rows() == sorted([*calm.rows(), *kept], key=repr)
    assert met.run(arguments).value == 0, met.told()
    assert met.rows() == sorted([*calm.rows(), *kept], key=repr)


# Of the same inputs (0), or of two states of them (1).
RACES = [(store, mode, 1) for store in ("delta", "postgres", "duckdb") for mode in ("overwrite", "replace", "merge")]
RACES += [(store, "append", variant) for store in ("delta", "postgres", "files") for variant in (0, 1)]
RACES += [("duckdb", "append", 0), ("files", "overwrite", 1)]
RACES += [("files on S3", "overwrite", 1), ("files on S3", "append", 0)]
RACES += [("delta on S3", "merge", 1), ("delta on S3", "append", 0)]


@pytest.mark.parametrize(("target", "mode", "variant"), RACES, indirect=["target"])
def test_two_runs_race_without_a_lock(target: Target, mode: str, variant: int, tmp_path: Path) -> None:
    variants = (0, variant)
    right = [one_after_the_other(target, mode, order, tmp_path) for order in set(itertools.permutations(variants))]
    shared = place()
    pair = [Life(target, mode, tmp_path, shared, copy=f"-{number}") for number in range(2)]
    assert pair[0].run(pair[0].move_on()).value == 0, pair[0].told()
    pair[1].move_on()
    arguments = [life.move_on(variant) for life, variant in zip(pair, variants, strict=True)]
    racing = partial(work.racing, runs=2)
    with ThreadPoolExecutor(2) as threads:
        ended = list(threads.map(lambda life, given: life.run(given, work=racing), pair, arguments))
    told = [life.told(one) for life, one in zip(pair, ended, strict=True)]
    codes = [one.value for one in ended]
    assert 0 in codes, told
    assert all(code in CODES for code in codes), told
    assert pair[0].rows() in right, f"{codes}: {told}"


def one_after_the_other(target: Target, mode: str, variants: tuple[int, ...], folder: Path) -> Rows:
    """The rows after two copies of a project have run their second generation in this order."""
    shared = place()
    pair = [Life(target, mode, folder, shared, copy=f"-{number}") for number in range(2)]
    assert pair[0].run(pair[0].move_on()).value == 0, pair[0].told()
    pair[1].move_on()
    for life, variant in zip(pair, variants, strict=True):
        assert life.run(life.move_on(variant)).value in CODES, life.told()
    return pair[0].rows()
