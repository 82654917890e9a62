"""The reads of one step, each held to one version from the first look to the last."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from flowpipe import watermark
from flowpipe.adapters import Dataset, Missing, Pin
from flowpipe.adapters.abilities import Explaining, Incremental
from flowpipe.bound import Bound, Read, read_slice
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration
from flowpipe.errors import ConfigError, DataError, FlowpipeError
from flowpipe.partition import NewRows, Slice
from flowpipe.plan import missing_input
from flowpipe.staleness import Version

# What Polars raises of files; the other errors are of what is asked of them.
_OF_FILES = (OSError, pl.exceptions.ComputeError, pl.exceptions.SchemaError)


@dataclass(frozen=True)
class Reading:
    """What a step reads; `pins` are the versions by dataset."""

    bound: Bound
    slice: Slice
    catalog: Catalog
    configuration: Configuration
    pins: Mapping[str, Pin]
    new: NewRows | None = None

    @classmethod
    def hold(cls, bound: Bound, part: Slice, catalog: Catalog, configuration: Configuration) -> Reading:
        """Pin every read; a step's own output, where its parameter has a default, need not be there.

        Raises:
            ConfigError: an input is not there.
        """
        pins: dict[str, Pin] = {}
        problems = []
        makers = {name: maker for maker, own in configuration.pipelines.items() for name in own.writes.values()}
        for read in bound.reads.values():
            dataset, wanted = read.dataset, read_slice(read.dataset.config, part)
            try:
                pins[dataset.name] = watermark.pin(catalog.adapter(dataset), read, wanted)
            except Missing as missing:
                own = any(write.dataset.name == dataset.name for write in bound.writes)
                if own and bound.graph.inputs[read.parameter].optional:
                    continue
                hint = f"run pipeline {makers[dataset.name]} first" if dataset.name in makers else None
                hint = "give the parameter a default for the first run: `= None`" if own else hint
                problems.append(missing_input(configuration, dataset, wanted, missing, hint))
        if problems:
            raise ConfigError(problems)
        return cls(bound, part, catalog, configuration, pins)

    def versions(self) -> dict[str, Version]:
        """The version of each dataset that is read."""
        return {name: Version(pin.version) for name, pin in self.pins.items()}

    def above(self, low: str | None) -> Reading:
        """The same with only the rows above a version of the read that has a watermark; None: with all of them."""
        read = self.bound.increment
        if read is None:
            return self
        return replace(self, new=watermark.new_rows(read, low, self.pins[read.dataset.name].version))

    @property
    def label(self) -> str:
        """What tells the rows of this step from those of others: its slice, or how far its new rows go."""
        return str(self.slice) if self.new is None else f"to {self.new.high}"

    def frame(self, read: Read, scratch: Path) -> pl.LazyFrame:
        """The rows of a read, as pinned.

        Raises:
            DataError: its files cannot be read.
        """
        wanted, new = read_slice(read.dataset.config, self.slice), self.new if read.watermark else None
        adapter = self.catalog.adapter(read.dataset)
        if new and isinstance(adapter, Incremental):
            wanted = replace(wanted, new=new)
        try:
            frame = adapter.read(read.dataset, wanted, self.pins[read.dataset.name], scratch)
            # Now, so that a damaged file is not taken for a mistake of the node that reads it.
            frame.collect_schema()
        except (OSError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
            part = f" of {wanted}" if wanted.window else ""
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            raise self._unreadable(read.dataset, part, self._fault(read, scratch) or reason) from error
        return watermark.cut(frame, new) if new else frame

    def prove(self, error: BaseException | None, scratch: Path) -> None:
        """Look for an input that is to blame for rows that could not be computed.

        Raises:
            DataError: there are some.
        """
        if isinstance(error, _OF_FILES):
            reads = [read for read in self.bound.reads.values() if read.dataset.name in self.pins]
            faults = [(read, fault) for read in reads if (fault := self._fault(read, scratch))]
            if faults:
                raise DataError.of(self._unreadable(read.dataset, "", fault).problems[0] for read, fault in faults)

    def _fault(self, read: Read, scratch: Path) -> str | None:
        adapter = self.catalog.adapter(read.dataset)
        if not isinstance(adapter, Explaining):
            return None
        scratch.mkdir(parents=True, exist_ok=True)
        with suppress(FlowpipeError):  # of a store that cannot be asked, which is told already
            return adapter.fault(read.dataset, self.pins[read.dataset.name], scratch)
        return None

    def _unreadable(self, dataset: Dataset, part: str, reason: str) -> DataError:
        return DataError(
            f"input {dataset.name}{part} cannot be read: {reason}",
            where=self.configuration.where_key("catalog", dataset.name),
            hint="mend the file, or the dataset's `format:` and `options:`",
        )

    def moved(self) -> str | None:
        """A dataset whose files are no longer those that were pinned; None: all are as they were."""
        for read in self.bound.reads.values():
            dataset = read.dataset
            if dataset.name not in self.pins or self.pins[dataset.name].snapshot:
                continue
            try:
                again = self.catalog.adapter(dataset).pin(dataset, read_slice(dataset.config, self.slice))
            except Missing:
                return dataset.name
            if again.token != self.pins[dataset.name].token:
                return dataset.name
        return None
