"""The ordered steps of a run and why each runs or is skipped, from what the stores say before anything is read."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flowpipe import markup, watermark
from flowpipe.adapters import Dataset, Missing, Pin
from flowpipe.bound import Bound, Read, read_slice
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration
from flowpipe.errors import ConfigError, DataError, Problem
from flowpipe.partition import Slice, Window
from flowpipe.staleness import Action, Choice, Version, choose


@dataclass(frozen=True)
class Step:
    """One pipeline for one slice."""

    bound: Bound
    slice: Slice
    choices: tuple[Choice, ...]

    @property
    def name(self) -> str:
        return self.bound.name if self.slice.kind == "whole" else f"{self.bound.name} {self.slice}"

    @property
    def action(self) -> Action:
        actions = {choice.action for choice in self.choices}
        return "run" if "run" in actions else "ask" if "ask" in actions else "skip"

    @property
    def reason(self) -> str:
        """Why, for people; each output's reasons once."""
        wanted = [choice for choice in self.choices if choice.action == self.action]
        return "; ".join(dict.fromkeys(text for choice in wanted for text in choice.reasons))


@dataclass(frozen=True)
class Plan:
    """The ordered steps of one run."""

    steps: tuple[Step, ...]
    now: datetime
    force: bool = False

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Of each step its name, what happens to it, and why, for people."""
        shown = {"run": "run", "skip": "skip", "ask": "decided at run"}
        return [(step.name, shown[step.action], step.reason) for step in self.steps]

    @property
    def _head(self) -> str:
        waiting = sum(step.action != "skip" for step in self.steps)
        return f"plan: {waiting} of {len(self.steps)} steps to run"

    def __repr__(self) -> str:
        return markup.text(self._head, self.rows)

    def _repr_html_(self) -> str:
        return markup.table(self._head, ("step", "action", "why"), self.rows)


@dataclass
class Facts:
    """What stores say, asked once for a whole plan."""

    catalog: Catalog
    configuration: Configuration
    problems: list[Problem] = field(default_factory=list)
    _pins: dict[tuple[str, Slice, str | None], Pin | None] = field(default_factory=dict)

    def pin(self, read: Read, part: Slice, hint: str | None) -> Pin | None:
        """The pin of a read, or None after noting that there is nothing to read."""
        dataset, wanted = read.dataset, read_slice(read.dataset.config, part)
        key = (dataset.name, wanted, read.watermark)
        if key not in self._pins:
            try:
                self._pins[key] = watermark.pin(self.catalog.adapter(dataset), read, wanted)
            except Missing as missing:
                self._pins[key] = None
                self.problems.append(missing_input(self.configuration, dataset, wanted, missing, hint))
        return self._pins[key]


def missing_input(
    configuration: Configuration, dataset: Dataset, part: Slice, missing: Missing, hint: str | None = None
) -> Problem:
    """The words for an input that is not there: dataset, store, path, and what is there instead."""
    window = f" of {part}" if part.window else ""
    text = f'input {dataset.name}{window} is not there: {missing.location} (store "{dataset.config.store}")'
    near = f"the nearest that is there: {missing.near}" if missing.near else None
    where = configuration.where_key("catalog", dataset.name)
    return Problem(text, where, hint or near or "make it, or mend the path in the catalog")


def make(
    bounds: Sequence[tuple[Bound, Sequence[Slice]]],
    catalog: Catalog,
    configuration: Configuration,
    *,
    now: datetime,
    force: bool = False,
) -> Plan:
    """Plan pipelines, given in dependency order with the slices wanted of each.

    Raises:
        ConfigError: inputs are missing that no step of this plan will make.
        DataError: columns of inputs are not those of their schemas.
    """
    facts = Facts(catalog, configuration)
    makers = {write: name for name, config in configuration.pipelines.items() for write in config.writes.values()}
    steps: list[Step] = []
    coming = Coming()
    for bound, slices in bounds:
        held = {
            write.dataset.name: catalog.adapter(write.dataset).held(write.dataset, slices) for write in bound.writes
        }
        for part in slices:
            versions = _versions(bound, part, coming, facts, makers)
            choices = tuple(
                choose(
                    (bound, part),
                    write,
                    held[write.dataset.name][part.key],
                    versions,
                    digests=None,
                    force=force,
                )
                for write in bound.writes
            )
            steps.append(Step(bound, part, choices))
            coming.add(steps[-1])
    if facts.problems:
        raise ConfigError(facts.problems)
    broken = tuple(_broken_contracts(steps, catalog, configuration))
    if broken:
        raise DataError.of(broken)
    return Plan(tuple(steps), now, force)


def _broken_contracts(steps: Iterable[Step], catalog: Catalog, configuration: Configuration) -> Iterator[Problem]:
    """Inputs whose columns are not those of their schema, where a store knows its columns without reading rows."""
    seen: set[tuple[str, Slice]] = set()
    for step in steps:
        for read in step.bound.reads.values():
            dataset, wanted = read.dataset, read_slice(read.dataset.config, step.slice)
            if read.contract is None or step.action == "skip" or (dataset.name, wanted) in seen:
                continue
            seen.add((dataset.name, wanted))
            there = catalog.adapter(dataset).schema(dataset, wanted)
            part = f" of {wanted}" if wanted.window else ""
            where = configuration.where("catalog", dataset.name, "schema")
            for text in read.contract.schema_problems(there) if there else ():
                yield Problem(f"input {dataset.name}{part}: {text}", where, "mend the data, or the schema")


@dataclass
class Coming:
    """The steps of a plan that will publish, by dataset and in the order of their windows: a step finds at once whom it
    waits for, however many there are.
    """

    _steps: dict[str, list[tuple[datetime, Step]]] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        """One more step; it counts for what it will publish."""
        end = step.slice.window.end if step.slice.window else _NEVER
        for choice in step.choices:
            if choice.action != "skip":
                insort(self._steps.setdefault(choice.write.dataset.name, []), (end, step), key=_end)

    def maker(self, dataset: str, window: Window | None) -> str | None:
        """The first step that publishes rows of the window (None: any) to the dataset."""
        steps = self._steps.get(dataset, [])
        if window is None:
            return steps[0][1].name if steps else None
        for _, step in steps[bisect_right(steps, window.start, key=_end) :]:
            made = step.slice.window
            return step.name if made is None or made.start < window.end else None
        return None


_NEVER = datetime.max.replace(tzinfo=UTC)


def _end(entry: tuple[datetime, Step]) -> datetime:
    return entry[0]


def _versions(bound: Bound, part: Slice, coming: Coming, facts: Facts, makers: Mapping[str, str]) -> dict[str, Version]:
    versions: dict[str, Version] = {}
    own = {write.dataset.name for write in bound.writes}
    for read in bound.reads.values():
        name = read.dataset.name
        maker = coming.maker(name, read_slice(read.dataset.config, part).window)
        if maker or name in own:
            versions[name] = Version(after=maker)
            continue
        hint = f"run pipeline {makers[name]} first" if name in makers else None
        pin = facts.pin(read, part, hint)
        versions[name] = Version(pin.version if pin else None)
    return versions
