"""What only Python can do: no library that lets other threads run meanwhile."""

from datetime import datetime

import polars as pl


def found(partition: datetime) -> list[int]:
    """Primes, by division."""
    first = 100_000 + partition.day
    numbers = range(first, first + 160_000)
    return [number for number in numbers if all(number % by for by in range(2, int(number**0.5) + 1))]


def primes(partition: datetime, found: list[int]) -> pl.LazyFrame:
    """Those of one day."""
    return pl.LazyFrame({"at": partition.replace(tzinfo=None), "prime": found})
