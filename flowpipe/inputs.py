"""The schema of a dataset that is only read, held against its rows while they are used."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from flowpipe import partition
from flowpipe.adapters import Adapter, Dataset, Publication, Staged, State
from flowpipe.audit import Audited, Barriered
from flowpipe.bound import Read
from flowpipe.catalog import rejected
from flowpipe.checks import REJECTED_SCHEMA, Counts, verdict
from flowpipe.checks import rejected as as_rejected
from flowpipe.errors import DataError, Problem
from flowpipe.output import CONSEQUENCES, Output
from flowpipe.partition import Slice
from flowpipe.sinks import Sink


@dataclass
class OpenInput:
    """A read whose rows are audited in the same pass as the outputs that are made of them.

    Raises:
        DataError: its columns are not those of its schema.
    """

    read: Read
    slice: Slice
    label: str
    adapter: Adapter
    state: State
    scratch: Path
    frame: pl.LazyFrame
    _sink: Sink | None = None
    _begun: list[Sink] = field(default_factory=list)
    _counts: Counts = field(default_factory=lambda: Counts(0, 0, {}))

    def __post_init__(self) -> None:
        audit = self.read.contract
        assert audit is not None, "only reads with a contract are opened"
        schema = self.frame.collect_schema()
        if problems := audit.schema_problems(schema):
            raise self._invalid(problems, "mend the data, or the schema in the catalog")
        self._audited: Audited = audit.apply(self.frame, schema)
        self._quarantine = self.read.dataset.config.on_invalid == "quarantine"
        passed = self._audited.good if self._quarantine else self._audited.all
        barred = audit.barriers(passed.collect_schema())
        self._found: Barriered | None = audit.check_staged(passed) if barred else None
        self.handed_on = self._found.good if self._found and self._quarantine else passed

    @property
    def name(self) -> str:
        return f"input {self.read.dataset.name}"

    @property
    def node(self) -> str | None:
        return None

    def plans(self) -> list[pl.LazyFrame]:
        """What is counted, and under quarantine the sink of the rejected rows."""
        if not self._quarantine:
            return [self._audited.counts]
        self._sink = self._make_sink()
        self._begun.append(self._sink)
        found = [self._audited.bad, *([self._found.bad] if self._found else [])]
        rows = [as_rejected(bad, part=self._rejected[1].key, run=self.state.run) for bad in found]
        return [self._sink.plan(pl.concat(rows)), self._audited.counts]

    def take(self, results: Sequence[pl.DataFrame]) -> None:
        """What `plans` gave."""
        self._counts = Counts.of(results[-1])

    def staged(self) -> Iterator[tuple[Adapter, Staged]]:
        """All files begun so far, for a step that is given up."""
        for sink in self._begun:
            yield self.adapter, sink.begun()

    def judge(self) -> Output:
        """What the contract found; its rejected rows are published with the step's outputs.

        Raises:
            DataError: the rows break the contract.
        """
        config, found = self.read.dataset.config, self._found
        failed = {**self._counts.failed, **(found.failed if found else {})}
        seen = verdict(
            self._counts.rows,
            failed,
            self._counts.invalid + (found.invalid if found else 0),
            on_invalid=config.on_invalid,
            max_invalid=config.max_invalid,
            whole_failures=found.whole_failures if found else (),
        )
        if seen.outcome == "fail":
            raise self._invalid(seen.lines, "nothing was published; mend the input or its schema and run again")
        return Output(self.read.dataset, tuple(self._publications()), failed, CONSEQUENCES[seen.outcome])

    def _publications(self) -> Iterator[Publication]:
        if self._sink is None:
            return
        dataset, part = self._rejected
        bad = self._sink.staged()
        if bad.rows or not self.adapter.is_empty(dataset, part):
            yield Publication(
                dataset, part, bad, replace(self.state, dataset=dataset.name, slice=part.key, rows=bad.rows)
            )
        else:
            self.adapter.discard(bad)

    @property
    def _rejected(self) -> tuple[Dataset, Slice]:
        return rejected(self.read.dataset), partition.of_key(self.label)

    def _make_sink(self) -> Sink:
        dataset, part = self._rejected
        state = replace(self.state, dataset=dataset.name, slice=part.key)
        place = self.adapter.place(dataset, part, f"{self.state.run}-{uuid.uuid4().hex[:8]}", self.scratch, state)
        return Sink(REJECTED_SCHEMA, place)

    def _invalid(self, problems: Sequence[str], hint: str) -> DataError:
        part = "" if self.slice.kind == "whole" else f" {self.slice}"
        return DataError.of(Problem(f"{self.name}{part}: {text}", None, hint) for text in problems)
