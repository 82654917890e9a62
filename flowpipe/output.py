"""One output on its way to being staged: its good and bad rows, what is counted beside them, and the verdict."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl

from flowpipe import dtypes, keys, partition
from flowpipe.adapters import Adapter, Dataset, Publication, Staged, State, versions
from flowpipe.adapters.abilities import Filling
from flowpipe.bound import Write
from flowpipe.catalog import rejected
from flowpipe.checks import REJECTED_SCHEMA, Counts, Expectations, Verdict, verdict
from flowpipe.checks import rejected as as_rejected
from flowpipe.errors import DataError, Problem, unknown
from flowpipe.fields import condition
from flowpipe.frames import in_window
from flowpipe.partition import Slice
from flowpipe.sinks import Sink, run_plans

Consequence = Literal["passed", "failed", "quarantined", "warned"]
CONSEQUENCES: dict[str, Consequence] = {
    "pass": "passed",
    "fail": "failed",
    "quarantine": "quarantined",
    "warn": "warned",
}


@dataclass(frozen=True)
class Target:
    """One output's slice: where it goes, and the state that is published with it (its rows are not known yet).

    `label` is the slice of its rejected rows, `onto` the fingerprint of the state that an append is made onto.
    """

    write: Write
    slice: Slice
    adapter: Adapter
    state: State
    scratch: Path
    label: str
    onto: str | None = None

    @property
    def dataset(self) -> Dataset:
        return self.write.dataset


@dataclass(frozen=True)
class Output:
    """A staged, audited output: its publications, rejected rows first, and what its checks found."""

    dataset: Dataset
    publications: tuple[Publication, ...]
    failed: Mapping[str, int]
    consequence: Consequence


class OpenOutput:
    """An output whose rows are not computed yet.

    Raises:
        DataError: its columns are not those of its schema or of the table that is there.
    """

    def __init__(self, target: Target, frame: pl.LazyFrame, now: datetime) -> None:
        schema = frame.collect_schema()
        self.target = target
        self._now = now
        self._config = target.dataset.config
        self._expect = Expectations.parse(self._config.expect)
        problems = target.write.audit.schema_problems(schema) or self._expect.problems(schema)
        if problems:
            raise self._invalid(problems, target.write.audit.way_out(schema))
        if not schema:
            raise self._invalid(["its rows have no column"], "return at least one column, also where there is no row")
        self._audited = target.write.audit.apply(frame, schema)
        self._quarantine = self._config.on_invalid == "quarantine" and target.write.audit.schema is not None
        self.handed_on = self._audited.good if self._quarantine else self._audited.all
        self._schema = self._storable(self._as_kept(self.handed_on).collect_schema())
        self._compare_with_settings()
        self._compare_with_table()
        self.barred = bool(target.write.audit.barriers(self._schema))
        self._kept: list[Sink] = []
        self._begun: list[Sink] = []
        self._counts = Counts(0, 0, {})
        self._facts = pl.DataFrame()
        self._outside = 0

    @property
    def name(self) -> str:
        return f"node {self.node}"

    @property
    def node(self) -> str:
        return self.target.write.node

    def plans(self) -> list[pl.LazyFrame]:
        """Fresh sinks, and what is counted beside them, for one `collect_all`."""
        self._kept = []
        plans = [self._to_stage(self.handed_on)]
        if self._quarantine:
            plans.append(self._to_reject(self._as_rejected(self._audited.bad)))
        return [*plans, self._audited.counts, *self._measures(self.handed_on)]

    def take(self, results: Sequence[pl.DataFrame]) -> None:
        """What `plans` gave."""
        counts, *measured = results[-3:]
        self._counts = Counts.of(counts)
        self._measured(measured)

    def staged(self) -> Iterator[tuple[Adapter, Staged]]:
        """All files begun so far, for a step that is given up."""
        for sink in self._begun:
            yield self.target.adapter, sink.begun()

    def judge(self) -> Output:
        """The audited output.

        Raises:
            DataError: nothing of it may be published; every reason is named.
        """
        good = self._kept[0].staged()
        bad = self._kept[1].staged() if self._quarantine else None
        found = self.target.write.audit.check_staged(good.scan()) if self.barred else None
        failed = {**self._counts.failed, **(found.failed if found else {})}
        invalid = self._counts.invalid + (found.invalid if found else 0)
        seen = verdict(
            self._counts.rows,
            failed,
            invalid,
            on_invalid=self._config.on_invalid,
            max_invalid=self._config.max_invalid,
            whole_failures=found.whole_failures if found else (),
        )
        if bad is not None and found is not None and found.invalid:
            good, bad = self._split(found.good, found.bad, good, bad)
        good = self._newest_per_key(good)
        self._refuse(seen, good)
        # From here on only the staged files are needed: the memory of an eager frame is free again.
        del self.handed_on, self._audited
        return self._output(good, bad, failed, seen)

    def _output(self, good: Staged, bad: Staged | None, failed: Mapping[str, int], seen: Verdict) -> Output:
        state = replace(self.target.state, rows=good.rows)
        publications = [Publication(self.target.dataset, self.target.slice, good, state, self.target.onto)]
        if bad is not None:
            dataset, part = rejected(self.target.dataset), partition.of_key(self.target.label)
            if bad.rows or not self.target.adapter.is_empty(dataset, part):
                aside = replace(state, dataset=dataset.name, slice=part.key, rows=bad.rows)
                publications.insert(0, Publication(dataset, part, bad, aside))
            else:
                self.target.adapter.discard(bad)
        return Output(self.target.dataset, tuple(publications), failed, CONSEQUENCES[seen.outcome])

    def _refuse(self, seen: Verdict, good: Staged) -> None:
        problems = list(seen.lines) if seen.outcome == "fail" else []
        problems += self._expect.failures(self._facts, now=self._now)
        if self._outside:
            column = self._config.partition.column if self._config.partition else None
            problems.append(f"{self._outside:,} rows have a {column} outside {self.target.slice}, or none")
        problems += keys.problems(good, self._config)
        replaces = self._config.mode in {"overwrite", "replace"} and not self._config.allow_empty
        if replaces and not good.rows and not self.target.adapter.is_empty(self.target.dataset, self.target.slice):
            problems.append("no row would replace the rows that are there; set `allow_empty: true` if that is right")
        if problems:
            raise self._invalid(problems, "nothing was published; mend the data or its schema and run again")

    def _newest_per_key(self, good: Staged) -> Staged:
        """Staged anew where `order_by` chooses between rows of one key."""
        newest = keys.newest(good, self._config)
        if newest is None:
            return good
        run_plans([self._to_stage(newest)])
        self.target.adapter.discard(good)
        return self._kept[-1].staged()

    def _split(
        self, good: pl.LazyFrame, bad: pl.LazyFrame, good_before: Staged, bad_before: Staged
    ) -> tuple[Staged, Staged]:
        """Stage both once more: a barrier rejected rows that were staged as good."""
        all_bad = pl.concat([bad_before.scan(), self._as_rejected(bad)])
        _, _, *measured = run_plans([self._to_stage(good), self._to_reject(all_bad), *self._measures(good)])
        self._measured(measured)
        for staged in (good_before, bad_before):
            self.target.adapter.discard(staged)
        rest, more = self._kept[-2:]
        return rest.staged(), more.staged()

    def _to_stage(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        target = self.target
        place = target.adapter.place(target.dataset, target.slice, self._name(), target.scratch, target.state)
        frame = self._as_kept(frame)
        before = frame.collect_schema()
        casts = [pl.col(name).cast(dtype) for name, dtype in self._schema.items() if before[name] != dtype]
        return self._begin(Sink(self._schema, place)).plan(frame.with_columns(casts))

    def _as_kept(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The rows in the shape of the table: those of a snapshot say since when they are so."""
        if self._config.mode != "snapshot":
            return frame
        if problems := versions.problems(self._config, frame.collect_schema()):
            raise self._invalid(problems, "rename the column, or mend the dataset in conf/catalog.yml")
        return versions.observed(frame, self._config, datetime.fromisoformat(self.target.state.published_at))

    def _to_reject(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        target, dataset = self.target, rejected(self.target.dataset)
        part = partition.of_key(target.label)
        state = replace(target.state, dataset=dataset.name, slice=part.key)
        place = target.adapter.place(dataset, part, self._name(), target.scratch, state)
        return self._begin(Sink(REJECTED_SCHEMA, place)).plan(rows)

    def _begin(self, sink: Sink) -> Sink:
        self._kept.append(sink)
        self._begun.append(sink)
        return sink

    def _as_rejected(self, bad: pl.LazyFrame) -> pl.LazyFrame:
        return as_rejected(bad, part=self.target.label, run=self.target.state.run)

    def _name(self) -> str:
        """Unique, so that no file of a step that was given up is ever taken for one of this."""
        return f"{self.target.state.run}-{uuid.uuid4().hex[:8]}"

    def _measures(self, frame: pl.LazyFrame) -> list[pl.LazyFrame]:
        """What `expect:` needs to know of rows, and how many of them lie outside the step's window."""
        grain, window = self._config.partition, self.target.slice.window
        outside = pl.LazyFrame({"outside": [0]})
        if grain is not None and grain.column is not None and window is not None:
            inside = in_window(grain.column, self._schema[grain.column], window).fill_null(value=False)
            outside = frame.select((~inside).sum().alias("outside"))
        return [self._expect.measure(frame), outside]

    def _measured(self, results: Sequence[pl.DataFrame]) -> None:
        self._facts, outside = results
        self._outside = outside.item()

    def _storable(self, schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:
        try:
            return self.target.adapter.storable(self.target.dataset, schema)
        except DataError as error:
            (problem,) = error.problems
            raise self._invalid([problem.message], problem.hint or "") from None

    def _compare_with_settings(self) -> None:
        """Every column that the dataset's settings name is there, and that of its windows is a time."""
        config, window = self._config, self.target.slice.window
        column = config.partition.column if config.partition else None
        named = {
            "key": config.key,
            "track": config.track,
            "order_by": [config.order_by] if config.order_by else [],
            "delete_when": [condition(config.delete_when)[0]] if config.delete_when else [],
            "partition_by": config.partition_by,
            "partition": [column] if column else [],
        }
        absent = [
            (setting, unknown("column", name, self._schema))
            for setting, names in named.items()
            for name in names
            if name not in self._schema
        ]
        problems = [f"{setting}: {problem.message}; {problem.hint}" for setting, problem in absent]
        if column and column in self._schema and window:
            try:
                in_window(column, self._schema[column], window)
            except TypeError as error:
                problems.append(f"partition: {error}")
        if problems:
            raise self._invalid(problems, "return these columns, or mend the dataset in conf/catalog.yml")

    def _compare_with_table(self) -> None:
        """The columns are the table's, or may become so; a column that is wider in the table is written as there."""
        adapter, change = self.target.adapter, self._config.schema_change
        now = adapter.schema(self.target.dataset, self.target.slice)
        if not now or change == "replace":
            return
        filled = adapter.filled(self.target.dataset) if isinstance(adapter, Filling) else ()
        now = {name: dtype for name, dtype in now.items() if name in self._schema or name not in filled}
        if change == "add":
            self._schema = {name: dtypes.widest(dtype, now.get(name, dtype)) for name, dtype in self._schema.items()}
        problems = dtypes.changes(now, self._schema, widens=adapter.widens if change == "add" else None)
        if problems:
            raise self._invalid(problems, "return the table's columns, or set `schema_change: add` for new ones")

    def _invalid(self, problems: Sequence[str], hint: str) -> DataError:
        step = "" if self.target.slice.kind == "whole" else f" {self.target.slice}"
        head = f"dataset {self.target.dataset.name}{step} (node {self.target.write.node})"
        return DataError.of(Problem(f"{head}: {text}", None, hint) for text in problems)
