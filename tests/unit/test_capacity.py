"""What calls take of an executor together is bounded, and whoever waits hears when something is free again."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowpipe.executors import Resources, Site
from flowpipe.executors.capacity import Capacity
from flowpipe.executors.processes import Processes, ProcessesOptions
from flowpipe.importer import Importer


@pytest.fixture
def capacity(tmp_path: Path) -> Capacity:
    """Of two CPUs and 1 GB, without a GPU."""
    site = Site("run", tmp_path / "scratch", Importer.of(tmp_path))
    executor = Processes(ProcessesOptions(workers=2, memory="1GB"), site)
    executor.close()
    return Capacity(executor)


def no_wake() -> None:
    raise AssertionError


def test_cpus_are_counted_and_a_waiter_is_woken_once(capacity: Capacity) -> None:
    woken: list[str] = []
    assert capacity.take(Resources(1), no_wake)
    assert capacity.take(Resources(1), no_wake)
    one, other = (lambda: woken.append("one")), (lambda: woken.append("other"))
    assert not capacity.take(Resources(1), one)
    assert not capacity.take(Resources(1), one)
    assert not capacity.take(Resources(0.5), other)
    capacity.give(Resources(1))
    assert woken == ["one", "other"]
    capacity.give(Resources(1))
    assert woken == ["one", "other"]
    assert capacity.take(Resources(2), no_wake)


@pytest.mark.parametrize("much", [Resources(3), Resources(1, 2e9), Resources(1, 0, 1)])
def test_what_wants_more_than_there_is_runs_alone(capacity: Capacity, much: Resources) -> None:
    assert capacity.take(Resources(1), no_wake)
    assert not capacity.take(much, lambda: None)
    capacity.give(Resources(1))
    assert capacity.take(much, no_wake)
    capacity.give(much)
    assert capacity.take(much, no_wake)


def test_memory_and_gpus_count_only_where_they_are_asked_for(capacity: Capacity) -> None:
    assert capacity.take(Resources(1, 1e9), no_wake)
    assert not capacity.take(Resources(1, 1), lambda: None)
    assert not capacity.take(Resources(1, 0, 1), lambda: None)
    assert capacity.take(Resources(1), no_wake)


def test_shares_of_a_cpu_leave_nothing_behind(capacity: Capacity) -> None:
    shares = [Resources(0.1)] * 3
    assert all(capacity.take(share, no_wake) for share in shares)
    for share in shares:
        capacity.give(share)
    assert capacity.take(Resources(5), no_wake)
    capacity.give(Resources(5))
    assert capacity.take(Resources(2), no_wake)
