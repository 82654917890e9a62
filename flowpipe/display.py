"""What people read of projects, plans and history: tables on a terminal, columns of plain text elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flowpipe.config import Configuration
from flowpipe.history import RunDetail, RunRow, StepRow

COLORS: Mapping[str, str] = {
    "done": "green",
    "run": "green",
    "skipped": "dim",
    "skip": "dim",
    "failed": "red",
    "crashed": "red",
    "cancelled": "yellow",
}


def console() -> Console:
    """Standard output; wide enough never to wrap when it is no terminal."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=10_000)


def as_json(value: Any) -> str:
    """One line of JSON; a record says its type's name.

    >>> as_json({"a": 1})
    '{"a": 1}'
    """

    def plain(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        return item.isoformat() if isinstance(item, datetime) else str(item)

    if is_dataclass(value) and not isinstance(value, type):
        value = {"record": type(value).__name__, **asdict(value)}
    return json.dumps(value, default=plain, ensure_ascii=False)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print rows under headings."""
    out = console()
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        grid.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell, style=COLORS.get(cell, "")) for cell in row))
    if out.is_terminal:
        out.print(grid)
        return
    for line in out.render_lines(grid, pad=False):
        sys.stdout.write("".join(part.text for part in line).rstrip() + "\n")


def size(number: float) -> str:
    """Bytes for people.

    >>> size(512), size(2_500_000)
    ('512 B', '2.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def seconds(number: float | None) -> str:
    """Durations for people.

    >>> seconds(0.0421), seconds(75), seconds(7300), seconds(None)
    ('42 ms', '1m 15s', '2h 1m', '')
    """
    if number is None:
        return ""
    if number < 1:
        return f"{number * 1000:.0f} ms"
    if number < 60:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes}m {rest}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60}m"


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


def runs(found: Sequence[RunRow]) -> None:
    """Past runs, a row each."""
    rows = []
    for entry in found:
        steps = ", ".join(f"{count} {outcome or 'running'}" for outcome, count in entry.steps.items())
        started = f"{entry.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
        rows.append((entry.run, started, entry.profile, entry.outcome or "running", seconds(entry.seconds), steps))
    table(("RUN", "STARTED", "PROFILE", "OUTCOME", "TOOK", "STEPS"), rows, right=("TOOK",))


def run(found: RunDetail) -> None:
    """One past run in full."""
    entry = found.run
    out = console()
    outcome = entry.outcome or "running"
    head = Text.assemble(f"run {entry.run}  ", (outcome, COLORS.get(outcome, "")), f"  {seconds(entry.seconds)}")
    out.print(head)
    out.print(Text(f"{entry.started_at.astimezone():%Y-%m-%d %H:%M:%S}  profile {entry.profile}  {entry.command}"))
    for step in found.steps:
        _step(out, step)
    if entry.error:
        out.print(Text(f"\n{entry.error}", style="red"))


def _step(out: Console, step: StepRow) -> None:
    name = step.pipeline if step.slice == "all" else f"{step.pipeline} {step.slice}"
    outcome = step.outcome or "running"
    out.print(
        Text.assemble(
            f"\n{name}  ", (outcome, COLORS.get(outcome, "")), f"  {step.reason or ''}  {seconds(step.seconds)}"
        )
    )
    for node in step.nodes:
        tries = f"  {node.attempts} attempts" if node.attempts and node.attempts > 1 else ""
        rows = f"  {node.rows:,} rows" if node.rows is not None else ""
        out.print(Text(f"  node    {node.node}  {node.outcome or 'running'}{rows}  {seconds(node.seconds)}{tries}"))
    for check in step.checks:
        out.print(Text(f"  check   {check.dataset}  {check.check}: {check.failed:,} rows {check.consequence}"))
    for output in step.outputs:
        extra = "  recovered" if output.recovered else ""
        out.print(Text(f"  output  {output.dataset}  {output.rows:,} rows  {size(output.bytes)}{extra}"))
    if step.error:
        out.print(Text(f"  {step.error}", style="red"))
