"""Which step of a plan must wait until an earlier one is published."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpipe import partition
from flowpipe.adapters import Dataset
from flowpipe.audit import Audit
from flowpipe.bound import Bound, Read, Write
from flowpipe.config import PipelineConfig
from flowpipe.datasets import DatasetConfig, PartitionBy
from flowpipe.partition import WHOLE, Slice
from flowpipe.pipeline import Pipeline
from flowpipe.plan import Step
from flowpipe.steps import _waits_for

MONTHLY = PartitionBy(every="month", column="day")


def dataset(name: str, mode: str = "replace", *, windows: bool = True) -> Dataset:
    more: dict[str, Any] = {"key": ["id"]} if mode in {"merge", "snapshot"} else {}
    more |= {"effective": "run_time"} if mode == "snapshot" else {}
    return Dataset(
        name, DatasetConfig(store="s", table=name, mode=mode, partition=MONTHLY if windows else None, **more)
    )


def bound(name: str, reads: list[Dataset], writes: list[Dataset], watermark: str | None = None) -> Bound:
    graph = Pipeline(name, {}, {}, None, None)  # type: ignore[arg-type]  # no node is looked at
    return Bound(
        name,
        PipelineConfig(modules=[name], writes={each.name: each.name for each in writes}),
        graph,
        {},
        {},
        {},
        {each.name: Read(each.name, each, "lazy", watermark=watermark) for each in reads},
        tuple(Write(each.name, each, "lazy", Audit()) for each in writes),
        {},
        {},
    )


def part(text: str, every: Any = "month") -> Slice:
    return partition.of_window(partition.parse(text, every, "UTC"))


def step(one: Bound, where: Slice) -> Step:
    return Step(one, where, ())


JANUARY, FEBRUARY = part("2024-01"), part("2024-02")
OUT = dataset("out")
MAKER = bound("maker", [], [OUT])


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_slices_of_one_dataset_wait_for_nobody(mode: str) -> None:
    one, other = bound("one", [], [dataset("out", mode)]), bound("other", [], [dataset("out", mode)])
    assert not _waits_for(step(one, FEBRUARY), step(one, JANUARY))
    assert not _waits_for(step(other, FEBRUARY), step(one, JANUARY))


@pytest.mark.parametrize("mode", ["merge", "snapshot", "overwrite"])
def test_rows_that_others_may_change_are_written_one_after_another(mode: str) -> None:
    one, other = bound("one", [], [dataset("out", mode)]), bound("other", [], [dataset("out", mode)])
    assert _waits_for(step(one, FEBRUARY), step(one, JANUARY))
    assert _waits_for(step(other, FEBRUARY), step(one, JANUARY))
    assert not _waits_for(step(bound("third", [], [dataset("else", mode)]), FEBRUARY), step(one, JANUARY))


def test_who_reads_what_it_writes_waits_for_its_earlier_windows() -> None:
    own = bound("own", [OUT], [OUT])
    assert _waits_for(step(own, FEBRUARY), step(own, JANUARY))


def test_who_loads_above_a_watermark_waits_for_itself() -> None:
    own = bound("own", [dataset("rows", windows=False)], [dataset("out", "append")], watermark="id")
    assert _waits_for(step(own, WHOLE), step(own, WHOLE))


def test_a_reader_of_all_waits_for_every_window() -> None:
    whole = bound("whole", [OUT], [dataset("total", "overwrite", windows=False)])
    assert _waits_for(step(whole, WHOLE), step(MAKER, JANUARY))
    unsliced = bound("maker", [], [dataset("out", windows=False)])
    reader = bound("reader", [dataset("out", windows=False)], [dataset("sum")])
    assert _waits_for(step(reader, FEBRUARY), step(unsliced, JANUARY))


def test_strangers_do_not_wait() -> None:
    assert not _waits_for(step(bound("other", [dataset("rows")], [dataset("sum")]), JANUARY), step(MAKER, JANUARY))


windows = st.one_of(
    st.builds(lambda year, month: part(f"{year}-{month:02}"), st.integers(2023, 2024), st.integers(1, 12)),
    st.builds(lambda year: part(f"{year}", "year"), st.integers(2023, 2024)),
    st.builds(lambda day: part(f"2024-02-{day:02}", "day"), st.integers(1, 29)),
)


@given(read=windows, made=windows)
def test_a_reader_waits_for_the_windows_that_share_a_moment_with_its_own(read: Slice, made: Slice) -> None:
    reader = bound("reader", [OUT], [dataset("sum")])
    assert read.window
    assert made.window
    shared = read.window.start < made.window.end and made.window.start < read.window.end
    assert _waits_for(step(reader, read), step(MAKER, made)) is shared
