"""What people read of a project: its pipelines and datasets."""

from __future__ import annotations

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
