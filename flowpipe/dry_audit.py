"""A dataset's audit over rows that are not staged: what a run would hand on, and what it would say of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe.audit import Audit, Audited
from flowpipe.checks import Counts, verdict
from flowpipe.datasets import DatasetConfig
from flowpipe.frames import collected, kind_of, present, rows_of, to_lazy

_CONSEQUENCES = {"fail": "a run stops here", "quarantine": "they are left out", "warn": "a run warns of them"}


@dataclass(frozen=True)
class DryAudit:
    """The audit of `what`, an input or a node; `note` is told what it finds."""

    what: str
    audit: Audit
    config: DatasetConfig
    scratch: Path
    note: Callable[[str], None]

    def passed(self, value: Any) -> Any:
        """The rows that a run hands on, coerced; counted, where they are all in memory."""
        kind = kind_of(type(value))
        if self.audit.schema is None or kind is None:
            return value
        frame = to_lazy(value, self.scratch)
        schema = frame.collect_schema()
        if problems := self.audit.schema_problems(schema):
            self.note(f"{self.what}: {'; '.join(problems)}; a run stops here, this goes on with its rows as they are")
            return value
        audited = self.audit.apply(frame, schema)
        barriers = self.audit.barriers(audited.columns)
        passed = audited.good if self.config.on_invalid == "quarantine" else audited.all
        if rows_of(value) is not None:
            passed = self._counted(audited, collected(passed).lazy())
        elif barriers:
            names = ", ".join(barrier.name for barrier in barriers)
            self.note(f"{self.what}: not checked here, for it takes all rows: {names}")
        return present(passed, kind, self.scratch)

    def _counted(self, audited: Audited, passed: pl.LazyFrame) -> pl.LazyFrame:
        """The rows that pass all checks, after telling what failed."""
        counts = Counts.of(collected(audited.counts))
        found = self.audit.check_staged(passed) if self.audit.barriers(audited.columns) else None
        seen = verdict(
            counts.rows,
            {**counts.failed, **(found.failed if found else {})},
            counts.invalid + (found.invalid if found else 0),
            on_invalid=self.config.on_invalid,
            max_invalid=self.config.max_invalid,
            whole_failures=found.whole_failures if found else (),
        )
        if seen.outcome != "pass":
            self.note(f"{self.what}: {'; '.join(seen.lines)}; {_CONSEQUENCES[seen.outcome]}")
        return found.good if found and self.config.on_invalid == "quarantine" else passed
