"""Observations of a type 2 dimension, and the bound on what `missing:` takes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from flowpipe.adapters.versions import COLUMNS, observed, problems, refuse_too_many, tracked
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError

ROWS = pl.LazyFrame({"id": [1], "city": ["Bonn"], "at": [date(2024, 1, 2)]})
NOW = datetime(2024, 2, 3, 4, 5, tzinfo=UTC)


def snapshot(**given: Any) -> DatasetConfig:
    return DatasetConfig(store="base", table="t", mode="snapshot", key=["id"], **given)


def test_observed_at_the_time_of_the_run() -> None:
    frame = observed(ROWS, snapshot(), NOW).collect()
    assert frame.columns == ["id", "city", "at", *COLUMNS]
    assert frame.rows() == [(1, "Bonn", date(2024, 1, 2), NOW, None, True)]
    assert frame.schema["valid_to"] == frame.schema["valid_from"] == pl.Datetime("us", "UTC")


def test_observed_since_a_column_says_so() -> None:
    frame = observed(ROWS, snapshot(effective="at"), NOW).collect()
    assert frame.rows() == [(1, "Bonn", date(2024, 1, 2), date(2024, 1, 2), None, True)]
    assert frame.schema["valid_to"] == pl.Date


def test_what_is_tracked() -> None:
    names = ["id", "city", "at", *COLUMNS]
    assert tracked(snapshot(), names) == ["city", "at"]
    assert tracked(snapshot(effective="at"), names) == ["city"]
    assert tracked(snapshot(track=["at"]), names) == ["at"]


@pytest.mark.parametrize(
    ("given", "columns", "told"),
    [
        ({"effective": "att"}, {"at": pl.Date()}, ['effective: unknown column "att"; did you mean "at"? known: at']),
        ({"effective": "at"}, {"at": pl.String()}, ["effective: column at is String, not a Date or Datetime"]),
        ({}, {"valid_to": pl.Date()}, ["column valid_to is added by mode: snapshot"]),
        ({"effective": "at"}, {"at": pl.Datetime()}, []),
    ],
)
def test_what_keeps_rows_from_being_observations(
    given: dict[str, str], columns: dict[str, pl.DataType], told: list[str]
) -> None:
    assert problems(snapshot(**given), columns) == told


def test_too_many_missing_keys_are_refused() -> None:
    bounded = DatasetConfig(store="base", table="t", mode="merge", key=["id"], missing="delete", max_deleted="5%")
    refuse_too_many(bounded, "orders", 50, 1000)
    with pytest.raises(DataError) as caught:
        refuse_too_many(bounded, "orders", 51, 1000)
    assert str(caught.value) == (
        "dataset orders: 51 of 1,000 rows have a key that is not in the new rows and would be deleted, "
        "more than max_deleted: 5%\n"
        "  hint: nothing was published; look at the input, or raise `max_deleted`"
    )
    with pytest.raises(DataError, match=r"2 of 3 rows .* would be closed, more than max_deleted: 1"):
        refuse_too_many(snapshot(missing="close", max_deleted=1), "orders", 2, 3)
