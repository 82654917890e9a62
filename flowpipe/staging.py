"""One pass over a step's outputs: what nodes return is staged and audited together, and handed on as audited.

Lazy outputs wait and run as one `collect_all`, so that what they share is computed once; an eager one is staged at
once, so that its memory is free again. Nothing here is visible to a reader yet.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe.blame import blamed
from flowpipe.bound import Bound
from flowpipe.errors import DataError, FlowpipeError, Interrupted, NodeError, Problem
from flowpipe.executors.task import NodeTimeout
from flowpipe.frames import kind_of, present, to_lazy
from flowpipe.inputs import OpenInput
from flowpipe.output import OpenOutput, Output, Target
from flowpipe.sinks import run_plans

MAX_FUSED = 8


class StagingPass:
    """Stages the outputs of one step as their nodes complete; `finish` gives them all.

    `needed` are the nodes that the step computes: only they are looked at as consumers of a written node.
    """

    def __init__(
        self, bound: Bound, targets: Sequence[Target], needed: frozenset[str], scratch: Path, now: datetime
    ) -> None:
        self._graph = bound.graph
        self._settings = bound.settings
        self._kept = bound.checkpoints
        self._targets = targets
        self.needed = needed
        self._scratch = scratch
        self._now = now
        self._waiting: list[OpenInput | OpenOutput] = []
        self._opened: list[OpenInput | OpenOutput] = []
        self._done: dict[str, Output] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}

    def receivers(self) -> Mapping[str, Callable[[Any], Any]]:
        """By node or input: what takes a value, and gives what its consumers get.

        A written node's is staged, and what several nodes are made of is computed once for all.
        """
        shared = {name: _shared for name in self.needed if len(self._consumers(name)) > 1}
        return {**shared, **{target.write.node: partial(self._receive, target) for target in self._targets}}

    def audit_input(self, opened: OpenInput) -> pl.LazyFrame:
        """Hold an input to its contract in this pass; the rows that its consumers get."""
        self._waiting.append(opened)
        self._opened.append(opened)
        return opened.handed_on

    def finish(self) -> tuple[Output, ...]:
        """Stage what still waits.

        Raises:
            NodeError: rows could not be computed.
            DataError: one or more outputs or inputs are invalid; all are named.
        """
        self._flush()
        self._raise_problems()
        outputs = tuple(self._done[name] for name in self._in_order(self._done))
        # A pass that was run a second time has left the files of the first.
        self.discard(but={file.path for each in outputs for one in each.publications for file in one.staged.files})
        return outputs

    def discard(self, *, but: Set[str] = frozenset()) -> None:
        """Remove every staged file, or every one but these."""
        for opened in self._opened:
            for adapter, staged in opened.staged():
                left = tuple(file for file in staged.files if file.path not in but)
                adapter.discard(replace(staged, files=left))

    def _receive(self, target: Target, value: Any) -> Any:
        opened = self._open(target, value)
        if opened is None:
            return None
        consumers = self._consumers(target.write.node)
        if isinstance(value, pl.LazyFrame) and not opened.barred and self._all_lazy_below(consumers):
            self._waiting.append(opened)
            if len(self._waiting) < MAX_FUSED:
                return opened.handed_on
            self._flush()
        else:
            # Alone: what waits may have consumers still to come, which would compute it again.
            self._stage([opened])
        if not consumers:
            return None
        if self._problems:
            self._flush()
            self._raise_problems()
        staged = self._done[opened.name].publications[-1].staged
        return present(staged.scan(), target.write.kind, self._scratch)

    def _open(self, target: Target, value: Any) -> OpenOutput | None:
        node = target.write.node
        if kind_of(type(value)) is None:
            gives = "None" if value is None else f"a {type(value).__name__}"
            text = f"node {node} gives {gives}, but is written to dataset {target.dataset.name}"
            raise NodeError(text, where=self._graph.nodes[node].where, hint="return a frame on every path")
        with self._blaming(f"node {node}", node):
            try:
                opened = OpenOutput(target, to_lazy(value, self._scratch), self._now)
            except DataError as error:
                self._problems[f"node {node}"] = self._placed(node, error)
                if self._consumers(node):
                    self._flush()
                    self._raise_problems()
                return None
        self._opened.append(opened)
        return opened

    def _consumers(self, node: str) -> list[str]:
        return [name for name in self._graph.consumers(node) if name in self.needed]

    def _all_lazy_below(self, names: Sequence[str]) -> bool:
        """Whether every needed node below gives a LazyFrame: then nothing is collected before the pass runs."""
        todo, seen = list(names), set(names)
        while todo:
            name = todo.pop()
            if kind_of(self._graph.nodes[name].annotation) != "lazy" or name in self._kept:
                return False
            below = set(self._consumers(name)) - seen
            seen |= below
            todo += below
        return True

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        self._stage(batch)

    def _stage(self, batch: Sequence[OpenInput | OpenOutput]) -> None:
        try:
            self._collect(batch)
        except Interrupted:
            raise
        except Exception:  # noqa: BLE001 - whatever it was, it is raised again by the one that causes it
            # Once more one by one: to name the output and its node.
            for opened in batch:
                with self._blaming(opened.name, opened.node):
                    self._retried(opened)
        for opened in batch:
            try:
                self._done[opened.name] = opened.judge()
            except DataError as error:
                self._problems[opened.name] = self._placed(opened.node, error)

    def _retried(self, opened: OpenInput | OpenOutput) -> None:
        """Compute rows as often as the retry of their node says; the first attempt was all together."""
        for attempts in itertools.count(2):
            try:
                self._collect([opened])
            except Exception as error:
                settings = self._settings.get(opened.node or "")
                pause = settings.retry.wait(error, attempts) if settings else None
                if pause is None or isinstance(error, FlowpipeError):
                    raise
                time.sleep(pause)
            else:
                return

    def _limit(self, batch: Sequence[OpenInput | OpenOutput]) -> float | None:
        """The shortest timeout of the lazy nodes whose work is done here."""
        above = self._graph.upstream(opened.node for opened in batch if opened.node)
        lazy = (name for name in above & self._settings.keys() if kind_of(self._graph.nodes[name].annotation) == "lazy")
        return min((limit for name in lazy if (limit := self._settings[name].timeout) is not None), default=None)

    def _collect(self, batch: Sequence[OpenInput | OpenOutput]) -> None:
        plans, limit = [opened.plans() for opened in batch], self._limit(batch)
        try:
            results = iter(run_plans([plan for own in plans for plan in own], limit))
        except TimeoutError as error:
            raise error if str(error) else NodeTimeout(f"it took longer than its timeout of {limit:g} s") from None
        for opened, own in zip(batch, plans, strict=True):
            opened.take([next(results) for _ in own])

    @contextmanager
    def _blaming(self, name: str, node: str | None) -> Iterator[None]:
        """Turn what goes wrong when rows are computed into an error that names the node and its place."""
        try:
            yield
        except FlowpipeError:
            raise
        except Exception as error:
            what, _, named = name.partition(" ")
            raise blamed(what, node or named, error, self._graph) from error

    def _placed(self, node: str | None, error: DataError) -> tuple[Problem, ...]:
        """The problems of an output, each at the node that made it."""
        where = self._graph.nodes[node].where if node else None
        return tuple(replace(problem, where=problem.where or where) for problem in error.problems)

    def _raise_problems(self) -> None:
        if self._problems:
            raise DataError.of(problem for name in self._in_order(self._problems) for problem in self._problems[name])

    def _in_order(self, names: Iterable[str]) -> list[str]:
        """Inputs first, then outputs as the pipeline lists them, whichever was ready first."""
        order = [f"node {target.write.node}" for target in self._targets]
        return sorted(names, key=lambda name: order.index(name) if name in order else -1)


def _shared(value: Any) -> Any:
    return value.cache() if isinstance(value, pl.LazyFrame) else value
