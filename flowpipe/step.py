"""One step: read, compute, stage, audit, decide, publish. Until it is decided, nothing of it is visible."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe import fingerprint
from flowpipe.adapters import Missing, Pin, State
from flowpipe.bound import Bound, Read, Write, read_slice
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration, RetryConfig
from flowpipe.errors import ConfigError, DataError, Problem, redact
from flowpipe.executors import Executor, NodeProgress, NodeStart
from flowpipe.frames import collected, present, rows_of
from flowpipe.inputs import OpenInput
from flowpipe.intents import Intent
from flowpipe.output import Output, Target
from flowpipe.partition import Slice
from flowpipe.plan import Step, missing_input
from flowpipe.publishing import Publisher
from flowpipe.records import Checked, NodeEnded, NodeStarted, Record
from flowpipe.staging import StagingPass
from flowpipe.staleness import Choice, Version, choose
from flowpipe.stop import Stop

RESTARTS = 3


@dataclass(frozen=True)
class Workshop:
    """What all steps of one run share."""

    run: str
    run_time: datetime
    configuration: Configuration
    catalog: Catalog
    executor: Executor
    publisher: Publisher
    scratch: Path
    force: bool
    emit: Callable[[Record], None]
    stop: Stop

    def redact(self, text: str) -> str:
        """A text without the project's secrets."""
        return redact(text, self.configuration.secrets)


class InputsMoved(Exception):
    """An input changed while a step read it; the step starts again."""


def run_step(step: Step, shop: Workshop) -> tuple[str, ...] | None:
    """Run one planned step to its end; the reasons of a step that turned out to be up to date, else None.

    Raises:
        FlowpipeError: what went wrong; nothing of the step is visible unless it was decided (PublishError).
    """
    for attempt in range(RESTARTS):
        try:
            return _Attempt(step.bound, step.slice, shop, shop.scratch / f"{step.name}-{attempt}").run()
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

    def run(self) -> tuple[str, ...] | None:
        pins = self._pins()
        choices, values = self._choices(pins)
        stale = [choice for choice in choices if choice.action == "run"]
        if not stale:
            return tuple(dict.fromkeys(text for choice in choices for text in choice.reasons))
        staging = self._compute(stale, pins, values)
        try:
            outputs = staging.finish()
            self._look_again(pins)
        except BaseException:
            staging.discard()
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise
        self._tell(outputs)
        publications = tuple(publication for output in outputs for publication in output.publications)
        intent = Intent(self.shop.run, self.bound.name, self.slice, publications)
        self.shop.publisher.finish(intent)
        # Not before: what a live manifest names may lie here.
        shutil.rmtree(self.scratch, ignore_errors=True)
        return None

    def _pins(self) -> dict[str, Pin]:
        """Hold every read to one version; a step's own output, where its parameter has a default, need not be there.

        Raises:
            ConfigError: an input is not there.
        """
        pins: dict[str, Pin] = {}
        problems = []
        for read in self.bound.reads.values():
            dataset, wanted = read.dataset, read_slice(read.dataset.config, self.slice)
            try:
                pins[dataset.name] = self.shop.catalog.adapter(dataset).pin(dataset, wanted)
            except Missing as missing:
                own = any(write.dataset.name == dataset.name for write in self.bound.writes)
                if own and self.bound.graph.inputs[read.parameter].optional:
                    continue
                hint = "give the parameter a default for the first run: `= None`" if own else None
                problems.append(missing_input(self.shop.configuration, dataset, wanted, missing, hint))
        if problems:
            raise ConfigError(problems)
        return pins

    def _choices(self, pins: Mapping[str, Pin]) -> tuple[list[Choice], dict[str, Any]]:
        """What is stale, and the values of the dataset-free nodes that were asked to find out."""
        held = {
            write.node: self.shop.catalog.adapter(write.dataset).held(write.dataset, [self.slice])[self.slice.key]
            for write in self.bound.writes
        }
        versions = {name: Version(pin.version) for name, pin in pins.items()}

        def choices(digests: Mapping[str, str | None] | None) -> list[Choice]:
            return [
                choose(
                    (self.bound, self.slice),
                    write,
                    held[write.node],
                    versions,
                    digests=None if digests is None else {n: digests[n] for n in self.bound.free_values(write)},
                    now=self.shop.run_time,
                    force=self.shop.force,
                )
                for write in self.bound.writes
            ]

        first = choices(None)
        if not any(choice.action != "skip" and self.bound.free_values(choice.write) for choice in first):
            return first, {}
        values = self._free_values([choice.write for choice in first if choice.action != "skip"])
        digests = {node: fingerprint.of_value(value) for node, value in values.items()}
        again = {choice.write.node: choice for choice in choices({**_none_for(self.bound), **digests})}
        return [c if c.action == "skip" else again[c.write.node] for c in first], values

    def _free_values(self, writes: Sequence[Write]) -> dict[str, Any]:
        nodes = sorted({node for write in writes for node in self.bound.free_values(write)})
        values = self._graph_values(nodes, self._given(), {}, {})
        # What was hashed is what is used: a lazy frame with a changing source is asked once.
        lazy = {node: value for node, value in values.items() if isinstance(value, pl.LazyFrame)}
        return values | {node: collected(value).lazy() for node, value in lazy.items()}

    def _compute(self, stale: Sequence[Choice], pins: Mapping[str, Pin], values: dict[str, Any]) -> StagingPass:
        shop, bound = self.shop, self.bound
        needed = bound.graph.upstream([choice.write.node for choice in stale])
        targets = [self._target(choice) for choice in stale]
        staging = StagingPass(bound, targets, needed, self.scratch, shop.run_time)
        receivers = staging.receivers()

        def handed_on(name: str, value: Any) -> Any:
            return receivers[name](value) if name in receivers else value

        try:
            read = self._inputs(needed, pins, staging)
            inputs = self._given() | {name: handed_on(name, frame) for name, frame in read.items()}
            overrides = {name: handed_on(name, value) for name, value in values.items() if name in needed}
            self._graph_values([target.write.node for target in targets], inputs, overrides, receivers)
        except BaseException:
            staging.discard()
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise
        return staging

    def _inputs(self, needed: frozenset[str], pins: Mapping[str, Pin], staging: StagingPass) -> dict[str, Any]:
        """The frames of all reads.

        Raises:
            DataError: the columns of one or more are not those of its contract.
        """
        frames: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, read in self.bound.reads.items():
            if name in needed and read.dataset.name in pins:
                try:
                    frames[name] = self._read(read, pins[read.dataset.name], staging)
                except DataError as error:
                    problems += error.problems
        if problems:
            raise DataError.of(problems)
        return frames

    def _target(self, choice: Choice) -> Target:
        dataset, parts = choice.write.dataset, choice.parts or {}
        adapter = self.shop.catalog.adapter(dataset)
        return Target(choice.write, self.slice, adapter, self._state(dataset.name, parts), self.scratch)

    def _state(self, dataset: str, parts: Mapping[str, str]) -> State:
        return State(
            dataset=dataset,
            slice=self.slice.key,
            fingerprint=fingerprint.of_parts(parts),
            parts=parts,
            rows=-1,
            run=self.shop.run,
            published_at=self.shop.run_time.astimezone(UTC).isoformat(timespec="seconds"),
        )

    def _read(self, read: Read, pin: Pin, staging: StagingPass) -> Any:
        adapter = self.shop.catalog.adapter(read.dataset)
        frame = adapter.read(read.dataset, read_slice(read.dataset.config, self.slice), pin, self.scratch)
        if read.contract is not None:
            state = self._state(read.dataset.name, {})
            opened = OpenInput(read, self.slice, adapter, state, self.scratch, frame)
            frame = staging.audit_input(opened)
        return present(frame, read.kind, self.scratch)

    def _given(self) -> dict[str, Any]:
        return {**self.bound.params, **self.bound.given(self.slice, self.shop.run_time)}

    def _graph_values(
        self,
        nodes: Sequence[str],
        inputs: Mapping[str, Any],
        overrides: Mapping[str, Any],
        receivers: Mapping[str, Callable[[Any], Any]],
    ) -> dict[str, Any]:
        config = self.bound.config

        def retry(node: str) -> RetryConfig:
            own = config.nodes.get(node)
            return own.retry if own and own.retry else config.retry

        return self.bound.graph.compute(
            nodes,
            inputs,
            executor=self.shop.executor,
            retry=retry,
            overrides=overrides,
            handed_on=receivers,
            progress=self._progress,
            check_stop=self.shop.stop.check,
        )

    def _progress(self, event: NodeProgress) -> None:
        step = (self.shop.run, self.bound.name, str(self.slice), event.node)
        if isinstance(event, NodeStart):
            self.shop.emit(NodeStarted(*step, event.at))
            return
        rows = rows_of(event.value)
        self.shop.emit(NodeEnded(*step, event.started_at, event.seconds, event.attempts, event.outcome, rows))

    def _look_again(self, pins: Mapping[str, Pin]) -> None:
        """Start the step again if a file it read is not the file it pinned."""
        for read in self.bound.reads.values():
            dataset = read.dataset
            if dataset.name not in pins or pins[dataset.name].snapshot:
                continue
            wanted = read_slice(dataset.config, self.slice)
            try:
                again = self.shop.catalog.adapter(dataset).pin(dataset, wanted)
            except Missing:
                raise InputsMoved(dataset.name) from None
            if again.token != pins[dataset.name].token:
                raise InputsMoved(dataset.name)

    def _tell(self, outputs: Sequence[Output]) -> None:
        step = (self.shop.run, self.bound.name, str(self.slice))
        for output in outputs:
            for check, failed in output.failed.items():
                consequence = output.consequence if failed else "passed"
                self.shop.emit(Checked(*step, output.dataset.name, check, failed, consequence))


def _none_for(bound: Bound) -> dict[str, str | None]:
    return {node: None for write in bound.writes for node in bound.free_values(write)}
