"""Merges and snapshots into Delta tables: by hand, and any sequence of them against plain Python."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from delta_lake import Lake, everyone_reads, month
from hypothesis import given, settings
from hypothesis import strategies as st
from test_changes import CHANGE, RUN, TYPES, Row, at, expected_rows, expected_versions, plain, seen

from flowpipe.adapters import Held
from flowpipe.adapters.delta import history
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError
from flowpipe.partition import WHOLE, Slice

MERGE = {"mode": "merge", "key": ["id"]}
SNAPSHOT = {"mode": "snapshot", "key": ["id"]}
CLOSING = SNAPSHOT | {"missing": "close", "max_deleted": 100}
TIMES = ("valid_from", "valid_to", "is_current")
CITIES = ["id", "city", *TIMES]


class Table:
    """A dataset to which lists of rows are published, each by a run of its own."""

    def __init__(self, root: Path, columns: Sequence[str]) -> None:
        self.root, self.columns, self.count = root, list(columns), 0

    def publish(
        self, config: dict[str, Any], rows: Sequence[Row], *, run: int = 0, part: Slice = WHOLE,
        columns: Sequence[str] | None = None,
    ) -> Held:  # fmt: skip
        lake, schema = Lake(self.root, config), {name: TYPES[name][0] for name in columns or self.columns}
        self.count += 1
        frame = pl.DataFrame(rows, schema, orient="row")
        publication = lake.stage(frame, part, fingerprint=f"f{self.count}", run=f"r{self.count}")
        state = replace(publication.state, published_at=at(run).isoformat())
        lake.store.publish(replace(publication, state=state))
        assert lake.held(part) == Held(state)
        return lake.held(part)

    def rows(self, *names: str) -> list[Row]:
        found = everyone_reads(self.root / "lake" / "flights", "id").select(names or self.columns)
        return sorted((tuple(map(plain, row)) for row in found.rows()), key=repr)


def test_merge_by_age_and_mark(tmp_path: Path) -> None:
    table = Table(tmp_path, ["id", "city", "age", "op"])
    config = MERGE | {"order_by": "age", "delete_when": "op = it's"}
    table.publish(
        config, [(1, "a", 5, "u"), (2, "b", 5, None), (3, "c", None, "u"), (4, "d", 5, "u"), (5, "e", 1, "it's")]
    )
    assert table.rows("id") == [(1,), (2,), (3,), (4,)]
    new = [(1, "A", 4, "it's"), (2, "B", 5, "it's"), (3, "C", 0, None), (4, "D", None, "u"), (6, "F", None, "it'")]
    for _ in range(2):
        table.publish(config, new)
        assert table.rows("id", "city") == [(1, "a"), (3, "C"), (4, "d"), (6, "F")]


def test_a_mark_may_be_of_any_type(tmp_path: Path) -> None:
    table = Table(tmp_path, ["id", "age", "is_current"])
    table.publish(MERGE, [(1, 1, True), (2, 2, True), (3, 3, False)])
    table.publish(MERGE | {"delete_when": "is_current = false"}, [(1, 1, False), (2, 2, None), (3, 9, True)])
    assert table.rows("id", "age") == [(2, 2), (3, 9)]
    table.publish(MERGE | {"delete_when": "age = 9"}, [(3, 9, True)])
    assert table.rows("id") == [(2,)]


def test_merge_deletes_what_is_missing_within_its_bound(tmp_path: Path) -> None:
    table = Table(tmp_path, ["id", "day"])
    january, february = date(2013, 1, 1), date(2013, 2, 1)
    table.publish(MERGE, [(number, january) for number in range(4)] + [(9, february)])
    config = MERGE | {"missing": "delete", "max_deleted": "50%"}
    monthly, part = config | {"partition": {"every": "month", "column": "day"}}, month("2013-01")
    version = Lake(tmp_path).table.version()
    with pytest.raises(DataError) as caught:
        table.publish(monthly, [(0, january)], part=part)
    assert str(caught.value) == (
        "dataset flights: 3 of 4 rows have a key that is not in the new rows and would be deleted, "
        "more than max_deleted: 50%\n  hint: nothing was published; look at the input, or raise `max_deleted`"
    )
    assert Lake(tmp_path).table.version() == version
    table.publish(monthly, [(0, january), (1, january), (7, january)], part=part)
    assert table.rows("id") == [(0,), (1,), (7,), (9,)]
    table.publish(config, [(0, january), (9, january)])
    assert table.rows("id") == [(0,), (9,)]


def test_late_repeated_and_corrected_observations(tmp_path: Path) -> None:
    table = Table(tmp_path, CITIES)
    for day, city in ((5, "c"), (1, "a"), (3, "b"), (4, "b"), (6, "c"), (2, "a")):
        table.publish(SNAPSHOT, seen(day, (1, city)))
    assert table.rows() == [
        (1, "a", at(1), at(3), False), (1, "b", at(3), at(5), False), (1, "c", at(5), None, True),
    ]  # fmt: skip
    table.publish(SNAPSHOT, seen(3, (1, "c")))
    assert table.rows() == [(1, "a", at(1), at(3), False), (1, "c", at(3), None, True)]


def test_a_snapshot_writes_only_what_changed(tmp_path: Path) -> None:
    table, lake = Table(tmp_path, CITIES), Lake(tmp_path, SNAPSHOT)
    table.publish(SNAPSHOT, seen(1, (1, "a"), (2, "b")))
    files = lake.table.file_uris()
    table.publish(SNAPSHOT, seen(2, (1, "a"), (2, "b")))
    assert lake.table.file_uris() == files
    assert not [name for name in lake.data_files() if "r2" in name]


def test_too_many_closed_are_refused(tmp_path: Path) -> None:
    table = Table(tmp_path, CITIES)
    config = CLOSING | {"max_deleted": 1}
    table.publish(config, seen(1, (1, "a"), (2, "b"), (3, "c")), run=1)
    table.publish(config, seen(2, (1, "a"), (2, "b")), run=2)
    with pytest.raises(DataError, match="2 of 2 rows have a key that is not in the new rows and would be closed"):
        table.publish(config, [], run=3)
    assert table.rows("id", "is_current") == [(1, True), (2, True), (3, False)]


def test_columns_that_new_rows_lack_stay_in_their_versions(tmp_path: Path) -> None:
    table = Table(tmp_path, ["id", "city", "note", *TIMES])
    add = SNAPSHOT | {"schema_change": "add"}
    table.publish(add, seen(1, (1, "a", "x")) + seen(3, (1, "a", "y")) + seen(5, (1, "b", "z")))
    table.publish(add, seen(2, (1, "c")) + seen(5, (1, "d")), columns=CITIES)
    assert table.rows() == [
        (1, "a", "x", at(1), at(2), False), (1, "a", "y", at(3), at(5), False), (1, "c", None, at(2), at(3), False),
        (1, "d", "z", at(5), None, True),
    ]  # fmt: skip


def test_columns_are_added_to_a_dimension(tmp_path: Path) -> None:
    table = Table(tmp_path, ["id", "city", "note", *TIMES])
    table.publish(SNAPSHOT, seen(1, (1, "a")), columns=CITIES)
    table.publish(SNAPSHOT | {"schema_change": "add"}, seen(2, (1, "a", "x")))
    assert table.rows() == [(1, "a", "x", at(2), None, True), (1, "a", None, at(1), at(2), False)]


def test_versions_stay_when_less_is_tracked(tmp_path: Path) -> None:
    table = Table(tmp_path, ["id", "city", "note", *TIMES])
    table.publish(SNAPSHOT, seen(1, (1, "a", "x")) + seen(3, (1, "a", "y")))
    table.publish(SNAPSHOT | {"track": ["city"]}, seen(5, (1, "b", "z")))
    assert table.rows() == [
        (1, "a", "x", at(1), at(3), False), (1, "a", "y", at(3), at(5), False), (1, "b", "z", at(5), None, True),
    ]  # fmt: skip


def test_a_dimension_is_published_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path, SNAPSHOT)
    publication = lake.stage(pl.DataFrame(seen(1, (1, "a")), {n: TYPES[n][0] for n in CITIES}, orient="row"))
    lake.store.publish(publication)
    version = lake.table.version()
    lake.store.publish(publication)
    assert lake.table.version() == version
    assert lake.held() == Held(publication.state)


def applied(there: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """What a merge on key and `valid_from` makes of a table."""
    kept = there.join(changed, on=["id", "valid_from"], how="anti")
    return pl.concat([kept, changed.filter(history.STAYS).select(there.columns)])


@settings(max_examples=300, deadline=None)
@given(runs=st.lists(RUN, min_size=1, max_size=5))
def test_any_runs_of_a_dimension(runs: list[tuple[list[Row], int, bool]]) -> None:
    names = ["id", "city", "note", *TIMES]
    there = pl.DataFrame(schema={name: TYPES[name][0] for name in names})
    for number, (rows, day, closes) in enumerate(runs, 1):
        observed = pl.DataFrame(
            [(key, *values, at(moment), None, True) for key, moment, *values in rows], there.schema, orient="row"
        )
        config = DatasetConfig(store="s", table="t", track=["city"], **(CLOSING if closes else SNAPSHOT))
        for _ in range(2):
            changed = history.changes(there.lazy(), observed.lazy(), config, at(day)).collect()
            there = applied(there, changed)
            found = sorted((tuple(map(plain, row)) for row in there.rows()), key=repr)
            assert found == expected_versions(runs[:number])


@settings(max_examples=15, deadline=None)
@given(runs=st.lists(RUN, min_size=1, max_size=4))
def test_any_runs_of_a_dimension_in_a_table(runs: list[tuple[list[Row], int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder), ["id", "city", "note", *TIMES])
        for number, (rows, day, closes) in enumerate(runs, 1):
            config = {**(CLOSING if closes else SNAPSHOT), "track": ["city"]}
            table.publish(
                config, [(key, *values, at(moment), None, True) for key, moment, *values in rows], run=day
            )  # fmt: skip
            assert table.rows() == expected_versions(runs[:number])


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(st.lists(CHANGE, max_size=4, unique_by=lambda row: row[0]), min_size=1, max_size=4),
    aged=st.booleans(), marked=st.booleans(), missing=st.booleans(),
)  # fmt: skip
def test_any_batches_merged(batches: list[list[Row]], *, aged: bool, marked: bool, missing: bool) -> None:
    config: dict[str, Any] = dict(MERGE)
    config |= {"order_by": "age"} if aged else {}
    config |= {"delete_when": "op = d"} if marked else {}
    config |= {"missing": "delete", "max_deleted": "100%"} if missing else {}
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder), ["id", "city", "age", "op"])
        for number, batch in enumerate(batches, 1):
            table.publish(config, batch)
            assert table.rows() == expected_rows(batches[:number], aged=aged, marked=marked, missing=missing)
