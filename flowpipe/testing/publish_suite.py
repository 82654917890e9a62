"""What a publish is, whatever its mode: atomic, once, remembered, and noticed when somebody else changes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowpipe.adapters import Dataset, Held, Missing
from flowpipe.partition import WHOLE
from flowpipe.testing.store import Store, StoreTests, month, rows, state


class PublishSuite(StoreTests):
    """States, visibility, versions, and types that come back."""

    def test_nothing_is_wrong_with_the_datasets_of_this_suite(self, store: Store) -> None:
        for mode in self.modes:
            dataset, _ = self.in_mode(mode)
            assert list(store.adapter.check(dataset, written=True)) == []
            assert list(store.adapter.check(dataset, written=False)) == []

    def test_before_the_first_publish_there_is_nothing(self, store: Store) -> None:
        dataset = self.dataset()
        assert store.held(dataset) == Held()
        assert store.adapter.schema(dataset) is None
        assert store.adapter.is_empty(dataset, WHOLE)
        with pytest.raises(Missing):
            store.adapter.pin(dataset, WHOLE)

    def test_every_mode_published_again_changes_nothing(self, store: Store) -> None:
        for mode in self.modes:
            dataset, part = self.in_mode(mode)
            dataset = dataclasses.replace(dataset, name=f"delays_{mode}", config=self._own(dataset.config, mode))
            publication = store.publish(dataset, rows("2013-01", 1, 2), part)
            pin = store.adapter.pin(dataset, WHOLE)
            store.adapter.publish(publication)
            store.adapter.publish(publication)
            assert store.ids(dataset) == [1, 2]
            assert store.adapter.pin(dataset, WHOLE) == pin
            assert store.held(dataset, part) == Held(publication.state)

    def test_staged_rows_are_invisible(self, store: Store) -> None:
        dataset = self.dataset()
        store.publish(dataset, rows("2013-01", 1))
        staged = store.stage(dataset, rows("2013-01", 2, 3), fingerprint="f2", run="run2")
        assert store.ids(dataset) == [1]
        assert store.held(dataset).state == state("delays", WHOLE, 1)
        store.adapter.publish(staged)
        assert store.ids(dataset) == [2, 3]

    def test_discarded_rows_leave_no_file_and_touch_no_published_one(self, store: Store) -> None:
        dataset = self.dataset()
        published = store.publish(dataset, rows("2013-01", 1))
        staged = store.stage(dataset, rows("2013-01", 2), fingerprint="f2", run="run2")
        store.adapter.discard(staged.staged)
        store.adapter.discard(published.staged)
        assert not [file.path for file in staged.staged.files if Path(file.path).exists()]
        assert store.ids(dataset) == [1]
        assert store.held(dataset) == Held(published.state)

    def test_reads_by_slice(self, store: Store) -> None:
        dataset = self.monthly("replace")
        for number, key in enumerate(("2012-12", "2013-01", "2013-02"), 1):
            store.publish(dataset, rows(key, number), month(key))
        assert store.ids(dataset, month("2013-01")) == [2]
        assert store.ids(dataset) == [1, 2, 3]
        assert store.read(dataset, month("2013-01")).schema == {"id": pl.Int64, "day": pl.Date}

    def test_one_window_published_leaves_the_version_of_another(self, store: Store) -> None:
        dataset = self.monthly("replace")
        for key in ("2013-01", "2013-02"):
            store.publish(dataset, rows(key, 1), month(key))
        january, whole = (store.adapter.pin(dataset, part) for part in (month("2013-01"), WHOLE))
        store.publish(dataset, rows("2013-02", 2, 3), month("2013-02"), fingerprint="f2", run="run2")
        assert january.version is not None
        assert store.adapter.pin(dataset, month("2013-01")).version == january.version
        assert store.adapter.pin(dataset, WHOLE).version != whole.version

    def test_a_removed_row_is_noticed(self, store: Store) -> None:
        dataset = self.dataset()
        store.publish(dataset, rows("2013-01", 1, 2))
        pin = store.adapter.pin(dataset, WHOLE)
        self.remove_a_row(store, dataset)
        assert store.held(dataset).changed == self.changed
        again = store.adapter.pin(dataset, WHOLE)
        assert again.version != pin.version
        assert again.token != pin.token
        repaired = store.publish(dataset, rows("2013-01", 1, 2), run="run2")
        assert store.held(dataset) == Held(repaired.state)

    def test_what_is_gone_is_noticed(self, store: Store) -> None:
        dataset = self.dataset()
        store.publish(dataset, rows("2013-01", 1, 2))
        self.drop(store, dataset)
        assert store.held(dataset) == self._held_when_gone()
        repaired = store.publish(dataset, rows("2013-01", 1, 2), run="run2")
        assert store.held(dataset) == Held(repaired.state)
        assert store.ids(dataset) == [1, 2]

    def test_types_come_back(self, store: Store) -> None:
        dataset = self.dataset()
        wanted: Mapping[str, pl.DataType] = store.adapter.storable(dataset, self.types.schema)
        store.publish(dataset, self.types)
        assert_frame_equal(store.read(dataset), self.types.cast(pl.Schema(wanted)))
        assert store.adapter.schema(dataset) == wanted

    def test_the_state_survives_a_new_name(self, store: Store) -> None:
        dataset = self.dataset()
        store.publish(dataset, rows("2013-01", 1))
        renamed = Dataset("late", dataset.config.model_copy(update={"was": "delays"}))
        assert store.held(renamed) == Held(state("delays", WHOLE, 1))
        again = store.publish(renamed, rows("2013-01", 2), fingerprint="f2", run="run2")
        assert store.held(renamed) == Held(again.state)
        assert store.ids(renamed) == [2]

    def test_a_lost_adapter_loses_nothing(self, store: Store) -> None:
        dataset = self.dataset()
        published = store.publish(dataset, rows("2013-01", 1))
        store.adapter.close()
        assert store.held(dataset) == Held(published.state)
        assert store.ids(dataset) == [1]
