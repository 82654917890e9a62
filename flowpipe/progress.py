"""A run as it is watched: a line for each step that ends, and on a terminal the nodes that work right now."""

from __future__ import annotations

from typing import Any

from flowpipe.records import (
    Checked,
    NodeEnded,
    NodeStarted,
    Outcome,
    Published,
    Record,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    step_name,
)
from flowpipe.terminal import COLORS, REUSED, is_terminal, line, rows, seconds

# Names of steps are padded to the longest that was told of, so that short ones leave room for what they made.
_NARROWEST = 20


class Progress:
    """Prints a run's records as they come; `nodes` asks for a line for each node, too."""

    def __init__(self, *, nodes: bool) -> None:
        self._nodes = nodes
        self._wide = _NARROWEST
        self._status: Any = None  # a `rich.status.Status`, on a terminal
        # By step: several may run at once, or wait to be published together.
        self._running: dict[str, dict[str, None]] = {}
        self._outputs: dict[str, list[Published]] = {}
        self._checks: dict[str, list[Checked]] = {}
        self._counts: dict[Outcome, int] = {}

    def __call__(self, record: Record) -> None:
        match record:
            case RunStarted():
                line(f"run {record.run}  profile {record.profile}")
            case StepStarted():
                self._widen(record)
                self._running[step_name(record)] = {}
                self._show(f"{step_name(record)}: {record.reason}")
            case NodeStarted():
                self._running.setdefault(step_name(record), {})[record.node] = None
                self._show_running()
            case NodeEnded():
                self._node(record)
            case Checked():
                self._checks.setdefault(step_name(record), []).append(record)
            case Published():
                self._published(record)
            case StepEnded():
                self._step_ended(record)
            case RunEnded():
                self._hide()
                told = ", ".join(f"{count} {outcome}" for outcome, count in self._counts.items()) or "no step ran"
                line((record.outcome, COLORS[record.outcome]), f": {told} in {seconds(record.seconds)}")

    def _widen(self, record: StepStarted | StepEnded) -> None:
        self._wide = max(self._wide, len(step_name(record)))

    def _node(self, record: NodeEnded) -> None:
        self._running.get(step_name(record), {}).pop(record.node, None)
        self._show_running()
        name = record.node if len(self._running) < 2 else f"{step_name(record)}: {record.node}"
        if record.warning:
            line(("warning", "yellow"), f": node {name}: {record.warning}")
        if self._nodes:
            count = f"  {rows(record.rows)}" if record.rows is not None else ""
            tries = f"  {record.attempts} attempts" if record.attempts > 1 else ""
            told = REUSED if record.outcome == "reused" else record.outcome
            line(f"    {name}  {told}{count}  {seconds(record.seconds)}{tries}")

    def _published(self, record: Published) -> None:
        if record.recovered:
            line(f"  {step_name(record)}  recovered: {record.dataset} {rows(record.rows)}")
        else:
            self._outputs.setdefault(step_name(record), []).append(record)

    def _step_ended(self, record: StepEnded) -> None:
        self._hide()
        self._running.pop(step_name(record), None)
        self._counts[record.outcome] = self._counts.get(record.outcome, 0) + 1
        told = record.reason or ", ".join(
            f"{output.dataset} {rows(output.rows)}" for output in self._outputs.pop(step_name(record), [])
        )
        outcome = (f"{record.outcome:<9}", COLORS[record.outcome])
        self._widen(record)
        line(f"  {step_name(record):<{self._wide}}  ", outcome, f" {told and told + '  '}{seconds(record.seconds)}")
        for check in self._checks.pop(step_name(record), []):
            if check.failed:
                line(f"    {check.consequence} {rows(check.failed)} of {check.dataset}: {check.check}")
        self._show_running()

    def _show_running(self) -> None:
        working = [f"{step}: {', '.join(nodes)}" for step, nodes in self._running.items() if nodes]
        if working:
            self._show("; ".join(working))

    def _show(self, text: str) -> None:
        if not is_terminal():
            return
        from rich.status import Status
        from rich.text import Text

        if self._status is None:
            self._status = Status("")
            self._status.start()
        self._status.update(Text(text))

    def _hide(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None


def warnings(record: Record) -> None:
    """Print only what should be looked at, though the run goes on; what fails is told as an error."""
    match record:
        case NodeEnded(warning=str(text)):
            line(("warning", "yellow"), f": {step_name(record)}: node {record.node}: {text}")
        case Checked() if record.failed:
            text = f"{record.consequence} {rows(record.failed)} of {record.dataset}: {record.check}"
            line(("warning", "yellow"), f": {step_name(record)}: {text}")
