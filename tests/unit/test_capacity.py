"""What calls take of an executor together."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from flowpipe.executors import Resources, Site
from flowpipe.executors.capacity import Capacity
from flowpipe.executors.local import Threads, ThreadsOptions
from flowpipe.importer import Importer


def test_when_parts_of_a_cpu_were_given_back_all_of_it_is_free(tmp_path: Path) -> None:
    parts = [Resources(cpus) for cpus in (0.1, 0.2, 0.3)]
    with closing(Threads(ThreadsOptions(workers=1), Site("run", tmp_path, Importer.of(tmp_path)))) as executor:
        capacity = Capacity(executor)
        assert all(capacity.take(part, print) for part in parts)
        for part in parts:
            capacity.give(part, print)
        assert capacity.take(Resources(4), print)  # more than there is: alone


def test_whoever_waits_is_woken_but_not_who_gives_back(tmp_path: Path) -> None:
    woken: list[str] = []

    def one() -> None:
        woken.append("one")

    def other() -> None:
        woken.append("other")

    with closing(Threads(ThreadsOptions(workers=1), Site("run", tmp_path, Importer.of(tmp_path)))) as executor:
        capacity = Capacity(executor)
        assert [capacity.take(Resources(), wake) for wake in (one, one, other)] == [True, False, False]
        capacity.give(Resources(), one)
    assert woken == ["other"]
