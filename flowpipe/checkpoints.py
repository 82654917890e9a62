"""Resume inside a step: which nodes are read back instead of computed, and how what is computed is kept.

A frame that cannot be kept or read back is computed, and no run fails because of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from flowpipe import framefiles
from flowpipe.bound import Bound
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration
from flowpipe.errors import Interrupted, redact
from flowpipe.frames import Kind, kind_of
from flowpipe.partition import Slice
from flowpipe.reading import Reading
from flowpipe.reuse import Incomparable, key_of, written_above
from flowpipe.shelf import Bounds, Shelf, shelf_of
from flowpipe.staleness import Choice

_log = logging.getLogger(__name__)

Receiver = Callable[[Any], Any]


@dataclass(frozen=True)
class Checkpoints:
    """Where the steps of one run keep frames and find them; `force` finds none."""

    shelf: Shelf
    bounds: Bounds
    force: bool
    secrets: frozenset[str] = field(repr=False)
    _told: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, configuration: Configuration, *, force: bool) -> Checkpoints:
        return cls(shelf_of(configuration), Bounds.of(configuration), force, configuration.secrets)

    def tidy(self) -> None:
        """Remove what is too old or too much."""
        try:
            for entry, _ in self.bounds.beyond(list(self.shelf.entries()), datetime.now(UTC)):
                self.shelf.remove(entry.name)
        except Interrupted:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a store answers, the run does not need it
            self.warn(f"old checkpoints cannot be removed: {_first_line(error)}")

    def warn(self, text: str) -> None:
        """Tell it once."""
        if text not in self._told:
            self._told.add(text)
            _log.warning("%s", redact(text, self.secrets))


@dataclass(frozen=True)
class ReadBack:
    """A frame that was read back, and how long that took."""

    node: str
    value: Any
    started_at: datetime
    seconds: float


class StepCheckpoints:
    """What one step reads back of its nodes, and what it keeps.

    `needed` are the nodes and inputs of the stale outputs that are still to be computed, `found` the values that are
    given for some of them. The inputs `only_audited` are needed for their contracts alone: a frame that is read back
    was made of their rows, and this step answers for them.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        step: tuple[Bound, Slice],
        reading: Reading,
        stale: Sequence[Choice],
        scratch: Path,
    ) -> None:
        self._checkpoints = checkpoints
        self._bound, self._slice = step
        self._reading = reading
        self._scratch = scratch / "checkpoints"
        self.found: dict[str, ReadBack] = {}
        upstream, wanted = self._bound.graph.upstream, [choice.write.node for choice in stale]
        whole = upstream(wanted)
        self._names = self._named(sorted(whole & self._bound.checkpoints), stale)
        left = set() if checkpoints.force else set(self._names)
        while left := left & upstream(wanted, self.found.keys()):
            # The lowest first: what is above one that is there is not asked for.
            node = min(left, key=lambda one: sum(one in upstream([other]) for other in left))
            left.remove(node)
            if back := self._read_back(node):
                self.found[node] = back
        computed = upstream(wanted, self.found.keys())
        contracts = {read.parameter for read in self._bound.reads.values() if read.contract is not None}
        self.only_audited = (whole - computed) & contracts
        self.needed = computed | self.only_audited

    def receivers(self, receivers: Mapping[str, Receiver]) -> Mapping[str, Receiver]:
        """What takes the values of nodes, with the keeping of those that were not read back before it."""

        def both(node: str, value: Any) -> Any:
            kept = self._keep(node, value)
            return receivers[node](kept) if node in receivers else kept

        keeping = {node: partial(both, node) for node in self._names if node in self.needed and node not in self.found}
        return {**receivers, **keeping}

    def _named(self, nodes: Sequence[str], stale: Sequence[Choice]) -> dict[str, str]:
        """The names under which the frames of nodes are kept, for those that have one."""
        versions = {name: pin.version for name, pin in self._reading.pins.items()}
        parts = [part for choice in stale for part in (choice.parts or {}).items()]
        digests = {name.removeprefix("values."): text for name, text in parts if name.startswith("values.")}
        names = {}
        for node in nodes:
            tables = _tables(self._bound, node, self._slice, self._reading.catalog)
            try:
                key = key_of(self._bound, node, self._slice, versions=versions, digests=digests, tables=tables)
            except Incomparable as reason:
                self._not_kept(node, str(reason))
            else:
                names[node] = f"{self._bound.name}/{node}/{key}.parquet"
        return names

    def _read_back(self, node: str) -> ReadBack | None:
        """The frame of a node; None where it is not there, or is damaged."""
        started_at, clock = datetime.now(UTC), time.monotonic()
        name, kind = self._names[node], kind_of(self._bound.graph.nodes[node].annotation)
        assert kind is not None, "only frames are kept"
        try:
            value = self._open(name, kind)
        except Interrupted:
            raise
        except Exception:  # noqa: BLE001 - torn, taken away meanwhile, out of reach: then it is computed
            return None
        return None if value is None else ReadBack(node, value, started_at, time.monotonic() - clock)

    def _open(self, name: str, kind: Kind) -> Any:
        shelf = self._checkpoints.shelf
        place = shelf.find(name)
        if place is None:
            return None
        if kind == "lazy":
            return framefiles.scan(place, shelf.storage)
        return framefiles.read(shelf.local(name, self._scratch), kind, self._scratch)

    def _keep(self, node: str, value: Any) -> Any:
        """Keep the frame of a node; what its consumers get."""
        kind, shelf, name = kind_of(type(value)), self._checkpoints.shelf, self._names[node]
        if kind is None:  # None, where that is allowed
            return value
        aside: Path | None = None
        try:
            aside = shelf.aside(name, self._scratch)
            if kind == "reader":
                return framefiles.teed(value, aside, partial(self._end, node, aside))
            framefiles.write(value, kind, aside)
            self._put(aside, name)
            # Lazy frames and relations would be computed again by each consumer.
            kept = self._open(name, kind) if kind in {"lazy", "relation"} else None
        except BaseException as error:
            self._end(node, aside, error)
            if isinstance(error, Interrupted) or not isinstance(error, Exception):
                raise
            return value
        return value if kept is None else kept

    def _put(self, written: Path, name: str) -> None:
        if self._reading.moved():
            # It may be made of rows that its fingerprint does not know; the step will find out, too.
            written.unlink()
        else:
            self._checkpoints.shelf.put(written, name)

    def _end(self, node: str, written: Path | None, failure: BaseException | None) -> None:
        """After the last row of a stream, or what went wrong before."""
        try:
            if failure is None and written is not None:
                self._put(written, self._names[node])
        except Exception as error:  # noqa: BLE001 - whatever a store answers, the rows do not suffer from it
            failure = error
        if failure is not None:
            with suppress(OSError):
                if written is not None:
                    written.unlink(missing_ok=True)
            if not isinstance(failure, Interrupted):
                self._not_kept(node, _first_line(failure))

    def _not_kept(self, node: str, reason: str) -> None:
        self._checkpoints.warn(f"node {node} of pipeline {self._bound.name} is not kept: {reason}")


def _tables(bound: Bound, node: str, part: Slice, catalog: Catalog) -> dict[str, str]:
    """What stores do to audited rows before they are handed on to a node: they fit them to their tables."""
    found = {}
    for write in written_above(bound, node):
        adapter = catalog.adapter(write.dataset)
        columns = adapter.schema(write.dataset, part) or {}
        found[write.dataset.name] = f"{type(adapter).__name__} {dict(columns)}"
    return found


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".removesuffix(": ")
