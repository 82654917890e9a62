"""Which keys of a dataset go together: every message, with its hint."""

from __future__ import annotations

import pytest

from flowpipe.datasets import flaws

TABLE = {"store": "lake", "table": "t"}
MERGE, SNAPSHOT = {"mode": "merge", "key": ["id"]}, {"mode": "snapshot", "key": ["id"]}


@pytest.mark.parametrize(
    "given",
    [
        {},
        MERGE | {"missing": "keep"},
        MERGE | {"missing": "delete", "max_deleted": "5%", "delete_when": "op = D", "order_by": "at"},
        SNAPSHOT | {"missing": "close", "max_deleted": 10, "track": ["city"]},
        SNAPSHOT | {"effective": "at"},
        {"schema_change": "replace"},
        {"mode": "overwrite", "schema_change": "replace"},
        MERGE | {"schema_change": "add"},
    ],
)
def test_what_goes_together(given: dict[str, object]) -> None:
    assert list(flaws(TABLE | given)) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"mode": "merge"}, [("merge needs a key", "add key: [COLUMN]")]),
        ({"mode": "snapshot"}, [("snapshot needs a key", "add key: [COLUMN]")]),
        ({"order_by": "at"}, [("order_by goes with mode: merge only", "remove it")]),
        (SNAPSHOT | {"delete_when": "op = D"}, [("delete_when goes with mode: merge only", "remove it")]),
        (
            {"missing": "delete", "max_deleted": "5%"},
            [(f"{key} goes with mode: merge or snapshot only", "remove it") for key in ("missing", "max_deleted")],
        ),
        (
            MERGE | {"track": ["a"], "effective": "at"},
            [(f"{key} goes with mode: snapshot only", "remove it") for key in ("track", "effective")],
        ),
        (
            MERGE | {"missing": "delete"},
            [("missing: delete needs a bound", 'add `max_deleted: "5%"`: a publish that would take more is refused')],
        ),
        (
            MERGE | {"missing": "close", "max_deleted": 1},
            [("mode: merge cannot close rows", "write `missing: delete`")],
        ),
        (
            SNAPSHOT | {"missing": "delete", "max_deleted": 1},
            [("mode: snapshot cannot delete rows", "write `missing: close`")],
        ),
        (
            SNAPSHOT | {"missing": "close", "max_deleted": 1, "effective": "at"},
            [
                (
                    "missing: close goes with effective: run_time only",
                    "a row that is not there says no time: use `effective: run_time`",
                )
            ],
        ),
        (
            SNAPSHOT | {"missing": "close", "max_deleted": 1, "partition": {"every": "month", "column": "day"}},
            [
                (
                    "missing: close needs all keys, and a window has some of them",
                    "take `partition:` out, and let one step see all keys",
                )
            ],
        ),
        (
            MERGE | {"schema_change": "replace"},
            [
                (
                    "schema_change: replace goes with mode: overwrite only",
                    "use `schema_change: add`, or overwrite the whole dataset",
                )
            ],
        ),
    ],
)
def test_what_does_not(given: dict[str, object], told: list[tuple[str, str]]) -> None:
    assert [(flaw.message, flaw.hint) for flaw in flaws(TABLE | given)] == told
