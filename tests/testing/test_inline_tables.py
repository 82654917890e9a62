"""Tables that tests write as text, and all else that they may give as rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flowpipe.errors import UsageError
from flowpipe.testing import table
from flowpipe.testing.tables import as_frame, dated, parse


def test_types_are_those_of_the_cells() -> None:
    found = table(
        """
        | id | amount | paid  | day        | at                   | code | note     |
        |----|-------:|:-----:|------------|----------------------|------|----------|
        | 1  | 10.5   | true  | 2024-01-31 | 2024-01-31T10:00:00Z | x    | "a | b"  |
        | 2  |        | false | NULL       | null                 | ""   | say ""hi |
        """
    )
    assert found.schema == {
        "id": pl.Int64, "amount": pl.Float64, "paid": pl.Boolean, "day": pl.Date, "at": pl.Datetime("us", "UTC"),
        "code": pl.String, "note": pl.String,
    }  # fmt: skip
    assert found.rows() == [
        (1, 10.5, True, date(2024, 1, 31), datetime(2024, 1, 31, 10, tzinfo=UTC), "x", "a | b"),
        (2, None, False, None, None, "", 'say ""hi'),
    ]


def test_commas_do_as_well_and_headings_alone_are_no_rows() -> None:
    assert table('id,name\n1,"x, y"').rows() == [(1, "x, y")]
    empty = table("id:Int32 | day:date | name")
    assert (empty.height, empty.schema) == (0, {"id": pl.Int32, "day": pl.Date, "name": pl.String})


def test_a_heading_gives_a_type() -> None:
    found = table(
        "code:text | n:Int16 | x:float | at:datetime | seen:instant\n007 | 1 | 1 | 2024-01-01 | 2024-01-01T00:00:00Z"
    )
    assert found.dtypes == [pl.String, pl.Int16, pl.Float64, pl.Datetime("us"), pl.Datetime("us", "UTC")]
    assert found.row(0) == ("007", 1, 1.0, datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC))


def test_wanted_types_are_taken_where_cells_fit_them() -> None:
    like = {
        "code": pl.String(),
        "tags": pl.List(pl.Int64()),
        "at": pl.Datetime("ms", "UTC"),
        "n": pl.Int32(),
        "x": pl.Date(),
    }
    found = parse("code | tags  | at                  | n | x\n007  | [1,2] | 2024-01-01 10:00:00 | ten | NULL").frame(
        like
    )
    assert found.row(0) == ("007", [1, 2], datetime(2024, 1, 1, 10, tzinfo=UTC), "ten", None)
    assert found.dtypes == [pl.String, pl.List(pl.Int64), pl.Datetime("ms", "UTC"), pl.String, pl.Date]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (" \n", "a table needs a line of headings\n  hint: write it like: id | amount"),
        (
            "a | b\n1 | 2\n3",
            (
                "a line of a table has 1 cell, its headings are 2: 3\n  hint: write NULL for a cell without a value, "
                'and quote a text that holds a separator: "a|b"'
            ),
        ),
        ("a | a:int\n1 | 2", 'a table has the heading "a" twice\n  hint: name each column once'),
        ("a:itn\n1", 'unknown type of a column: "itn"\n  hint: did you mean "int"?'),
        ("a:int\n1\nx", 'column a: "x" is not Int64\n  hint: mend the cell, or the type'),
        ("a:date\n2024", 'column a: "2024" is not Date\n  hint: mend the cell, or the type'),
        ("a:bool\nyes", 'column a: "yes" is not Boolean\n  hint: mend the cell, or the type'),
    ],
)
def test_a_text_that_is_no_table(text: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        table(text)
    assert str(error.value) == told


@pytest.mark.parametrize(
    "kind",
    [lambda frame: frame, pl.DataFrame.lazy, pl.DataFrame.to_pandas, pl.DataFrame.to_arrow, pl.DataFrame.to_dicts],
)
def test_rows_of_any_kind(kind: Callable[[pl.DataFrame], Any]) -> None:
    frame = pl.DataFrame({"id": [1, 2], "name": ["a", None]})
    assert as_frame(kind(frame)).equals(frame)


def test_files(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [1], "day": [date(2024, 1, 1)]})
    frame.write_csv(tmp_path / "rows.csv")
    frame.write_parquet(tmp_path / "rows.parquet")
    assert as_frame(tmp_path / "rows.csv").equals(frame)
    assert as_frame(tmp_path / "rows.parquet").equals(frame)
    for name, told in [
        ("rows.cvs", 'unknown ending of a table\'s file: ".cvs"\n  hint: did you mean ".csv"? known: .csv, .parquet'),
        ("row.csv", f"there is no file {tmp_path}/row.csv\n  hint: a path is relative to the file of the test"),
    ]:
        with pytest.raises(UsageError) as error:
            as_frame(tmp_path / name)
        assert str(error.value) == told


def test_what_is_no_table() -> None:
    with pytest.raises(UsageError) as error:
        as_frame(3)
    hint = "give text, a list of mappings, a path, or a Polars, pandas or Arrow frame"
    assert str(error.value) == f"int is no table\n  hint: {hint}"


def test_mappings_take_wanted_types_and_dates_where_all_are() -> None:
    found = as_frame([{"x": 1, "day": "2024-01-01", "name": "a"}], {"x": pl.Float64()})
    assert dated(found, {}).row(0) == (1.0, date(2024, 1, 1), "a")
    assert found.schema["x"] == pl.Float64
