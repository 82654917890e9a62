"""What every adapter must do, whatever its store: tests of an adapter subclass `AdapterSuite` and add their own.

A third party's adapter can run it too. Each subject is a suite of its own.
"""

from __future__ import annotations

from flowpipe.testing.mode_suite import ModeSuite
from flowpipe.testing.publish_suite import PublishSuite
from flowpipe.testing.store import MONTHLY, TYPES, Store, month, rows, staged_nothing, state

<<<<<<< HEAD
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowpipe.adapters import Adapter, Dataset, Held, Missing, Publication, Staged, State
from flowpipe.datasets import DatasetConfig
from flowpipe.partition import WHOLE, Slice, of_window, parse
from flowpipe.sinks import Sink, run_plans
from flowpipe.testing.kill_suite import KillSuite
from flowpipe.testing.type_suite import TypeSuite

MONTHLY: dict[str, Any] = {"partition": {"every": "month", "column": "day"}}
TYPES = pl.DataFrame(
    {
        "flag": [True, None],
        "small": pl.Series([1, None], dtype=pl.Int16),
        "whole": [2**62, None],
        "real": [1.5, None],
        "money": pl.Series([Decimal("12.34"), None], dtype=pl.Decimal(10, 2)),
        "text": ['O\'Hare "ü"', None],
        "day": [date(2013, 1, 2), None],
        "at": pl.Series([datetime(2013, 1, 2, 3, 4, 5, 6), None], dtype=pl.Datetime("us")),
        "instant": pl.Series([datetime(2013, 1, 2, 3), None], dtype=pl.Datetime("us")).dt.replace_time_zone("UTC"),
        "list": [[1, 2], None],
        "struct": [{"x": 1, "y": "a"}, None],
    }
)


def month(key: str) -> Slice:
    return of_window(parse(key, "month"))


def rows(key: str, *values: int) -> pl.DataFrame:
    """Rows of one month: `id` and the month's first day."""
    day = parse(key, "month").start.date()
    return pl.DataFrame({"id": values, "day": [day for _ in values]}, schema={"id": pl.Int64, "day": pl.Date})


def state(dataset: str, part: Slice, number: int, fingerprint: str = "f1", run: str = "run1") -> State:
    return State(dataset, part.key, fingerprint, {"params.a": "1"}, number, run, "2013-12-01T00:00:00+00:00")


@dataclasses.dataclass
class Store:
    """One adapter over a temporary folder, and the way rows take into it."""

    adapter: Adapter
    folder: Path

    def stage(
        self, dataset: Dataset, frame: pl.DataFrame, part: Slice = WHOLE, fingerprint: str = "f1", run: str = "run1"
    ) -> Publication:
        schema = self.adapter.storable(dataset, frame.schema)
        wanted = state(dataset.name, part, len(frame), fingerprint, run)
        place = self.adapter.place(
            dataset, part, run, self.folder / "scratch" / run, dataclasses.replace(wanted, rows=-1)
        )
        sink = Sink(schema, place)
        run_plans([sink.plan(frame.cast(pl.Schema(schema)).lazy())])
        return Publication(dataset, part, sink.staged(), wanted)

    def publish(self, dataset: Dataset, frame: pl.DataFrame, part: Slice = WHOLE, **named: str) -> Publication:
        publication = self.stage(dataset, frame, part, **named)
        self.adapter.publish(publication)
        return publication

    def read(self, dataset: Dataset, part: Slice = WHOLE) -> pl.DataFrame:
        return self.adapter.read(dataset, part, self.adapter.pin(dataset, part), self.folder / "spool").collect()

    def ids(self, dataset: Dataset, part: Slice = WHOLE) -> list[int]:
        return sorted(self.read(dataset, part)["id"].to_list())

    def held(self, dataset: Dataset, part: Slice = WHOLE) -> Held:
        return self.adapter.held(dataset, [part])[part.key]


class AdapterSuite(KillSuite, TypeSuite):
    """Subclass it, give `store`, `dataset` and `harm`, and say what the store cannot do."""

    modes: tuple[str, ...] = ("overwrite", "replace", "append", "merge")
    types: pl.DataFrame = TYPES
    changed = "somebody changed it"
    gone = "it is gone"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        raise NotImplementedError

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        """A dataset of the store; `partition` in `config` asks for one file or condition per window."""
        raise NotImplementedError

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        """Take one row out of what was published whole, as somebody else would."""
        raise NotImplementedError

    def drop(self, store: Store, dataset: Dataset) -> None:
        """Remove what was published whole, as somebody else would."""
        raise NotImplementedError

    def monthly(self, mode: str) -> Dataset:
        return self.dataset(mode=mode, key=["id"] if mode == "merge" else [], **MONTHLY)

    def in_mode(self, mode: str) -> tuple[Dataset, Slice]:
        return (self.dataset(), WHOLE) if mode == "overwrite" else (self.monthly(mode), month("2013-01"))

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

    def test_overwrite_leaves_only_the_new_rows(self, store: Store) -> None:
        dataset = self.dataset()
        store.publish(dataset, rows("2013-01", 1, 2))
        again = store.publish(dataset, rows("2013-01", 3), fingerprint="f2", run="run2")
        assert store.ids(dataset) == [3]
        assert store.held(dataset) == Held(again.state)

    def test_no_rows_can_be_published(self, store: Store) -> None:
        dataset = self.dataset()
        store.publish(dataset, rows("2013-01"))
        assert store.adapter.is_empty(dataset, WHOLE)
        assert store.read(dataset).columns == ["id", "day"]
        store.publish(dataset, rows("2013-01", 1), fingerprint="f2", run="run2")
        assert not store.adapter.is_empty(dataset, WHOLE)

    def test_replace_touches_only_its_window(self, store: Store) -> None:
        dataset = self.monthly("replace")
        store.publish(dataset, rows("2013-01", 1, 2), month("2013-01"))
        february = store.publish(dataset, rows("2013-02", 3), month("2013-02"))
        again = store.publish(dataset, rows("2013-01", 4), month("2013-01"), fingerprint="f2", run="run2")
        assert store.ids(dataset) == [3, 4]
        assert store.adapter.held(dataset, [month("2013-01"), month("2013-02"), month("2013-03")]) == {
            "2013-01": Held(again.state),
            "2013-02": Held(february.state),
            "2013-03": Held(),
        }

    def test_append_keeps_what_is_there(self, store: Store) -> None:
        dataset = self.monthly("append")
        for number, key in enumerate(("2013-01", "2013-02"), 1):
            store.publish(dataset, rows(key, number), month(key))
        assert store.ids(dataset) == [1, 2]

    def test_merge_updates_and_inserts_by_key(self, store: Store) -> None:
        if "merge" not in self.modes:
            assert list(store.adapter.check(self.monthly("merge"), written=True)) != []
            return
        dataset = self.monthly("merge")
        store.publish(dataset, rows("2013-01", 1, 2), month("2013-01"))
        store.publish(dataset, rows("2013-02", 2, 3), month("2013-02"))
        assert store.read(dataset).sort("id")["day"].dt.month().to_list() == [1, 2, 2]

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

    def _held_when_gone(self) -> Held:
        return Held(state("delays", WHOLE, 2), self.gone)

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        """The same configuration at another place, for tests of several datasets."""
        raise NotImplementedError


def staged_nothing(dataset: Dataset, part: Slice, schema: Mapping[str, pl.DataType]) -> Publication:
    """A publication whose pass wrote no file at all."""
    return Publication(dataset, part, Staged((), schema), state(dataset.name, part, 0))
=======
__all__ = ["MONTHLY", "TYPES", "AdapterSuite", "Store", "month", "rows", "staged_nothing", "state"]


class AdapterSuite(PublishSuite, ModeSuite):
    """Subclass it, give `store`, `dataset` and what does harm, and say what the store cannot do (see `StoreTests`)."""
>>>>>>> pg
