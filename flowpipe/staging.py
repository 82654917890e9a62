"""One pass over a step's outputs: what nodes return is staged and audited together, and handed on as audited.

Lazy outputs wait and run as one `collect_all`, so that what they share is computed once; an eager one is staged at
once, so that its memory is free again. Nothing here is visible to a reader yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe.binding import Bound
from flowpipe.errors import DataError, FlowpipeError, NodeError, Problem
from flowpipe.frames import kind_of, present, run_plans, to_lazy
from flowpipe.inputs import OpenInput
from flowpipe.output import OpenOutput, Output, Target

MAX_FUSED = 8


class StagingPass:
    """Stages the outputs of one step as their nodes complete; `finish` gives them all.

    `needed` are the nodes that the step computes: only they are looked at as consumers of a written node.
    """

    def __init__(
        self, bound: Bound, targets: Sequence[Target], needed: frozenset[str], scratch: Path, now: datetime
    ) -> None:
        self._graph = bound.graph
        self._targets = targets
        self._needed = needed
        self._scratch = scratch
        self._now = now
        self._waiting: list[OpenInput | OpenOutput] = []
        self._opened: list[OpenInput | OpenOutput] = []
        self._done: dict[str, Output] = {}
        self._problems: list[Problem] = []

    def receivers(self) -> Mapping[str, Callable[[Any], Any]]:
        """What takes each written node's value, and gives what its consumers get."""
        return {target.write.node: partial(self._receive, target) for target in self._targets}

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
        # Inputs first, then outputs as the pipeline lists them, whichever was ready first.
        order = {target.write.node: number for number, target in enumerate(self._targets)}
        opened = sorted(self._opened, key=lambda each: order.get(each.node or "", -1))
        return tuple(self._done[each.name] for each in opened)

    def discard(self) -> None:
        """Remove every staged file."""
        for opened in self._opened:
            for adapter, staged in opened.staged():
                adapter.discard(staged)

    def _receive(self, target: Target, value: Any) -> Any:
        opened = self._open(target, value)
        if opened is None:
            return None
        self._waiting.append(opened)
        consumers = self._consumers(target.write.node)
        lazy = isinstance(value, pl.LazyFrame) and not opened.barred
        if lazy and self._all_lazy_below(consumers) and len(self._waiting) < MAX_FUSED:
            return opened.handed_on
        self._flush()
        if not consumers:
            return None
        self._raise_problems()
        staged = self._done[opened.name].publications[-1].staged
        return present(staged.scan(), target.write.kind, self._scratch)

    def _open(self, target: Target, value: Any) -> OpenOutput | None:
        node = target.write.node
        with self._blaming(f"node {node}", node):
            try:
                opened = OpenOutput(target, to_lazy(value, self._scratch), self._now)
            except DataError as error:
                self._problems += error.problems
                if self._consumers(node):
                    self._raise_problems()
                return None
        self._opened.append(opened)
        return opened

    def _consumers(self, node: str) -> list[str]:
        return [name for name in self._graph.consumers(node) if name in self._needed]

    def _all_lazy_below(self, names: Sequence[str]) -> bool:
        """Whether every needed node below gives a LazyFrame: then nothing is collected before the pass runs."""
        todo, seen = list(names), set(names)
        while todo:
            name = todo.pop()
            if kind_of(self._graph.nodes[name].annotation) != "lazy":
                return False
            below = set(self._consumers(name)) - seen
            seen |= below
            todo += below
        return True

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            self._collect(batch)
        except Exception:  # noqa: BLE001 - whatever it was, it is raised again by the one that causes it
            # Once more one by one: to name the output and its node.
            for opened in batch:
                with self._blaming(opened.name, opened.node):
                    self._collect([opened])
        for opened in batch:
            try:
                self._done[opened.name] = opened.judge()
            except DataError as error:
                self._problems += error.problems

    def _collect(self, batch: Sequence[OpenInput | OpenOutput]) -> None:
        plans = [opened.plans() for opened in batch]
        results = iter(run_plans([plan for own in plans for plan in own]))
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
            text = f"{name} failed when its rows were computed: {type(error).__name__}: {_first_line(error)}"
            raise NodeError(text, where=self._graph.nodes[node].where if node else None) from error

    def _raise_problems(self) -> None:
        if self._problems:
            raise DataError.of(self._problems)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
