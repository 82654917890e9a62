"""One output on its way to being staged: its good and bad rows, what is counted beside them, and the verdict."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl

from flowpipe import partition
from flowpipe.adapters import Adapter, Dataset, Publication, Staged, State
from flowpipe.binding import Write
from flowpipe.catalog import rejected
from flowpipe.checks import REJECTED_SCHEMA, Counts, Expectations, Verdict, verdict
from flowpipe.checks import rejected as as_rejected
from flowpipe.errors import DataError, Problem, nearest
from flowpipe.frames import Sink, in_window, run_plans
from flowpipe.partition import Slice

Consequence = Literal["passed", "failed", "quarantined", "warned"]
CONSEQUENCES: dict[str, Consequence] = {
    "pass": "passed",
    "fail": "failed",
    "quarantine": "quarantined",
    "warn": "warned",
}
_EXAMPLES = 3


@dataclass(frozen=True)
class Target:
    """One output's slice: where it goes, and the state that is published with it (its rows are not known yet)."""

    write: Write
    slice: Slice
    adapter: Adapter
    state: State
    scratch: Path

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
            raise self._invalid(problems, "return the columns that the schema declares")
        self._audited = target.write.audit.apply(frame, schema)
        self._quarantine = self._config.on_invalid == "quarantine" and target.write.audit.schema is not None
        self.handed_on = self._audited.good if self._quarantine else self._audited.all
        self._schema = target.adapter.storable(self.handed_on.collect_schema())
        self._compare_with_table()
        self.barred = bool(target.write.audit.barriers(self._schema))
        self._kept: list[Sink] = []
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
        self._kept = [self._sink(self.handed_on)]
        if self._quarantine:
            self._kept.append(self._rejected_sink(self._audited.bad))
        beside = [self._audited.counts, self._expect.measure(self.handed_on), self._misplaced()]
        return [*(sink.plan for sink in self._kept), *beside]

    def take(self, results: Sequence[pl.DataFrame]) -> None:
        """What `plans` gave."""
        counts, self._facts, outside = results[-3:]
        self._counts = Counts.of(counts)
        self._outside = outside.item()

    def staged(self) -> Iterator[tuple[Adapter, Staged]]:
        """All files written so far, for a step that is given up."""
        for sink in self._kept:
            yield self.target.adapter, sink.staged()

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
        self._refuse(seen, good)
        return self._output(good, bad, failed, seen)

    def _output(self, good: Staged, bad: Staged | None, failed: Mapping[str, int], seen: Verdict) -> Output:
        state = replace(self.target.state, rows=good.rows)
        publications = [Publication(self.target.dataset, self.target.slice, good, state)]
        if bad is not None:
            dataset, part = rejected(self.target.dataset), partition.of_key(str(self.target.slice))
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
        problems += self._bad_keys(good)
        replaces = self._config.mode in {"overwrite", "replace"} and not self._config.allow_empty
        if replaces and not good.rows and not self.target.adapter.is_empty(self.target.dataset, self.target.slice):
            problems.append("no row would replace the rows that are there; set `allow_empty: true` if that is right")
        if problems:
            raise self._invalid(problems, "nothing was published; mend the data or its schema and run again")

    def _bad_keys(self, good: Staged) -> list[str]:
        """NULL and duplicate merge keys, with examples."""
        key = self._config.key
        if self._config.mode != "merge" or not good.rows:
            return []
        keys = good.scan().select(key)
        some = pl.any_horizontal(pl.col(name).is_null() for name in key)
        nulls, twice = run_plans(
            [keys.filter(some).head(_EXAMPLES), keys.group_by(key).len().filter(pl.col("len") > 1).head(_EXAMPLES)]
        )
        problems = []
        if nulls.height:
            problems.append(f"key {', '.join(key)} is NULL, as in {_examples(nulls)}")
        if twice.height:
            problems.append(f"key {', '.join(key)} is not unique, as in {_examples(twice.drop('len'))}")
        return problems

    def _split(
        self, good: pl.LazyFrame, bad: pl.LazyFrame, good_before: Staged, bad_before: Staged
    ) -> tuple[Staged, Staged]:
        """Stage the good rows once more, without those that a barrier rejected."""
        rest, more = self._sink(good), self._rejected_sink(bad)
        self._kept += [rest, more]
        run_plans([rest.plan, more.plan])
        self.target.adapter.discard(good_before)
        return rest.staged(), replace(bad_before, files=bad_before.files + more.staged().files)

    def _sink(self, frame: pl.LazyFrame) -> Sink:
        target = self.target
        place = target.adapter.place(target.dataset, target.slice, self._name(), target.scratch, target.state)
        before = frame.collect_schema()
        casts = [pl.col(name).cast(dtype) for name, dtype in self._schema.items() if before[name] != dtype]
        return Sink(frame.with_columns(casts), self._schema, place)

    def _rejected_sink(self, bad: pl.LazyFrame) -> Sink:
        target, dataset = self.target, rejected(self.target.dataset)
        part = partition.of_key(str(target.slice))
        state = replace(target.state, dataset=dataset.name, slice=part.key)
        place = target.adapter.place(dataset, part, self._name(), target.scratch, state)
        return Sink(as_rejected(bad, part=part.key, run=target.state.run), REJECTED_SCHEMA, place)

    def _name(self) -> str:
        """Unique, so that no file of a step that was given up is ever taken for one of this."""
        return f"{self.target.state.run}-{uuid.uuid4().hex[:8]}"

    def _misplaced(self) -> pl.LazyFrame:
        """How many rows lie outside the step's window."""
        grain, window = self._config.partition, self.target.slice.window
        if grain is None or grain.column is None or window is None:
            return pl.LazyFrame({"outside": [0]})
        dtype = self._schema.get(grain.column)
        if dtype is None:
            close = nearest(grain.column, self._schema)
            raise self._invalid(
                [f"there is no column {grain.column}, which its partition needs"],
                f'did you mean "{close}"?' if close else "return it, or mend `partition:` in the catalog",
            )
        inside = in_window(grain.column, dtype, window).fill_null(value=False)
        return self.handed_on.select((~inside).sum().alias("outside"))

    def _compare_with_table(self) -> None:
        now = self.target.adapter.schema(self.target.dataset, self.target.slice)
        problems = schema_changes(now, self._schema, may_add=self._config.schema_change == "add") if now else []
        if problems:
            raise self._invalid(problems, "return the table's columns, or set `schema_change: add` for new ones")

    def _invalid(self, problems: Sequence[str], hint: str) -> DataError:
        step = "" if self.target.slice.kind == "whole" else f" {self.target.slice}"
        head = f"dataset {self.target.dataset.name}{step} (node {self.target.write.node})"
        return DataError.of(Problem(f"{head}: {text}", None, hint) for text in problems)


def schema_changes(now: Mapping[str, pl.DataType], new: Mapping[str, pl.DataType], *, may_add: bool) -> list[str]:
    """How new rows differ from the columns that are there.

    >>> schema_changes({"a": pl.Int64()}, {"a": pl.String(), "b": pl.Int64()}, may_add=False)
    ['column a is Int64 in the table and String in the new rows', 'column b is not in the table']
    """
    both = [name for name in new if name in now]
    found = [
        f"column {name} is {now[name]} in the table and {new[name]} in the new rows"
        for name in both
        if now[name] != new[name]
    ]
    if not may_add:
        found += [f"column {name} is not in the table" for name in new if name not in now]
        found += [f"column {name} of the table is not in the new rows" for name in now if name not in new]
    return found


def _examples(rows: pl.DataFrame) -> str:
    return "; ".join(", ".join(f"{name}={value!r}" for name, value in row.items()) for row in rows.to_dicts())
