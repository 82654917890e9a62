"""What people read of a project: its pipelines and datasets, and the stores that are left alone."""

from __future__ import annotations

from collections.abc import Sequence

from flowpipe.breaker import Status, clock
from flowpipe.config import Configuration
from flowpipe.terminal import table


def pipelines(found: Configuration) -> None:
    """The pipelines of a project, a row each."""
    rows = []
    for name, entry in found.pipelines.items():
        windows = entry.partitions
        span = (
            f"{windows.every} from {windows.start}" + (f" to {windows.end}" if windows.end else "") if windows else ""
        )
        rows.append((name, ", ".join(entry.modules), ", ".join(entry.writes.values()), span))
    table(("PIPELINE", "MODULES", "WRITES", "PARTITIONS"), rows)


def datasets(found: Configuration) -> None:
    """The datasets of a project, a row each."""
    writers = {write: name for name, entry in found.pipelines.items() for write in entry.writes.values()}
    rows = []
    for name, entry in found.catalog.items():
        place = entry.path or entry.table or "query"
        rows.append((name, entry.store, place, entry.mode if name in writers else "", writers.get(name, "")))
    table(("DATASET", "STORE", "PATH OR TABLE", "MODE", "WRITTEN BY"), rows)


def breakers(found: Sequence[Status]) -> None:
    """The stores that have a circuit breaker, a row each."""
    grid = []
    for each in found:
        state = f"open until {clock(each.until)}" if each.state == "open" and each.until else each.state
        count, last, error = 0, "", ""
        if failures := each.failures:
            count, last, error = failures.count, f"{failures.at.astimezone():%Y-%m-%d %H:%M}", failures.error
        grid.append((each.store, state, f"{count} of {each.limit}", last, error))
    table(("STORE", "STATE", "FAILURES", "LAST", "ERROR"), grid)
