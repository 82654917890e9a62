"""What all steps of one run share, and what each of them gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flowpipe.bound import Bound
from flowpipe.catalog import Catalog
from flowpipe.checkpoints import Checkpoints
from flowpipe.config import Configuration
from flowpipe.errors import OutOfTime, redact
from flowpipe.executors.scheduler import Scheduler
from flowpipe.firing import HookPool
from flowpipe.intents import Intent
from flowpipe.modules import ProjectCode
from flowpipe.partition import Slice
from flowpipe.records import Record
from flowpipe.stop import Stop


@dataclass(frozen=True)
class Workshop:
    """What all steps of one run share."""

    run: str
    run_time: datetime
    configuration: Configuration
    code: ProjectCode
    catalog: Catalog
    scheduler: Scheduler
    checkpoints: Checkpoints
    scratch: Path
    force: bool
    emit: Callable[[Record], None]
    stop: Stop
    hooks: HookPool

    def redact(self, text: str) -> str:
        """A text without the project's secrets."""
        return redact(text, self.configuration.secrets)


@dataclass(frozen=True)
class Decidable:
    """What a step staged and audited, to be decided; what it was made of lies in `scratch` until it is published."""

    intent: Intent
    scratch: Path


def out_of_time(bound: Bound, part: Slice) -> OutOfTime:
    """The words for a step that took too long."""
    return OutOfTime(
        f"step {bound.name if part.kind == 'whole' else f'{bound.name} {part}'} took longer than its timeout of "
        f"{bound.config.timeout}",
        hint="give it more with `timeout:`, or see what it waited for with `flowpipe show last`",
    )
