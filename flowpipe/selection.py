"""Which pipelines and windows a plan covers, as people ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flowpipe import partition
from flowpipe.bound import Bound
from flowpipe.errors import ConfigError, Problem, UsageError, unknown
from flowpipe.partition import Slice


@dataclass(frozen=True)
class Selection:
    """Which pipelines and windows a plan covers; empty means all."""

    pipelines: tuple[str, ...] = ()
    partitions: Sequence[str] = ()
    first: str | None = None
    last: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.partitions, str):  # one window, which is no list of its characters
            object.__setattr__(self, "partitions", (self.partitions,))

    @property
    def has_windows(self) -> bool:
        return bool(self.partitions or self.first or self.last)

    def of(self, bounds: Mapping[str, Bound], now: datetime) -> list[tuple[Bound, Sequence[Slice]]]:
        """The pipelines that are asked for, in their order, each with its slices.

        Raises:
            ConfigError: there is no pipeline of this name.
            UsageError: a partition is not a window of a pipeline's grain, or no pipeline has windows.
        """
        if missing := [name for name in self.pipelines if name not in bounds]:
            raise ConfigError(self._unknown(name, bounds) for name in missing)
        chosen = [bound for name, bound in bounds.items() if not self.pipelines or name in self.pipelines]
        if self.has_windows and not any(bound.config.partitions for bound in chosen):
            verb = "runs" if len(chosen) == 1 else "run"
            raise UsageError(
                f"no partitions: {', '.join(bound.name for bound in chosen)} {verb} as a whole",
                hint="leave out --partition, --from and --to",
            )
        return [(bound, self.windows(bound, now)) for bound in chosen]

    def _unknown(self, name: str, bounds: Mapping[str, Bound]) -> Problem:
        is_node = any(name in bound.graph.nodes for bound in bounds.values())
        add = f"print a node with --select {name}" if is_node else None
        return unknown("pipeline", name, bounds, add=add)

    def windows(self, bound: Bound, now: datetime) -> Sequence[Slice]:
        """The slices of a pipeline that are asked for.

        Raises:
            UsageError: a partition is not a window of the pipeline's grain.
        """
        grain = bound.config.partitions
        if grain is None or not self.has_windows:
            return bound.slices(now)

        def parse(text: str) -> partition.Window:
            try:
                return partition.parse(text, grain.every, grain.timezone)
            except ValueError as error:
                said, _, hint = str(error).partition("; ")
                text = f"pipeline {bound.name} runs by {grain.every}, and {said}"
                raise UsageError(text, hint=hint or "write it like 2013-02") from None

        if self.partitions:
            wanted = [parse(text) for text in self.partitions]
            start, end = parse(grain.start), grain.end and parse(grain.end)
            for window in wanted:
                if window.start < start.start or (end and window.start > end.start):
                    hint = f"its windows are {start} to {end}" if end else f"its windows begin with {start}"
                    raise UsageError(f"pipeline {bound.name} has no window {window}", hint=hint)
            return tuple(map(partition.of_window, wanted))
        slices = bound.slices(now)
        first = parse(self.first) if self.first else None
        last = parse(self.last) if self.last else None
        if first and last and last.start < first.start:
            raise UsageError(f"--from {first} is after --to {last}", hint="write the earlier window first")
        chosen = tuple(
            part
            for part in slices
            if part.window
            and (not first or first.start <= part.window.start)
            and (not last or part.window.start <= last.start)
        )
        if slices and not chosen:
            hint = f"its windows are {slices[0]} to {slices[-1]}"
            asked = " ".join([*([f"from {first}"] if first else []), *([f"to {last}"] if last else [])])
            raise UsageError(f"pipeline {bound.name} has no window {asked}", hint=hint)
        return chosen
