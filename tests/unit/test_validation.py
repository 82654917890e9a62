"""Values against types: what is taken, and the words for what is not."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from flowpipe.config import coerce
from flowpipe.validation import check


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Limits:
    low: int
    high: float = 1.0


class Thresholds(BaseModel):
    late: Limits
    names: list[str] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Opaque:
    """A class that no YAML can hold."""


@pytest.mark.parametrize(
    ("value", "annotation", "result"),
    [
        (1, float, 1.0),
        (10**30, int, 10**30),
        (float("inf"), float, float("inf")),
        ("12:30", time, time(12, 30)),
        ("2013-01-31", date, date(2013, 1, 31)),
        ("2013-01-31T12:30:00", datetime, datetime(2013, 1, 31, 12, 30)),
        ("red", Colour, Colour.RED),
        ("a/b", Path, Path("a/b")),
        ("1.5", Decimal, Decimal("1.5")),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, 1], set[int], {1}),
        ([1], Sequence[float], [1.0]),
        (None, int | None, None),
        ({"low": 1}, Limits, Limits(1)),
        ({"late": {"low": 1, "high": 2}}, Thresholds, Thresholds(late=Limits(1, 2.0))),
        ({"a": 1, "b": 2}, Open, Open.model_validate({"a": 1, "b": 2})),
        ({"a": [1]}, Any, {"a": [1]}),
        ("x", inspect.Parameter.empty, "x"),
    ],
)
def test_values_become_their_type(value: object, annotation: Any, result: object) -> None:
    assert coerce(value, annotation) == result
    assert type(coerce(value, annotation)) is type(result)


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("ten", int, '"ten" is not a whole number (int)'),
        (1.0, int, "1.0 is not a whole number (int)"),
        (True, int, "true is not a whole number (int)"),
        ("1", float, '"1" is not a number (float)'),
        ("no", bool, '"no" is not true or false (bool)'),
        (12, str, "12 is not text (str)"),
        ("a", list[int], '"a" is not a list (list[int])'),
        ([1], dict[str, int], "a list is not a mapping (dict[str, int])"),
        (20130131, date, "20130131 is not a date (date)"),
        ("soon", datetime, '"soon" is not a date and time (datetime)'),
        ("noon", time, '"noon" is not a time of day (time)'),
        (None, int, "null is not a whole number (int)"),
        ("x", int | None, '"x" is not a whole number (int | None)'),
        ([1], int | str, "a list is not a whole number or text (int | str)"),
        ("rod", Colour, '"rod" is not one of red, blue (Colour)'),
        ("c", Literal["a", "b"], "\"c\" is not one of a, b (Literal['a', 'b'])"),
        ({"low": "x", "hihg": 2}, Limits, 'low: "x" is not a whole number; hihg: unknown key "hihg"'),
        ({}, Limits, 'the key "low" is missing (Limits)'),
        ({"late": {"low": 1}, "more": 1}, Thresholds, 'more: unknown key "more"'),
        ({"late": {"low": 1}, "names": ["a", 1]}, Thresholds, "names.1: 1 is not text"),
        ("x", Opaque, "no value of type Opaque can be written in YAML"),
        ("x" * 70, int, f'"{"x" * 57}..." is not a whole number (int)'),
    ],
)
def test_values_that_are_not_of_the_type(value: object, annotation: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole text is compared below
        coerce(value, annotation)
    assert str(caught.value) == message


def test_a_flaw_says_where_and_what_to_do() -> None:
    result, flaws = check(Thresholds, {"late": {"low": 1, "hgh": 2}, "names": "x"}, extra="forbid")
    assert result is None
    assert [(flaw.path, flaw.message, flaw.hint, flaw.at_key) for flaw in flaws] == [
        (("late", "hgh"), 'unknown key "hgh"', 'did you mean "high"? known: high, low', True),
        (("names",), '"x" is not a list', "write it like [a, b]", False),
    ]


def test_bounds() -> None:
    bounded = Annotated[int, Field(ge=1, lt=10)]
    assert [check(bounded, value)[1][0].message for value in (0, 10)] == [
        "0 must be at least 1",
        "10 must be less than 10",
    ]
    assert check(Annotated[list[int], Field(min_length=1)], [])[1][0].message == "at least 1 is needed, there are 0"
