"""Staged rows become a table's rows: on a real DuckDB, a real PostgreSQL, and against plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowpipe.adapters import Dataset, Publication, Staged, State, changes, sql, versions
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError
from flowpipe.partition import WHOLE, Slice, of_window, parse
from flowpipe.testing import servers

Row = tuple[Any, ...]
Execute = Callable[[str, Sequence[Any]], list[Row]]
TYPES: dict[str, tuple[pl.DataType, str]] = {
    "id": (pl.Int64(), "BIGINT"),
    "city": (pl.String(), "VARCHAR"),
    "note": (pl.String(), "VARCHAR"),
    "age": (pl.Int64(), "BIGINT"),
    "op": (pl.String(), "VARCHAR"),
    "day": (pl.Date(), "DATE"),
    "valid_from": (pl.Datetime("us", "UTC"), "TIMESTAMP WITH TIME ZONE"),
    "valid_to": (pl.Datetime("us", "UTC"), "TIMESTAMP WITH TIME ZONE"),
    "is_current": (pl.Boolean(), "BOOLEAN"),
}
TIMES = ("valid_from", "valid_to", "is_current")
EPOCH = datetime(2013, 1, 1, tzinfo=UTC)


def at(day: int) -> datetime:
    return EPOCH + timedelta(days=day)


class Table:
    """One table of a real database, changed the way that an adapter changes it."""

    def __init__(self, execute: Execute, columns: Sequence[str], made: Sequence[str] | None = None) -> None:
        self.execute, self.columns = execute, list(columns)
        # Each store's own way to merge.
        self.in_place = execute("SELECT version()", [])[0][0].startswith("PostgreSQL")
        kinds = {name: TYPES[name][1] for name in columns}
        self.kinds = kinds
        for name in ("held", "staged"):
            execute(f"DROP TABLE IF EXISTS {name}", [])
        execute(sql.create_table("held", kinds), [])

    def publish(
        self, config: Mapping[str, Any], rows: Sequence[Row], *, run: int = 0, part: Slice = WHOLE,
        columns: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        names = list(columns or self.columns)
        self.execute("DROP TABLE IF EXISTS staged", [])
        self.execute(sql.create_table("staged", {name: self.kinds[name] for name in names}), [])
        for row in rows:
            self.execute(f"INSERT INTO staged VALUES ({', '.join(f'${n}' for n, _ in enumerate(row, 1))})", row)
        publication = published(config, names, run, part)
        bound = changes.taken(publication, "held", self.kinds, "staged")
        if bound:
            gone, of = (self.execute(query, [])[0][0] for query in bound)
            versions.refuse_too_many(publication.dataset.config, "held", gone, of)
        for statement in changes.statements(publication, "held", self.kinds, "staged", in_place=self.in_place):
            self.execute(statement, [])

    def rows(self, *names: str) -> list[Row]:
        found = self.execute(f"SELECT {', '.join(names or self.columns)} FROM held", [])
        return sorted((tuple(map(plain, row)) for row in found), key=repr)


def plain(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def published(config: Mapping[str, Any], names: Sequence[str], run: int = 0, part: Slice = WHOLE) -> Publication:
    dataset = Dataset("held", DatasetConfig(store="s", table="held", **config))
    staged = Staged((), {name: TYPES[name][0] for name in names})
    return Publication(dataset, part, staged, State("held", part.key, "f", {}, 0, f"run{run}", at(run).isoformat()))


@pytest.fixture(scope="module")
def postgres(postgres_server: servers.PostgresServer) -> Iterator[Execute]:
    with psycopg.connect(postgres_server.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:

        def execute(statement: str, values: Sequence[Any]) -> list[Row]:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

        connection.execute(b"CREATE SCHEMA changes")
        connection.execute(b"SET search_path TO changes")
        yield execute
        connection.execute(b"DROP SCHEMA changes CASCADE")


@pytest.fixture(scope="module")
def duck() -> Iterator[Execute]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield in_duckdb(connection)


def in_duckdb(connection: duckdb.DuckDBPyConnection) -> Execute:
    def execute(statement: str, values: Sequence[Any]) -> list[Row]:
        return connection.execute(statement, list(values)).fetchall()

    return execute


@pytest.fixture(params=["duck", "postgres"])
def execute(request: pytest.FixtureRequest) -> Execute:
    found: Execute = request.getfixturevalue(request.param)
    return found


MERGE = {"mode": "merge", "key": ["id"]}
SNAPSHOT = {"mode": "snapshot", "key": ["id"]}
CLOSING = SNAPSHOT | {"missing": "close", "max_deleted": 100}
JANUARY = of_window(parse("2013-01", "month"))


def seen(day: int, *rows: Row) -> list[Row]:
    """Observations of one moment."""
    return [(*row, at(day), None, True) for row in rows]


def test_overwrite_append_and_replace(execute: Execute) -> None:
    table = Table(execute, ["id", "day"])
    table.publish({}, [(1, date(2013, 1, 1)), (2, date(2013, 2, 1))])
    table.publish({}, [(3, date(2013, 1, 1)), (4, date(2013, 2, 1))])
    table.publish({"mode": "append"}, [(4, date(2013, 2, 1))])
    monthly = {"mode": "replace", "partition": {"every": "month", "column": "day"}}
    table.publish(monthly, [(5, date(2013, 1, 31))], part=JANUARY)
    assert table.rows("id") == [(4,), (4,), (5,)]


def test_merge_by_age_and_mark(execute: Execute) -> None:
    table = Table(execute, ["id", "city", "age", "op"])
    config = MERGE | {"order_by": "age", "delete_when": "op = it's"}
    table.publish(
        config, [(1, "a", 5, "u"), (2, "b", 5, None), (3, "c", None, "u"), (4, "d", 5, "u"), (5, "e", 1, "it's")]
    )
    assert table.rows("id") == [(1,), (2,), (3,), (4,)]
    new = [(1, "A", 4, "it's"), (2, "B", 5, "it's"), (3, "C", 0, None), (4, "D", None, "u"), (6, "F", None, "it'")]
    table.publish(config, new)
    assert table.rows("id", "city") == [(1, "a"), (3, "C"), (4, "d"), (6, "F")]
    table.publish(config, new)
    assert table.rows("id", "city") == [(1, "a"), (3, "C"), (4, "d"), (6, "F")]


def test_a_mark_may_be_of_any_type(execute: Execute) -> None:
    table = Table(execute, ["id", "age", "is_current"])
    table.publish(MERGE, [(1, 1, True), (2, 2, True), (3, 3, False)])
    table.publish(MERGE | {"delete_when": "is_current = false"}, [(1, 1, False), (2, 2, None), (3, 9, True)])
    assert table.rows("id", "age") == [(2, 2), (3, 9)]
    table.publish(MERGE | {"delete_when": "age = 9"}, [(3, 9, True)])
    assert table.rows("id") == [(2,)]


def test_merge_deletes_what_is_missing_within_its_bound(execute: Execute) -> None:
    table = Table(execute, ["id", "day"])
    january, february = date(2013, 1, 1), date(2013, 2, 1)
    table.publish(MERGE, [(number, january) for number in range(4)] + [(9, february)])
    config = MERGE | {"missing": "delete", "max_deleted": "50%"}
    monthly = config | {"partition": {"every": "month", "column": "day"}}
    with pytest.raises(DataError) as caught:
        table.publish(monthly, [(0, january)], part=JANUARY)
    assert str(caught.value) == (
        "dataset held: 3 of 4 rows have a key that is not in the new rows and would be deleted, "
        "more than max_deleted: 50%\n  hint: nothing was published; look at the input, or raise `max_deleted`"
    )
    table.publish(monthly, [(0, january), (1, january), (7, january)], part=JANUARY)
    assert table.rows("id") == [(0,), (1,), (7,), (9,)]
    table.publish(config, [(0, january), (9, january)])
    assert table.rows("id") == [(0,), (9,)]


def test_a_version_begins_with_a_change(execute: Execute) -> None:
    table = Table(execute, ["id", "city", "note", *TIMES])
    config = SNAPSHOT | {"track": ["city"]}
    table.publish(config, seen(1, (1, "a", "x"), (2, None, "x")))
    table.publish(config, seen(3, (1, "a", "y"), (2, "b", "y"), (3, "c", "y")))
    now = [
        (1, "a", "x", at(1), None, True), (2, "b", "y", at(3), None, True),
        (2, None, "x", at(1), at(3), False), (3, "c", "y", at(3), None, True),
    ]  # fmt: skip
    assert table.rows() == now
    table.publish(config, seen(3, (1, "a", "y"), (2, "b", "y"), (3, "c", "y")))
    assert table.rows() == now


def test_late_repeated_and_corrected_observations(execute: Execute) -> None:
    table = Table(execute, ["id", "city", *TIMES])
    for day, city in ((5, "c"), (1, "a"), (3, "b"), (4, "b"), (6, "c"), (2, "a")):
        table.publish(SNAPSHOT, seen(day, (1, city)))
    assert table.rows() == [
        (1, "a", at(1), at(3), False), (1, "b", at(3), at(5), False), (1, "c", at(5), None, True),
    ]  # fmt: skip
    table.publish(SNAPSHOT, seen(3, (1, "c")))
    assert table.rows() == [(1, "a", at(1), at(3), False), (1, "c", at(3), None, True)]
    table.publish(SNAPSHOT, seen(3, (1, "a")))
    assert table.rows() == [(1, "a", at(1), None, True)]


def test_what_is_missing_is_closed_and_may_come_back(execute: Execute) -> None:
    table = Table(execute, ["id", "city", *TIMES])
    table.publish(CLOSING, seen(1, (1, "a"), (2, "b"), (3, "c")), run=1)
    table.publish(CLOSING, seen(3, (2, "b"), (3, "c")), run=3)
    table.publish(CLOSING, seen(3, (2, "b"), (3, "c")), run=3)
    assert table.rows()[0] == (1, "a", at(1), at(3), False)
    table.publish(CLOSING, seen(5, (1, "a"), (2, "b")), run=5)
    assert table.rows() == [
        (1, "a", at(1), at(3), False), (1, "a", at(5), None, True), (2, "b", at(1), None, True),
        (3, "c", at(1), at(5), False),
    ]  # fmt: skip
    table.publish(SNAPSHOT, seen(2, (1, "A")))  # late, before the gap, which stays
    table.publish(SNAPSHOT, seen(3, (3, "c")))
    assert table.rows() == [
        (1, "A", at(2), at(3), False), (1, "a", at(1), at(2), False), (1, "a", at(5), None, True),
        (2, "b", at(1), None, True), (3, "c", at(1), at(5), False),
    ]  # fmt: skip
    table.publish(CLOSING, [], run=5)  # the key was seen by this very run, which is corrected
    assert table.rows() == [
        (1, "A", at(2), at(3), False), (1, "a", at(1), at(2), False), (2, "b", at(1), at(5), False),
        (3, "c", at(1), at(5), False),
    ]  # fmt: skip


def test_a_run_closes_nothing_that_began_after_it(execute: Execute) -> None:
    table = Table(execute, ["id", "city", *TIMES])
    table.publish(CLOSING, seen(5, (1, "a")), run=5)
    table.publish(CLOSING, seen(3, (2, "b")), run=3)
    assert table.rows() == [(1, "a", at(5), None, True), (2, "b", at(3), None, True)]


def test_too_many_closed_are_refused(execute: Execute) -> None:
    table = Table(execute, ["id", "city", *TIMES])
    config = CLOSING | {"max_deleted": 1}
    table.publish(config, seen(1, (1, "a"), (2, "b"), (3, "c")), run=1)
    table.publish(config, seen(2, (1, "a"), (2, "b")), run=2)
    with pytest.raises(DataError, match="2 of 2 rows have a key that is not in the new rows and would be closed"):
        table.publish(config, [], run=3)


def test_columns_that_new_rows_lack_stay_in_their_versions(execute: Execute) -> None:
    table = Table(execute, ["id", "city", "note", *TIMES])
    table.publish(SNAPSHOT, seen(1, (1, "a", "x")) + seen(3, (1, "a", "y")) + seen(5, (1, "b", "z")))
    few = ["id", "city", *TIMES]
    table.publish(SNAPSHOT, seen(2, (1, "c")) + seen(5, (1, "d")), columns=few)
    assert table.rows() == [
        (1, "a", "x", at(1), at(2), False), (1, "a", "y", at(3), at(5), False), (1, "c", None, at(2), at(3), False),
        (1, "d", "z", at(5), None, True),
    ]  # fmt: skip


def test_rows_from_before_the_table_kept_versions_stay(execute: Execute) -> None:
    table = Table(execute, ["id", "city", *TIMES])
    execute("INSERT INTO held (id, city) VALUES (1, 'old')", [])
    for day in (1, 2, 2):
        table.publish(CLOSING, seen(day, (1, "a")), run=day)
    assert table.rows() == [(1, "a", at(1), None, True), (1, "old", None, None, None)]


def test_a_shorter_track_leaves_the_versions_that_are_there(execute: Execute) -> None:
    table = Table(execute, ["id", "city", "note", *TIMES])
    table.publish(SNAPSHOT, seen(1, (1, "a", "x")) + seen(2, (1, "a", "y")))
    table.publish(SNAPSHOT | {"track": ["city"]}, seen(3, (1, "a", "z")))
    assert table.rows() == [(1, "a", "x", at(1), at(2), False), (1, "a", "y", at(2), None, True)]


def test_a_date_may_say_since_when(execute: Execute) -> None:
    table = Table(execute, ["id", "city", *TIMES])
    kinds = {name: "DATE" if name in TIMES[:2] else kind for name, kind in table.kinds.items()}
    execute("DROP TABLE held", [])
    execute(sql.create_table("held", kinds), [])
    table.kinds = kinds
    for day, city in ((2, "b"), (1, "a"), (3, "b")):
        table.publish(SNAPSHOT | {"effective": "day"}, [(1, city, date(2013, 1, day), None, True)])
    assert table.rows() == [
        (1, "a", date(2013, 1, 1), date(2013, 1, 2), False), (1, "b", date(2013, 1, 2), None, True),
    ]  # fmt: skip


VERSION = st.tuples(
    st.integers(1, 3), st.integers(0, 8), st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y"])
)
RUN = st.tuples(st.lists(VERSION, max_size=6, unique_by=lambda row: row[:2]), st.integers(0, 8), st.booleans())


History = dict[datetime, tuple[Any, ...] | None]  # by moment: what begins then, None where the key ends


def expected_versions(runs: Sequence[tuple[list[Row], int, bool]]) -> list[Row]:
    """The history of each key told as what was known when, in plain Python."""
    known: dict[int, History] = {}
    for rows, day, close in runs:
        observed = {row[0] for row in rows}
        for key, history in known.items():
            last = max(history)
            if close and key not in observed and history[last] is not None and last <= at(day):
                history[at(day)] = None
        for key, moment, *values in rows:
            known.setdefault(key, {})[at(moment)] = tuple(values)
        known = {key: kept for key, history in known.items() if (kept := without_repeats(history))}
    return sorted((row for key, history in known.items() for row in told(key, history)), key=repr)


def without_repeats(history: History) -> History:
    kept: History = {}
    before: tuple[Any, ...] | None = None
    for moment, now in sorted(history.items()):
        if (now and now[0]) != (before and before[0]) or (now is None) != (before is None):
            kept[moment] = before = now
    return kept


def told(key: int, history: History) -> Iterator[Row]:
    moments = sorted(history)
    for moment, following in zip(moments, [*moments[1:], None], strict=True):
        if (values := history[moment]) is not None:
            yield key, *values, moment, following, following is None


CHANGE = st.tuples(
    st.integers(1, 4),
    st.sampled_from(["a", "b"]),
    st.one_of(st.none(), st.integers(0, 4)),
    st.sampled_from(["u", "d", None]),
)


def expected_rows(batches: Sequence[list[Row]], *, aged: bool, marked: bool, missing: bool) -> list[Row]:
    """One row a key: the last that came and was not older."""
    held: dict[int, Row] = {}
    for batch in batches:
        if missing:
            held = {key: row for key, row in held.items() if key in {new[0] for new in batch}}
        for new in batch:
            old = held.get(new[0])
            if aged and old and old[2] is not None and (new[2] is None or new[2] < old[2]):
                continue
            held.pop(new[0], None)
            if not (marked and new[3] == "d"):
                held[new[0]] = new
    return sorted(held.values(), key=repr)


@settings(max_examples=100, deadline=None)
@given(
    batches=st.lists(st.lists(CHANGE, max_size=4, unique_by=lambda row: row[0]), min_size=1, max_size=5),
    aged=st.booleans(), marked=st.booleans(), missing=st.booleans(),
)  # fmt: skip
def test_any_batches_merged(
    duck: Execute, batches: list[list[Row]], *, aged: bool, marked: bool, missing: bool
) -> None:
    table = Table(duck, ["id", "city", "age", "op"])
    config: dict[str, Any] = dict(MERGE)
    config |= {"order_by": "age"} if aged else {}
    config |= {"delete_when": "op = d"} if marked else {}
    config |= {"missing": "delete", "max_deleted": "100%"} if missing else {}
    for number, batch in enumerate(batches, 1):
        for _ in range(2):
            table.publish(config, batch)
            assert table.rows() == expected_rows(batches[:number], aged=aged, marked=marked, missing=missing)
