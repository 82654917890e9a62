"""PostgreSQL: queries and their bounds, and what is wrong with a dataset before any server is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from postgres_schema import PostgresStore, fresh, query, table

from flowpipe.adapters import Dataset
from flowpipe.adapters.postgres import Options, Postgres
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import FlowpipeError
from flowpipe.partition import WHOLE, of_window, parse
from flowpipe.testing.servers import PostgresServer
from flowpipe.testing.suite import MONTHLY, month, rows


@pytest.fixture
def store(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
    with fresh(postgres_server.dsn, tmp_path) as made:
        yield made


def test_a_query_is_read_whole_and_by_window(store: PostgresStore) -> None:
    store.publish(table(), pl.concat([rows("2013-01", 1), rows("2013-02", 2), rows("2013-03", 3)]))
    assert store.ids(query("SELECT id FROM delays WHERE id > 1; ")) == [2, 3]
    bounded = query("SELECT * FROM delays WHERE day >= $start AND day < $end -- $it's", partition={"every": "month"})
    assert store.ids(bounded, month("2013-02")) == [2]
    assert store.ids(bounded) == [1, 2, 3]
    assert store.ids(query("TABLE delays", **MONTHLY), month("2013-03")) == [3]
    assert store.adapter.pin(bounded, WHOLE).version is None
    assert store.adapter.schema(bounded) == {"id": pl.Int64(), "day": pl.Date()}
    assert store.adapter.is_empty(bounded, month("2014-01"))
    assert not store.adapter.is_empty(bounded, month("2013-01"))


def test_the_bounds_of_a_query_are_the_clock_of_the_window(store: PostgresStore) -> None:
    at = pl.Series("at", [datetime(2012, 12, 31, h, tzinfo=UTC) for h in (22, 23)])
    walls = at.dt.convert_time_zone("Europe/Berlin").dt.replace_time_zone(None)
    store.publish(table(), pl.DataFrame({"id": [1, 2], "at": at, "wall": walls}))
    berlin = of_window(parse("2013-01", "month", "Europe/Berlin"))
    for column in ("at", "wall"):
        bounded = query(
            f"SELECT *, $start::text AS s FROM delays WHERE {column} >= $start AND {column} < $end",
            partition={"every": "month"},
        )
        assert store.ids(bounded, berlin) == [2]
        assert store.read(bounded, berlin)["s"].to_list() == ["2013-01-01 00:00:00"]
    assert store.read(query("SELECT current_setting('TimeZone') AS zone")).item() == "UTC"


def test_a_dollar_is_not_always_a_placeholder(store: PostgresStore) -> None:
    odd = query("""SELECT '$start' AS a, $$it's $end$$ AS b, $x$ $$ $x$ AS c, E'\\'$start' AS d, 1 AS "$e" -- $f
        /* $g */""")
    assert list(store.adapter.check(odd, written=False)) == []
    assert store.read(odd).row(0) == ("$start", "it's $end", " $$ ", "'$start", 1)


def test_a_query_that_cannot_run_is_said(store: PostgresStore) -> None:
    store.publish(table(), rows("2013-01", 1))
    hint = "\n  hint: make it, or mend the dataset's `table:` or `query:`"
    for text, told in (
        ("SELECT * FROM delay", f'relation "delay" does not exist{hint}'),
        (
            "SELECT idd FROM delays",
            'column "idd" does not exist\n  hint: Perhaps you meant to reference the column "delays.id".',
        ),
        (
            "WITH x AS (DELETE FROM delays RETURNING *) SELECT * FROM x",
            "WITH clause containing a data-modifying statement must be at the top level",
        ),
        ("SELECT nextval('s')", f'relation "s" does not exist{hint}'),
        ("SELECT 1 / (id - 1) FROM delays", "division by zero"),
    ):  # fmt: skip
        with pytest.raises(FlowpipeError) as caught:
            store.read(query(text))
        assert str(caught.value).partition(": ")[2] == told


def test_a_query_cannot_write(store: PostgresStore) -> None:
    store.sql("CREATE SEQUENCE s")
    with pytest.raises(FlowpipeError, match=r": cannot execute nextval\(\) in a read-only transaction$"):
        store.read(query("SELECT nextval('s')"))


PROBLEMS: list[tuple[dict[str, Any], bool, list[tuple[tuple[str, ...], str, str | None]]]] = [
    (
        {"path": "x.csv", "format": "csv", "options": {"separator": ";"}},
        False,
        [
            (("path",), 'a dataset in a postgres store has no "path"', "write `table: NAME`"),
            (("format",), 'a dataset in a postgres store has no "format"', "write `table: NAME`"),
            (("options",), 'a dataset in a postgres store has no "options"', "write `table: NAME`"),
            ((), "a dataset in a postgres store needs either a table or a query", "table: carrier_rank"),
        ],
    ),
    (
        {"table": "t", "query": "SELECT 1"},
        True,
        [
            ((), "a dataset in a postgres store needs either a table or a query", "table: carrier_rank"),
            (("query",), "a query is only read", "write `table: NAME`"),
        ],
    ),
    (
        {"table": "t", "partition": {"every": "month"}},
        False,
        [(("partition",), "a partitioned table needs the column that tells a row's window", "column: date")],
    ),
    (
        {"table": "t", "mode": "replace"},
        True,
        [(("mode",), "`mode: replace` needs a partition", "write `partition: {column: date, every: month}`")],
    ),
    ({"table": "t", "mode": "merge"}, True, [(("mode",), "merge needs a key", "add `key: [NAME]`")]),
    ({"table": "t", "mode": "snapshot"}, True, [(("mode",), "snapshot needs a key", "add `key: [NAME]`")]),
    (
        {"table": "a.b", "on_invalid": "quarantine"},
        True,
        [],
    ),
    (
        {"table": "x" * 60, "on_invalid": "quarantine"},
        True,
        [
            (
                ("table",),
                f"the name {'x' * 60}__rejected is longer than 63 bytes, where PostgreSQL cuts it",
                "choose a shorter one",
            )
        ],
    ),
    (
        {"table": "ü" * 32},
        False,
        [
            (
                ("table",),
                f"the name {'ü' * 32} is longer than 63 bytes, where PostgreSQL cuts it",
                "choose a shorter one",
            )
        ],
    ),
    (
        {"table": "t", "swap": True, "mode": "append", **MONTHLY},
        True,
        [
            (
                ("swap",),
                "swap is for tables that are overwritten whole",
                "remove it, or write `mode: overwrite` without a partition",
            )
        ],
    ),
    (
        {"table": "t", "after_publish": ["ANALYZE t; -- done", " commit", "SELECT 1; SELECT 2"]},
        True,
        [
            (
                ("after_publish",),
                "after_publish runs in the transaction of the publish",
                "remove BEGIN, COMMIT and ROLLBACK",
            ),
            (
                ("after_publish",),
                "each entry of after_publish is one statement",
                'write a list: ["ANALYZE t", "GRANT ..."]',
            ),
        ],
    ),
    (
        {"query": "DELETE FROM t"},
        False,
        [(("query",), "a query is one SELECT", "write one statement that only reads")],
    ),
    (
        {"query": "SELECT 1; SELECT 2"},
        False,
        [(("query",), "a query is one SELECT", "write one statement that only reads")],
    ),
    (
        {"query": "SELECT $strat", "partition": {"every": "month", "column": "d"}, "on_invalid": "quarantine"},
        False,
        [
            (("query",), 'unknown placeholder "$strat"', 'did you mean "$start"? known: $end, $start'),
            (
                ("on_invalid",),
                "a query has no table beside which rejected rows could be kept",
                "use fail or warn",
            ),
        ],
    ),
    (
        {"query": "SELECT $start"},
        False,
        [(("query",), "$start and $end need a window", "write `partition: {every: month}`")],
    ),
    (
        {"query": "SELECT 1", "partition": {"every": "month"}},
        False,
        [
            (
                ("partition",),
                "neither the query nor a column tells a row's window",
                "write $start and $end into the query, or name the `column:`",
            )
        ],
    ),
]


@pytest.mark.parametrize(("config", "written", "problems"), PROBLEMS)
def test_a_wrong_configuration_is_said_without_a_server(
    tmp_path: Path, config: Any, written: bool, problems: Any
) -> None:
    adapter = Postgres(Options(host="/nowhere"), tmp_path)
    dataset = Dataset("delays", DatasetConfig(store="warehouse", **config))
    assert list(adapter.check(dataset, written=written)) == problems
