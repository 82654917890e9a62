"""A killed publish leaves the old rows or the new ones, and the next publish of the same rows makes it right."""

from __future__ import annotations

import dataclasses
import inspect
import random
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import BaseModel

from flowpipe import adapters
from flowpipe.adapters import Dataset, Held, Publication
from flowpipe.partition import WHOLE, Slice
from flowpipe.testing.kills import NEVER, At, Ended, Instants, in_child
from flowpipe.testing.store import Store, StoreTests, month, rows

Opening = tuple[type, BaseModel, Path]


class Openings:
    """How every adapter of the test was opened: a child opens its own."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._known: list[tuple[object, Opening]] = []
        for point in adapters.installed().values():
            with suppress(ImportError):  # an extra that is not installed
                patch.setattr(adapter := point.load(), "__init__", self._watched(adapter.__init__))

    def of(self, adapter: object) -> Opening:
        """The class, options and root folder of an adapter."""
        return next(opening for known, opening in self._known if known is adapter)

    def _watched(self, init: Any) -> Any:
        def watched(adapter: Any, options: BaseModel, root: Path) -> None:
            self._known.append((adapter, (type(adapter), options, root)))
            init(adapter, options, root)

        return watched


class KillSuite(StoreTests):
    """The part of `AdapterSuite` that kills; an adapter without an entry point overrides `opening`.

    `lives_on` is false for a store in the memory of its process: nothing of it is left after a kill.
    """

    kills = 3
    lives_on = True

    @pytest.fixture
    def openings(self, monkeypatch: pytest.MonkeyPatch) -> Openings:
        """Watches how `store` is opened: ask for it before `store`."""
        return Openings(monkeypatch)

    def opening(self, openings: Openings, store: Store) -> Opening:
        """The adapter's class, options and root folder, for a child to open the same store."""
        return openings.of(store.adapter)

    def test_a_killed_publish_is_old_or_new_and_made_right_by_the_next(self, openings: Openings, store: Store) -> None:
        for mode in self.modes if self.lives_on else ():
            _Scene(self._made(mode, "calm"), self._made(mode, "killed"), store, self.opening(openings, store)).play(
                random.Random(mode), self.kills
            )

    def _made(self, mode: str, name: str) -> Dataset:
        if mode == "overwrite":
            dataset = self.dataset()
        elif mode == "snapshot":
            dataset = self.dataset(mode=mode, key=["id"], effective="day", track=["value"])
        else:
            dataset = self.monthly(mode)
        return dataclasses.replace(dataset, name=f"{mode}_{name}", config=self._own(dataset.config, f"{mode}_{name}"))


class _Scene:
    """Two datasets that get the same rows: one is published calmly, one is killed, each time."""

    def __init__(self, calm: Dataset, killed: Dataset, store: Store, opening: Opening) -> None:
        self._calm, self._killed, self._store, self._opening = calm, killed, store, opening
        files = (adapters.__file__, inspect.getfile(opening[0]))
        self._files = tuple(str(Path(file).parent) for file in files)

    def play(self, chosen: random.Random, kills: int) -> None:
        """Publish calmly, count calmly, then kill so often."""
        before: list[Any] = []
        counted = Ended(killed=False)
        for number in range(kills + 2):
            part, frame = _rows(self._calm.config.mode, number)
            calm, killed = (self._stage(dataset, frame, part, number) for dataset in (self._calm, self._killed))
            if number == 1:
                counted = self._publish(calm, NEVER)
                assert counted.error is None, counted.error
            else:
                self._store.adapter.publish(calm)
            wanted = self._read(self._calm)
            if number > 1:
                at = _instant(counted, number - 2, kills, chosen)
                told = f"{self._killed.config.mode}, killed at {at} of {counted.instants}"
                ended = self._publish(killed, at)
                assert ended.error is None, f"{told}: {ended.error}"
                assert _as_text(self._read(self._killed)) in (_as_text(before), _as_text(wanted)), (
                    f"{told}: neither the old rows nor the new ones"
                )
            else:
                told = "not killed"
            self._store.adapter.publish(killed)
            self._store.adapter.publish(killed)
            assert self._read(self._killed) == wanted, f"{told}: not made right"
            assert self._store.held(self._killed, part) == Held(killed.state), told
            before = wanted

    def _stage(self, dataset: Dataset, frame: pl.DataFrame, part: Slice, number: int) -> Publication:
        return self._store.stage(dataset, frame, part, fingerprint=f"f{number}", run=f"run{number}")

    def _publish(self, publication: Publication, at: At) -> Ended:
        return in_child(partial(_publish, self._opening, publication), at=at, files=self._files)

    def _read(self, dataset: Dataset) -> list[Any]:
        frame = self._store.read(dataset)
        return sorted(frame.select(sorted(frame.columns)).rows(), key=repr)


def _publish(opening: Opening, publication: Publication, instants: Instants) -> None:
    adapter, options, root = opening
    opened = adapter(options, root)
    with instants.watching():
        opened.publish(publication)


def _as_text(rows: list[Any]) -> list[Any]:
    """Values without their types: those of a text file are remembered beside it, which is a moment later."""
    return sorted([list(map(str, row)) for row in rows])


def _instant(counted: Ended, number: int, kills: int, chosen: random.Random) -> At:
    """Each kill in its own stretch of all instants; the last by the clock, inside of native calls."""
    if number == kills - 1:
        return At(seconds=chosen.random() * counted.seconds)
    return At(instant=1 + int((number + chosen.random()) * counted.instants / (kills - 1)))


def _rows(mode: str, number: int) -> tuple[Slice, pl.DataFrame]:
    """The rows of one publish: every one of them carries its number, some have keys of the publish before."""
    key = f"2013-{1 + (number if mode == 'append' else 0):02}"
    frame = rows(key, *range(number, number + 20)).with_columns(value=pl.lit(number))
    if mode == "snapshot":
        frame = frame.with_columns(pl.col("day").dt.offset_by(f"{number}d"))
    return (WHOLE if mode in {"overwrite", "snapshot"} else month(key)), frame
