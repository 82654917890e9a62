"""What people read of past runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from flowpipe.history import RunDetail, RunRow, StepRow
from flowpipe.terminal import COLORS, REUSED, ago, is_terminal, line, rows, seconds, size, table


def runs(found: Sequence[RunRow]) -> None:
    """Past runs, a row each."""
    grid, now = [], datetime.now(UTC)
    for entry in found:
        steps = ", ".join(f"{count} {outcome or 'running'}" for outcome, count in entry.steps.items())
        absolute = f"{entry.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
        started = ago(entry.started_at, now) if is_terminal() else absolute
        grid.append((entry.run, started, entry.profile, entry.outcome or "running", seconds(entry.seconds), steps))
    table(("RUN", "STARTED", "PROFILE", "OUTCOME", "TOOK", "STEPS"), grid, right=("TOOK",))


def run(found: RunDetail) -> None:
    """One past run in full."""
    entry = found.run
    outcome = entry.outcome or "running"
    line(f"run {entry.run}  ", (outcome, COLORS.get(outcome, "")), f"  {seconds(entry.seconds)}")
    when = f"{entry.started_at.astimezone():%Y-%m-%d %H:%M:%S}, {ago(entry.started_at, datetime.now(UTC))}"
    line(f"{when}  profile {entry.profile}  {entry.command}")
    for step in found.steps:
        _step(step)
    if entry.error and entry.error not in [step.error for step in found.steps]:
        line((f"\n{entry.error}", "red"))


def _step(step: StepRow) -> None:
    name = step.pipeline if step.slice == "all" else f"{step.pipeline} {step.slice}"
    outcome = step.outcome or "running"
    line(f"\n{name}  ", (outcome, COLORS.get(outcome, "")), f"  {step.reason or ''}  {seconds(step.seconds)}")
    for node in step.nodes:
        tries = f"  {node.attempts} attempts" if node.attempts and node.attempts > 1 else ""
        count = f"  {rows(node.rows)}" if node.rows is not None else ""
        told = REUSED if node.outcome == "reused" else node.outcome or "running"
        there = f"  {node.worker}" if node.worker else ""
        line(f"  node    {node.node}  {told}{count}  {seconds(node.seconds)}{tries}{there}")
        if node.warning:
            line(f"  warning {node.node}  {node.warning}")
    for check in step.checks:
        told = f"{rows(check.failed)} {check.consequence}" if check.failed else check.consequence
        line(f"  check   {check.dataset}  {check.check}: {told}")
    for output in step.outputs:
        extra = "  recovered" if output.recovered else ""
        line(f"  output  {output.dataset}  {rows(output.rows)}  {size(output.bytes)}{extra}")
    if step.error:
        line((f"  {step.error}", "red"))
