"""What a small partition costs in a backfill of many: it should cost the same in each, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import PYTHON, Command, Options, Row, once

PROJECT = Path(__file__).parent / "project"
NUMBERS = (100, 1_000, 5_000)


def rows(options: Options) -> Iterator[Row]:  # noqa: ARG001 - each is run once: it takes minutes
    """Milliseconds a partition, beside those of the smallest backfill."""
    first = None
    for number in NUMBERS:
        args = (PYTHON, "-m", "benchmarks.partitions.backfill", str(number))
        took = 1000 * once(Command(args, PROJECT, reports=True)).reported / number
        first = first or took
        yield Row(f"{number:,} partitions into one Delta table", "ms each", took, first, 1.25)
