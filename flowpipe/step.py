"""One step: read, compute, stage, audit. Until it is decided and published, nothing of it is visible."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe import fingerprint
from flowpipe.adapters import State
from flowpipe.bound import Bound, Read, Write
from flowpipe.checkpoints import ReadBack, StepCheckpoints
from flowpipe.errors import DataError, FlowpipeError, Interrupted, NodeError, Problem
from flowpipe.executors import NodeProgress, NodeStart, Remote
from flowpipe.frames import collected, present, rows_of
from flowpipe.inputs import OpenInput
from flowpipe.intents import Intent
from flowpipe.output import Output, Target
from flowpipe.partition import Slice
from flowpipe.plan import Step
from flowpipe.reading import Reading
from flowpipe.records import Checked, NodeEnded, NodeStarted
from flowpipe.staging import StagingPass
from flowpipe.staleness import Choice, choose
from flowpipe.workshop import Decidable, Workshop, out_of_time

RESTARTS = 3


class InputsMoved(Exception):
    """An input changed while a step read it; the step starts again."""


def run_step(step: Step, shop: Workshop) -> Decidable | tuple[str, ...]:
    """Run one planned step until it can be decided; the reasons of a step that turned out to be up to date.

    Raises:
        FlowpipeError: what went wrong; nothing of the step is visible.
    """
    until = None if step.bound.timeout is None else time.monotonic() + step.bound.timeout
    for attempt in range(RESTARTS):
        try:
            scratch = shop.scratch / f"{step.name}-{attempt}"
            return _Attempt(step.bound, step.slice, shop, scratch, until).run()
        except InputsMoved as moved:
            name = moved.args[0]
    raise DataError(
        f"input {name} changed {RESTARTS} times while step {step.name} read it",
        hint="run again when its writer has finished",
    )


@dataclass
class _Attempt:
    bound: Bound
    slice: Slice
    shop: Workshop
    scratch: Path
    until: float | None

    def run(self) -> Decidable | tuple[str, ...]:
        reading = Reading.hold(self.bound, self.slice, self.shop.catalog, self.shop.configuration)
        choices, values = self._choices(reading)
        stale = [choice for choice in choices if choice.action == "run"]
        if not stale:
            return tuple(dict.fromkeys(text for choice in choices for text in choice.reasons))
        reading = reading.above(self._loaded(stale))
        outputs = self._stale_only(self._staged(choices, reading, values), stale)
        self._tell(outputs)
        publications = tuple(publication for output in outputs for publication in output.publications)
        return Decidable(Intent(self.shop.run, self.bound.name, self.slice, publications), self.scratch)

    def _loaded(self, stale: Sequence[Choice]) -> str | None:
        """How far the read that has a watermark was loaded; None: it has not been, or there is none.

        Raises:
            DataError: into one output farther than into another.
        """
        read = self.bound.increment
        if read is None:
            return None
        part = f"reads.{read.dataset.name}"
        found = {choice.write.dataset.name: choice.onto.parts.get(part) if choice.onto else None for choice in stale}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{name} {value or 'not at all'}" for name, value in found.items())
            raise DataError(
                f"step {self.bound.name}: {read.dataset.name} was loaded into its outputs up to different rows: {told}",
                hint="write each output by a pipeline of its own, or load all again with --force",
            )
        return next(iter(found.values()))

    def _choices(self, reading: Reading) -> tuple[list[Choice], dict[str, Any]]:
        """What is stale, and the values of the dataset-free nodes that were asked to find out."""
        held = {
            write.node: self.shop.catalog.adapter(write.dataset).held(write.dataset, [self.slice])[self.slice.key]
            for write in self.bound.writes
        }
        versions = reading.versions()

        def choices(digests: Mapping[str, str | None] | None) -> list[Choice]:
            return [
                choose(
                    (self.bound, self.slice),
                    write,
                    held[write.node],
                    versions,
                    digests=None if digests is None else {n: digests[n] for n in self.bound.free_values(write)},
                    force=self.shop.force,
                )
                for write in self.bound.writes
            ]

        first = choices(None)
        if not any(choice.action != "skip" and self.bound.free_values(choice.write) for choice in first):
            return first, {}
        values = self._free_values([choice.write for choice in first if choice.action != "skip"])
        # What runs once per item of a fan-out is not asked beforehand: no digest means that it always runs.
        digests = {node: fingerprint.of_value(value) for node, value in values.items()}
        again = {choice.write.node: choice for choice in choices({**_none_for(self.bound), **digests})}
        return [c if c.action == "skip" else again[c.write.node] for c in first], values

    def _free_values(self, writes: Sequence[Write]) -> dict[str, Any]:
        free = {node for write in writes for node in self.bound.free_values(write)}
        nodes = sorted(node for node in free if not self.bound.graph.nodes[node].within)
        values = self._graph_values(nodes, self._given(), {}, {})
        # What was hashed is what is used: a lazy frame with a changing source is asked once.
        lazy = {node: value for node, value in values.items() if isinstance(value, pl.LazyFrame)}
        return values | {node: collected(value).lazy() for node, value in lazy.items()}

    def _staged(self, choices: Sequence[Choice], reading: Reading, values: dict[str, Any]) -> tuple[Output, ...]:
        """Stage what is stale, and the up-to-date outputs that it is made of: they hand on audited rows, too.

        Raises:
            InputsMoved: an input changed meanwhile, which may be why something else failed.
        """
        stale = [choice for choice in choices if choice.action == "run"]
        kept = StepCheckpoints(self.shop.checkpoints, (self.bound, self.slice), reading, stale, self.scratch)
        targets = [self._target(choice, reading.label) for choice in choices if choice.write.node in kept.needed]
        staging = StagingPass(self.bound, targets, kept.needed, self.scratch, self.shop.run_time)
        try:
            self._compute(staging, targets, reading, values, kept)
            outputs = staging.finish()
            if moved := reading.moved():
                raise InputsMoved(moved)
        except BaseException as error:
            staging.discard()
            shutil.rmtree(self.scratch, ignore_errors=True)
            if isinstance(error, Exception) and not isinstance(error, (Interrupted, InputsMoved)):
                with suppress(FlowpipeError):  # of a store that cannot be asked, which is what failed before
                    if moved := reading.moved():
                        raise InputsMoved(moved) from error
                self._prove(reading, error)
            raise
        return outputs

    def _prove(self, reading: Reading, error: Exception) -> None:
        """Blame an input, where it is why a node's rows could not be computed.

        Raises:
            DataError: it is.
        """
        try:
            reading.prove(error.__cause__ if isinstance(error, NodeError) else error, self.scratch)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _compute(
        self,
        staging: StagingPass,
        targets: Sequence[Target],
        reading: Reading,
        values: dict[str, Any],
        kept: StepCheckpoints,
    ) -> None:
        receivers = staging.receivers()

        def handed_on(name: str, value: Any) -> Any:
            return receivers[name](value) if name in receivers else value

        read = self._inputs(kept, reading, staging)
        inputs = self._given() | {name: handed_on(name, frame) for name, frame in read.items()}
        overrides = {name: handed_on(name, value) for name, value in values.items() if name in staging.needed}
        overrides |= {back.node: handed_on(back.node, self._reused(back)) for back in kept.found.values()}
        self._graph_values([target.write.node for target in targets], inputs, overrides, kept.receivers(receivers))

    def _stale_only(self, outputs: Sequence[Output], stale: Sequence[Choice]) -> tuple[Output, ...]:
        """The outputs to be published; what else was staged is removed."""
        current = {write.dataset.name for write in self.bound.writes} - {each.write.dataset.name for each in stale}
        for output in outputs:
            if output.dataset.name in current:
                for publication in output.publications:
                    self.shop.catalog.adapter(publication.dataset).discard(publication.staged)
        # What the table itself may refuse goes first, while nothing of the step is visible.
        order = sorted(outputs, key=lambda output: output.dataset.config.missing == "keep")
        return tuple(output for output in order if output.dataset.name not in current)

    def _inputs(self, kept: StepCheckpoints, reading: Reading, staging: StagingPass) -> dict[str, Any]:
        """The frames of all reads.

        Raises:
            DataError: one or more cannot be read, or have not the columns of their contract.
        """
        frames: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, read in self.bound.reads.items():
            if name in kept.needed and read.dataset.name in reading.pins:
                kind = "lazy" if name in kept.only_audited else read.kind
                try:
                    frames[name] = present(self._read(read, reading, staging), kind, self.scratch)
                except DataError as error:
                    problems += error.problems
        if problems:
            raise DataError.of(problems)
        return frames

    def _target(self, choice: Choice, label: str) -> Target:
        dataset, parts = choice.write.dataset, choice.parts or {}
        adapter = self.shop.catalog.adapter(dataset)
        onto = choice.onto.fingerprint if choice.onto else None
        return Target(choice.write, self.slice, adapter, self._state(dataset.name, parts), self.scratch, label, onto)

    def _state(self, dataset: str, parts: Mapping[str, str]) -> State:
        return State(
            dataset=dataset,
            slice=self.slice.key,
            fingerprint=fingerprint.of_parts(parts),
            parts=parts,
            rows=-1,
            run=self.shop.run,
            published_at=self.shop.run_time.astimezone(UTC).isoformat(timespec="microseconds"),
        )

    def _read(self, read: Read, reading: Reading, staging: StagingPass) -> pl.LazyFrame:
        frame = reading.frame(read, self.scratch)
        if read.contract is not None:
            adapter, state = self.shop.catalog.adapter(read.dataset), self._state(read.dataset.name, {})
            frame = staging.audit_input(OpenInput(read, self.slice, reading.label, adapter, state, self.scratch, frame))
        return frame

    def _given(self) -> dict[str, Any]:
        return {**self.bound.params, **self.bound.given(self.slice, self.shop.run_time)}

    def _graph_values(
        self,
        nodes: Sequence[str],
        inputs: Mapping[str, Any],
        overrides: Mapping[str, Any],
        receivers: Mapping[str, Callable[[Any], Any]],
    ) -> dict[str, Any]:
        return self.bound.graph.compute(
            nodes,
            inputs,
            scheduler=self.shop.scheduler,
            settings=self.bound.settings,
            overrides=overrides,
            handed_on=receivers,
            progress=self._progress,
            check_stop=self._check,
            until=self.until,
            hooks=self.shop.hooks.of(self.bound.hooks, f"{self.shop.run}/{self.bound.name}/{self.slice}"),
        )

    def _check(self) -> None:
        self.shop.stop.check()
        if self.until is not None and time.monotonic() >= self.until:
            raise out_of_time(self.bound, self.slice)

    def _progress(self, event: NodeProgress) -> None:
        step = (self.shop.run, self.bound.name, str(self.slice), event.node)
        if isinstance(event, NodeStart):
            self.shop.emit(NodeStarted(*step, event.at))
            return
        rows = event.value.rows if isinstance(event.value, Remote) else rows_of(event.value)
        how = event.outcome, rows, event.worker, event.warning and self.shop.redact(event.warning)
        self.shop.emit(NodeEnded(*step, event.started_at, event.seconds, event.attempts, *how))

    def _reused(self, back: ReadBack) -> Any:
        step, took = (self.shop.run, self.bound.name, str(self.slice), back.node), (back.started_at, back.seconds)
        self.shop.emit(NodeEnded(*step, *took, 0, "reused", rows_of(back.value)))
        return back.value

    def _tell(self, outputs: Sequence[Output]) -> None:
        step = (self.shop.run, self.bound.name, str(self.slice))
        for output in outputs:
            for check, failed in output.failed.items():
                consequence = output.consequence if failed else "passed"
                self.shop.emit(Checked(*step, output.dataset.name, check, failed, consequence))


def _none_for(bound: Bound) -> dict[str, str | None]:
    return {node: None for write in bound.writes for node in bound.free_values(write)}
