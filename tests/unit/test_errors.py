"""Errors: the exact text of each, its exit code, and the tree that the module's docstring draws."""

from __future__ import annotations

import re
import signal

import pytest

from flowpipe import errors
from flowpipe.errors import (
    ConfigError,
    DataError,
    DeadlinePassed,
    FlowpipeError,
    Interrupted,
    LockedError,
    NodeError,
    Problem,
    PublishError,
    UsageError,
    Where,
    nearest,
    unknown,
)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (Where("conf/catalog.yml", 3, 7), "conf/catalog.yml:3:7"),
        (Where("conf/catalog.yml", 3), "conf/catalog.yml:3"),
        (Where("conf/catalog.yml"), "conf/catalog.yml"),
    ],
)
def test_a_place_prints_as_editors_read_it(where: Where, text: str) -> None:
    assert str(where) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FlowpipeError("it broke"), "it broke"),
        (FlowpipeError("it broke", where=Where("a.yml", 1, 2)), "a.yml:1:2: it broke"),
        (FlowpipeError("it broke", hint="mend it"), "it broke\n  hint: mend it"),
        (UsageError("it broke", where=Where("a.yml", 1), hint="mend it"), "a.yml:1: it broke\n  hint: mend it"),
        (
            Interrupted(signal.SIGINT),
            "interrupted; nothing is half published\n  hint: run the same command again to go on",
        ),
        (
            DeadlinePassed("2h", "4h"),
            (
                "the deadline of 2h has passed\n"
                "  hint: run the same command again to go on, or give it more time: --deadline 4h"
            ),
        ),
        (
            DeadlinePassed("2h", "4h").after(3, 12),
            (
                "the deadline of 2h has passed; 3 of 12 steps are done\n"
                "  hint: run the same command again to go on, or give it more time: --deadline 4h"
            ),
        ),
        (ConfigError([Problem("a"), Problem("b", hint="c")]), "a\nb\n  hint: c"),
    ],
)
def test_an_error_says_where_what_and_what_to_do(error: FlowpipeError, text: str) -> None:
    assert str(error) == text


def test_a_single_error_is_one_problem() -> None:
    where = Where("a.yml", 1)
    assert DataError("bad", where=where, hint="look").problems == (Problem("bad", where, "look"),)


def test_problems_come_once_and_in_the_order_of_files_and_lines() -> None:
    found = [
        Problem("late", Where("b.yml", 10, 1)),
        Problem("early", Where("b.yml", 9, 8)),
        Problem("earlier", Where("b.yml", 9, 2)),
        Problem("other file", Where("a.yml", 99, 1)),
        Problem("whole file", Where("b.yml")),
        Problem("anywhere"),
        Problem("late", Where("b.yml", 10, 1)),
    ]
    assert str(ConfigError(found)).splitlines() == [
        "anywhere",
        "a.yml:99:1: other file",
        "b.yml: whole file",
        "b.yml:9:2: earlier",
        "b.yml:9:8: early",
        "b.yml:10:1: late",
    ]


def test_problems_of_one_place_keep_their_order() -> None:
    where = Where("a.yml", 1, 1)
    found = (Problem("z", where), Problem("a", where))
    assert ConfigError(found).problems == found


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FlowpipeError("x"), 1),
        (NodeError("x"), 1),
        (UsageError("x"), 2),
        (ConfigError([Problem("x")]), 2),
        (DataError("x"), 3),
        (PublishError("x"), 4),
        (LockedError("x"), 75),
        (Interrupted(signal.SIGINT), 130),
        (Interrupted(signal.SIGTERM), 143),
        (DeadlinePassed("2h", "4h"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes(error: FlowpipeError, code: int) -> None:
    assert error.exit_code == code


def test_the_docstring_draws_the_tree() -> None:
    assert errors.__doc__
    drawn = re.findall(r"[├└]── (\w+) +([\d/]+) ", errors.__doc__)
    found = [*FlowpipeError.__subclasses__(), *Interrupted.__subclasses__()]
    built = {error.__name__: "130/143" if error is Interrupted else str(error.exit_code) for error in
             found if error.__module__ == "flowpipe.errors"}  # fmt: skip
    assert dict(drawn) == built


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("lakee", ["lake", "landing"], 'did you mean "lake"? known: lake, landing'),
        ("x", ["lake", "landing", "lake"], "known: lake, landing"),
        ("x", [], "there is none yet"),
        ("x", [f"n{i:02}" for i in range(12)], "known: n00, n01, n02, n03, n04, n05, n06, n07, n08, n09, n10, n11"),
        (
            "x",
            [f"n{i:02}" for i in range(15)],
            "known: n00, n01, n02, n03, n04, n05, n06, n07, n08, n09, n10, n11 and 3 more",
        ),
        ("store_07x", [f"store_{i:02}" for i in range(15)], 'did you mean "store_07"?'),
    ],
)
def test_an_unknown_name_names_the_nearest(name: str, known: list[str], hint: str) -> None:
    where = Where("conf/catalog.yml", 1, 2)
    problem = unknown("store", name, known, where)
    assert problem == Problem(f'unknown store "{name}"', where, hint)
    assert str(problem) == f'conf/catalog.yml:1:2: unknown store "{name}"\n  hint: {hint}'


def test_nothing_near_is_nothing() -> None:
    assert nearest("flights", ["weather", "planes"]) is None
    assert nearest("flights", iter([])) is None
    assert nearest("fligths", (name for name in ["weather", "flights"])) == "flights"


def test_what_else_can_be_done_about_an_unknown_name() -> None:
    assert unknown("store", "lakee", ["lake"], add="add it").hint == 'did you mean "lake"? known: lake'
    assert unknown("store", "x", ["lake"], add="add it").hint == "known: lake; or add it"
    assert unknown("store", "x", [], add="add it").hint == "there is none yet; add it"
