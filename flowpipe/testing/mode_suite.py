"""What each mode and each change of columns makes of a table; a store that cannot do one says so when it is checked."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from flowpipe.adapters import Dataset, Held
from flowpipe.errors import DataError
from flowpipe.partition import WHOLE
from flowpipe.testing.store import MONTHLY, Store, StoreTests, month, rows

MERGED = {"k": pl.String, "v": pl.Int64, "at": pl.Int64, "op": pl.String}
SEEN = {"k": pl.String, "city": pl.String, "note": pl.String, "day": pl.Date}


def merged(*values: tuple[Any, ...]) -> pl.DataFrame:
    """Rows with a key, a value, an age and a mark."""
    return pl.DataFrame(list(values), MERGED, orient="row")


def seen(*values: tuple[str, str | None, str, int]) -> pl.DataFrame:
    """Observations with the day of January 2013 on which they were made."""
    return pl.DataFrame([(*row[:3], date(2013, 1, row[3])) for row in values], SEEN, orient="row")


def at(day: int) -> datetime:
    return datetime(2013, 1, day, tzinfo=UTC)


class ModeSuite(StoreTests):
    """Overwrite, replace, append, merge, snapshot, and columns that come, grow and go."""

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

    def test_merge_never_lets_an_older_row_win(self, store: Store) -> None:
        dataset = self.dataset(mode="merge", key=["k"], order_by="at")
        if self.refused(store, dataset, "mode"):
            return
        store.publish(dataset, merged(("a", 1, 5, ""), ("b", 1, 5, ""), ("c", 1, None, ""), ("d", 1, 5, "")))
        new = merged(("a", 2, 6, ""), ("b", 2, 4, ""), ("c", 2, 1, ""), ("d", 2, None, ""), ("e", 2, None, ""))
        store.publish(dataset, new, fingerprint="f2", run="run2")
        assert self.told(store, dataset, "k", "v") == [("a", 2), ("b", 1), ("c", 2), ("d", 1), ("e", 2)]

    def test_merge_deletes_the_keys_of_marked_rows(self, store: Store) -> None:
        dataset = self.dataset(mode="merge", key=["k"], order_by="at", delete_when="op = it's")
        if self.refused(store, dataset, "mode"):
            return
        store.publish(dataset, merged(("a", 1, 5, ""), ("b", 1, 5, None), ("c", 1, 5, ""), ("d", 1, 1, "it's")))
        assert self.told(store, dataset, "k") == [("a",), ("b",), ("c",)]
        new = merged(("a", 2, 4, "it's"), ("b", 2, 5, "it's"), ("c", 2, 6, None), ("e", 2, 1, "it's"))
        store.publish(dataset, new, fingerprint="f2", run="run2")
        assert self.told(store, dataset, "k", "v") == [("a", 1), ("c", 2)]

    def test_merge_deletes_the_keys_that_are_missing(self, store: Store) -> None:
        dataset = self.dataset(mode="merge", key=["id"], missing="delete", max_deleted=2)
        if self.refused(store, dataset, "mode"):
            return
        first = store.publish(dataset, rows("2013-01", 1, 2, 3, 4, 5))
        with pytest.raises(DataError, match="5 rows have a key that is not in the new rows and would be deleted"):
            store.publish(dataset, rows("2013-01", 1, 9), fingerprint="f2", run="run2")
        assert store.ids(dataset) == [1, 2, 3, 4, 5]
        assert store.held(dataset) == Held(first.state)
        store.publish(dataset, rows("2013-01", 1, 2, 3, 9), fingerprint="f3", run="run3")
        assert store.ids(dataset) == [1, 2, 3, 9]

    def test_merge_deletes_only_in_its_window(self, store: Store) -> None:
        dataset = self.dataset(mode="merge", key=["id"], missing="delete", max_deleted="50%", **MONTHLY)
        if self.refused(store, dataset, "mode"):
            return
        store.publish(dataset, rows("2013-01", 1, 2), month("2013-01"))
        store.publish(dataset, rows("2013-02", 3, 4), month("2013-02"))
        store.publish(dataset, rows("2013-02", 4, 5), month("2013-02"), fingerprint="f2", run="run2")
        assert store.ids(dataset) == [1, 2, 4, 5]
        with pytest.raises(DataError, match="2 of 2 rows have a key that is not in the new rows"):
            store.publish(dataset, rows("2013-01", 6), month("2013-01"), fingerprint="f2", run="run2")
        assert store.ids(dataset) == [1, 2, 4, 5]

    def test_snapshot_begins_a_version_with_a_change(self, store: Store) -> None:
        dataset = self.dataset(mode="snapshot", key=["k"], track=["city"], effective="day")
        if self.refused(store, dataset, "mode"):
            return
        store.publish(dataset, seen(("a", "x", "1", 1), ("b", None, "1", 1)))
        last = store.publish(
            dataset, seen(("a", "x", "2", 3), ("b", "y", "2", 3), ("c", "z", "2", 3)), fingerprint="f2", run="run2"
        )
        wanted = [
            ("a", "x", "1", date(2013, 1, 1), None, True),
            ("b", None, "1", date(2013, 1, 1), date(2013, 1, 3), False),
            ("b", "y", "2", date(2013, 1, 3), None, True),
            ("c", "z", "2", date(2013, 1, 3), None, True),
        ]
        assert self.versions(store, dataset, "k", "city", "note") == wanted
        store.adapter.publish(last)
        assert store.held(dataset) == Held(last.state)
        again = seen(("a", "x", "2", 3), ("b", "y", "2", 3), ("c", "z", "2", 3))
        store.publish(dataset, again, fingerprint="f3", run="run3")
        assert self.versions(store, dataset, "k", "city", "note") == wanted

    def test_snapshot_puts_late_and_corrected_rows_where_they_belong(self, store: Store) -> None:
        dataset = self.dataset(mode="snapshot", key=["k"], track=["city"], effective="day")
        if self.refused(store, dataset, "mode"):
            return
        days = {5: "c", 1: "a", 3: "b", 4: "b", 6: "c", 2: "a"}
        for day, city in days.items():
            store.publish(dataset, seen(("k", city, "", day)), run=f"run{day}")
        january = [date(2013, 1, day) for day in range(1, 6)]
        assert self.versions(store, dataset, "city") == [
            ("a", january[0], january[2], False),
            ("b", january[2], january[4], False),
            ("c", january[4], None, True),
        ]
        store.publish(dataset, seen(("k", "c", "", 3)), run="run7")
        assert self.versions(store, dataset, "city") == [
            ("a", january[0], january[2], False),
            ("c", january[2], None, True),
        ]
        store.publish(dataset, seen(("k", "d", "", 1), ("k", "c", "", 2)), run="run8")
        assert self.versions(store, dataset, "city") == [
            ("d", january[0], january[1], False),
            ("c", january[1], None, True),
        ]

    def test_snapshot_closes_the_keys_that_are_missing(self, store: Store) -> None:
        dataset = self.dataset(mode="snapshot", key=["k"], track=["city"], missing="close", max_deleted="50%")
        if self.refused(store, dataset, "mode"):
            return
        for day, keys in ((1, "abc"), (3, "bc"), (5, "abc")):
            frame = seen(*((key, "x", "", day) for key in keys))
            store.publish(dataset, frame, run=f"run{day}", published_at=at(day).isoformat())
        wanted = [
            ("a", at(1), at(3), False),
            ("a", at(5), None, True),
            ("b", at(1), None, True),
            ("c", at(1), None, True),
        ]
        assert self.versions(store, dataset, "k") == wanted
        with pytest.raises(DataError, match="2 of 3 rows have a key that is not in the new rows and would be closed"):
            store.publish(dataset, seen(("a", "x", "", 7)), run="run7", published_at=at(7).isoformat())
        assert self.versions(store, dataset, "k") == wanted

    def test_snapshot_keeps_gaps(self, store: Store) -> None:
        dataset = self.dataset(mode="snapshot", key=["k"], track=["city"], missing="close", max_deleted=9)
        if self.refused(store, dataset, "mode"):
            return

        def observe(day: int, *cities: tuple[str, str], missing: str = "close") -> None:
            config = dataset.config.model_copy(update={"missing": missing})
            frame = seen(*((key, city, "", day) for key, city in cities))
            name = f"run{len(store.read(dataset)) if day > 1 else 0}-{day}-{missing}-{len(cities)}"
            store.publish(Dataset(dataset.name, config), frame, run=name, published_at=at(day).isoformat())

        observe(1, ("a", "x"), ("b", "x"), ("c", "x"))
        observe(5, ("a", "x"))
        observe(3, ("b", "y"), missing="keep")
        assert self.versions(store, dataset, "k", "city")[1:3] == [
            ("b", "x", at(1), at(3), False), ("b", "y", at(3), at(5), False),
        ]  # fmt: skip
        observe(5, ("c", "x"), missing="keep")
        assert self.versions(store, dataset, "k", "city")[3:] == [("c", "x", at(1), None, True)]
        observe(4, ("b", "y"))  # an older run closes what it could know of, and nothing newer
        assert self.versions(store, dataset, "k", "city") == [
            ("a", "x", at(1), at(4), False), ("b", "x", at(1), at(3), False), ("b", "y", at(3), at(5), False),
            ("c", "x", at(1), at(4), False),
        ]  # fmt: skip

    def test_columns_are_added(self, store: Store) -> None:
        for mode in ("append", "replace", "merge"):
            if mode not in self.modes:
                continue
            base = self.monthly(mode)
            config = self._own(base.config, mode).model_copy(update={"schema_change": "add"})
            dataset = Dataset(f"delays_{mode}", config)
            if self.refused(store, dataset, "schema_change"):
                continue
            store.publish(dataset, rows("2013-01", 1), month("2013-01"))
            store.publish(dataset, rows("2013-02", 2).with_columns(late=True), month("2013-02"))
            store.publish(dataset, rows("2013-03", 3), month("2013-03"))
            assert self.told(store, dataset, "id", "late") == [(1, None), (2, True), (3, None)]

    def test_merged_rows_keep_what_later_rows_lack(self, store: Store) -> None:
        dataset = self.dataset(mode="merge", key=["id"], schema_change="add")
        if self.refused(store, dataset, "mode"):
            return
        store.publish(dataset, rows("2013-01", 1, 2).with_columns(note=pl.lit("kept")))
        later = rows("2013-02", 2, 3)
        store.publish(dataset, later, fingerprint="f2", run="run2")
        assert self.told(store, dataset, "id", "note", "day") == [
            (1, "kept", date(2013, 1, 1)), (2, "kept", date(2013, 2, 1)), (3, None, date(2013, 2, 1)),
        ]  # fmt: skip

    def test_versions_keep_what_later_rows_lack(self, store: Store) -> None:
        dataset = self.dataset(mode="snapshot", key=["k"], track=["city"], effective="day", schema_change="add")
        if self.refused(store, dataset, "mode"):
            return
        store.publish(dataset, seen(("a", "x", "1", 1), ("a", "y", "2", 5)))
        few = seen(("a", "z", "", 3), ("a", "w", "", 5)).drop("note").with_columns(zip=pl.lit(7))
        store.publish(dataset, few, fingerprint="f2", run="run2")
        assert [row[:3] for row in self.versions(store, dataset, "city", "note", "zip")] == [
            ("x", "1", None), ("z", None, 7), ("w", "2", 7),
        ]  # fmt: skip

    def test_numbers_grow(self, store: Store) -> None:
        narrow, wide = pl.Int32(), pl.Int64()
        if not store.adapter.widens(narrow, wide):
            return
        assert not store.adapter.widens(wide, narrow)
        assert not store.adapter.widens(wide, pl.String())
        dataset = self.dataset(mode="append", schema_change="add", **MONTHLY)
        store.publish(dataset, rows("2013-01", 1).cast({"id": narrow}), month("2013-01"))
        store.publish(dataset, rows("2013-02", 2**40), month("2013-02"))
        assert store.ids(dataset) == [1, 2**40]
        assert (store.adapter.schema(dataset) or {})["id"] == wide

    def test_overwrite_may_replace_the_columns(self, store: Store) -> None:
        dataset = self.dataset(schema_change="replace")
        if self.refused(store, dataset, "schema_change"):
            return
        store.publish(dataset, rows("2013-01", 1, 2))
        other = rows("2013-01", 3).select("day", pl.lit("x").alias("name"), "id")
        again = store.publish(dataset, other, fingerprint="f2", run="run2")
        store.adapter.publish(again)
        assert self.told(store, dataset, "id", "name") == [(3, "x")]
        assert store.held(dataset) == Held(again.state)
        store.publish(dataset, rows("2013-01", 4), fingerprint="f3", run="run3")
        assert set(store.read(dataset).columns) == {"id", "day"}
        assert store.ids(dataset) == [4]

    def refused(self, store: Store, dataset: Dataset, key: str) -> bool:
        """Whether this store cannot do it; then its check says why, and what else to do."""
        problems = list(store.adapter.check(dataset, written=True))
        can = dataset.config.mode in self.modes and (
            key != "schema_change" or dataset.config.schema_change in self.schema_changes
        )
        if can:
            assert problems == []
            return False
        assert (key,) in [path for path, _, _ in problems]
        assert all(message and hint for _, message, hint in problems)
        return True

    def told(self, store: Store, dataset: Dataset, *columns: str) -> list[tuple[Any, ...]]:
        """All rows of a dataset, sorted by their first column."""
        return store.read(dataset, WHOLE).select(columns).sort(columns[0]).rows()

    def versions(self, store: Store, dataset: Dataset, *columns: str) -> list[tuple[Any, ...]]:
        """All versions in order: these columns, `valid_from`, `valid_to`, `is_current`."""
        found = store.read(dataset, WHOLE).sort("k", "valid_from")
        return found.select(*columns, "valid_from", "valid_to", "is_current").rows()
