"""What happens in a run, as it happens: one stream that progress, ledger and exit code all read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Outcome = Literal["done", "skipped", "failed", "cancelled", "crashed", "reused"]


@dataclass(frozen=True)
class RunStarted:
    run: str
    at: datetime
    project: str
    profile: str
    command: str
    pid: int


@dataclass(frozen=True)
class StepStarted:
    """`slice` is the slice's text, such as `2013-02` or `all`; `reason` is why it runs."""

    run: str
    pipeline: str
    slice: str
    at: datetime
    reason: str


@dataclass(frozen=True)
class NodeStarted:
    run: str
    pipeline: str
    slice: str
    node: str
    at: datetime


@dataclass(frozen=True)
class NodeEnded:
    """One node of the user's; `rows` where its value is a frame that knows them.

    One that is `reused` was not computed: its frame was read back from its checkpoint. `worker` names where it ran, if
    that was not the driver's process; `warning` is what its user should know.
    """

    run: str
    pipeline: str
    slice: str
    node: str
    started_at: datetime
    seconds: float
    attempts: int
    outcome: Outcome
    rows: int | None = None
    worker: str | None = None
    warning: str | None = None


@dataclass(frozen=True)
class Checked:
    """One check of an output: how many of its rows failed, and what followed."""

    run: str
    pipeline: str
    slice: str
    dataset: str
    check: str
    failed: int
    consequence: Literal["passed", "failed", "quarantined", "warned"]


@dataclass(frozen=True)
class Published:
    """One output made visible; `version` is the store's own, where it has one."""

    run: str
    pipeline: str
    slice: str
    dataset: str
    at: datetime
    rows: int
    bytes: int
    rejected: int = 0
    version: str | None = None
    recovered: bool = False


@dataclass(frozen=True)
class StepEnded:
    """`reason` says why a step was skipped, `error` what failed."""

    run: str
    pipeline: str
    slice: str
    at: datetime
    seconds: float
    outcome: Outcome
    reason: str | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """As people write it."""
        return step_name(self)


@dataclass(frozen=True)
class RunEnded:
    run: str
    at: datetime
    seconds: float
    outcome: Outcome
    error: str | None = None


Record = RunStarted | StepStarted | NodeStarted | NodeEnded | Checked | Published | StepEnded | RunEnded


def step_name(record: StepStarted | StepEnded | NodeStarted | NodeEnded | Checked | Published) -> str:
    """The step that a record is of, as people write it: `daily_delays 2013-02`."""
    return record.pipeline if record.slice == "all" else f"{record.pipeline} {record.slice}"
