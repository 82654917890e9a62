"""A run as it is watched: a line for each step that ends, and on a terminal the nodes that work right now."""

from __future__ import annotations

from rich.status import Status
from rich.text import Text

from flowpipe.display import COLORS, console, seconds
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
)


class Progress:
    """Prints a run's records as they come; `nodes` asks for a line for each node, too."""

    def __init__(self, *, nodes: bool) -> None:
        self._console = console()
        self._nodes = nodes
        self._status: Status | None = None
        self._running: dict[str, None] = {}
        self._outputs: list[Published] = []
        self._checks: list[Checked] = []
        self._counts: dict[Outcome, int] = {}

    def __call__(self, record: Record) -> None:
        match record:
            case RunStarted():
                self._print(f"run {record.run}  profile {record.profile}")
            case StepStarted():
                self._outputs, self._checks = [], []
                self._show(f"{_step(record)}: {record.reason}")
            case NodeStarted():
                self._running[record.node] = None
                self._show(f"{_step(record)}: {', '.join(self._running)}")
            case NodeEnded():
                self._node(record)
            case Checked():
                self._checks.append(record)
            case Published():
                self._published(record)
            case StepEnded():
                self._step_ended(record)
            case RunEnded():
                self._hide()
                told = ", ".join(f"{count} {outcome}" for outcome, count in self._counts.items()) or "no step ran"
                self._print((record.outcome, COLORS[record.outcome]), f": {told} in {seconds(record.seconds)}")

    def _node(self, record: NodeEnded) -> None:
        self._running.pop(record.node, None)
        if self._nodes:
            rows = f"  {record.rows:,} rows" if record.rows is not None else ""
            tries = f"  {record.attempts} attempts" if record.attempts > 1 else ""
            self._print(f"    {record.node}  {record.outcome}{rows}  {seconds(record.seconds)}{tries}")

    def _published(self, record: Published) -> None:
        self._outputs.append(record)
        if record.recovered:
            self._print(f"  {_step(record)}  recovered: {record.dataset} {record.rows:,} rows")

    def _step_ended(self, record: StepEnded) -> None:
        self._hide()
        self._running.clear()
        self._counts[record.outcome] = self._counts.get(record.outcome, 0) + 1
        told = record.reason or ", ".join(f"{output.dataset} {output.rows:,} rows" for output in self._outputs)
        outcome = (f"{record.outcome:<9}", COLORS[record.outcome])
        self._print(f"  {_step(record):<28} ", outcome, f" {told}  {seconds(record.seconds)}")
        for check in self._checks:
            if check.failed:
                self._print(f"    {check.consequence} {check.failed:,} rows of {check.dataset}: {check.check}")

    def _show(self, text: str) -> None:
        if not self._console.is_terminal:
            return
        if self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._status.update(Text(text))

    def _hide(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None

    def _print(self, *parts: str | tuple[str, str]) -> None:
        self._console.print(Text.assemble(*parts))


def _step(record: StepStarted | StepEnded | NodeStarted | Published) -> str:
    return record.pipeline if record.slice == "all" else f"{record.pipeline} {record.slice}"
