"""What explanations are made from: a checked project, its plan and its past; and words that several need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial

from flowpipe.bound import Bound
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration
from flowpipe.errors import FlowpipeError, Where, redact
from flowpipe.ledger import Ledger
from flowpipe.modules import ProjectCode
from flowpipe.plan import Plan, Step
from flowpipe.roots import ledger_path
from flowpipe.staleness import Choice
from flowpipe.terminal import ago

_LISTED = 3


@dataclass(frozen=True)
class Surroundings:
    """A checked project, and how its plan is made if that is asked for."""

    bounds: Mapping[str, Bound]
    catalog: Catalog
    configuration: Configuration
    code: ProjectCode
    make_plan: Callable[[], Plan]
    now: datetime

    @cached_property
    def plan(self) -> Plan | FlowpipeError:
        """What a run of everything would do now, or why that cannot be told."""
        try:
            return self.make_plan()
        except FlowpipeError as error:
            return error

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(ledger_path(self.configuration.root))

    def told(self, error: FlowpipeError) -> str:
        """An error in one line, without secrets."""
        return redact(error.problems[0].message, self.configuration.secrets)

    def next_run(self, chosen: Callable[[Step], Iterable[Choice]], bound: Bound) -> tuple[str, ...]:
        """Why the next run would do what: the slices of a pipeline, those with the same reason in one line."""
        if isinstance(self.plan, FlowpipeError):
            return (f"cannot be told: {self.told(self.plan)}",)
        steps = [step for step in self.plan.steps if step.bound.name == bound.name]
        grouped: dict[tuple[str, str], list[str]] = {}
        for step in steps:
            for choice in chosen(step):
                key = choice.action, "; ".join(choice.reasons)
                grouped.setdefault(key, []).append(str(step.slice))
        told = sorted(grouped.items(), key=lambda item: ("run", "ask", "skip").index(item[0][0]))
        return tuple(_reason(key, list(dict.fromkeys(slices)), len(steps)) for key, slices in told) or ("no slice yet",)


def _reason(key: tuple[str, str], slices: Sequence[str], of: int) -> str:
    action, reason = key
    number = len(slices)
    verb = {"run": "run" if number > 1 else "runs", "ask": "decided at run", "skip": "skipped"}[action]
    told = reason if key == ("skip", "up to date") else f"{verb}: {reason}"
    if of == 1:
        return told
    return f"all {of} slices {told}" if number == of else f"{number} of {of} slices {told} ({listed(slices)})"


def listed(names: Sequence[str]) -> str:
    """Some names, or the first and the last of many.

    >>> listed(["a", "b"]), listed(["2013-01", "2013-02", "2013-03", "2013-04"])
    ('a, b', '2013-01 to 2013-04')
    """
    return ", ".join(names) if len(names) <= _LISTED else f"{names[0]} to {names[-1]}"


def moment(at: datetime, now: datetime) -> str:
    """A time as the local clock shows it, and how long ago that was."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S} ({ago(at, now)})"


def place(where: Where | None) -> str:
    """A place at the end of a line."""
    return f"  {where}" if where else ""


def pairs(values: Mapping[str, object]) -> str:
    """Settings as they are written in YAML."""
    return ", ".join(f"{name}: {value}" for name, value in values.items())


def every_choice(step: Step) -> Iterable[Choice]:
    """All that a step writes."""
    return step.choices


def choice_of(dataset: str) -> Callable[[Step], Iterable[Choice]]:
    """What a step writes into one dataset."""
    return partial(_of, dataset)


def _of(dataset: str, step: Step) -> Iterable[Choice]:
    return [choice for choice in step.choices if choice.write.dataset.name == dataset]
