"""Windows: calendars, daylight saving, year ends, and the paths and names of slices."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpipe.partition import (
    WHOLE,
    Every,
    Slice,
    Window,
    between,
    glob,
    has_placeholder,
    is_injective,
    key_in,
    last_closed,
    of_key,
    of_window,
    parse,
    render,
    window_at,
    within,
)

# Offsets of every kind: half hours, midnight gaps (Sao Paulo, Beirut), midnight twice (Azores), a skipped day (Apia).
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo", "Asia/Beirut", "Atlantic/Azores", "Pacific/Apia"]
EVERY: list[Every] = ["day", "month", "year"]

moments = st.builds(
    lambda moment, zone: moment.astimezone(ZoneInfo(zone)),
    st.datetimes(datetime(1800, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(ZONES),
)
every = st.sampled_from(EVERY)


def hours(window: Window) -> float:
    return (window.end.astimezone(UTC) - window.start.astimezone(UTC)) / timedelta(hours=1)


# ---- windows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "grain", "start", "end"),
    [
        ("2013-02", "month", datetime(2013, 2, 1), datetime(2013, 3, 1)),
        ("2013-12", "month", datetime(2013, 12, 1), datetime(2014, 1, 1)),
        ("2013", "year", datetime(2013, 1, 1), datetime(2014, 1, 1)),
        (2013, "year", datetime(2013, 1, 1), datetime(2014, 1, 1)),
        ("2013-12-31", "day", datetime(2013, 12, 31), datetime(2014, 1, 1)),
        ("2012-02-28", "day", datetime(2012, 2, 28), datetime(2012, 2, 29)),
        ("2012-02-29", "day", datetime(2012, 2, 29), datetime(2012, 3, 1)),
        (date(2013, 2, 1), "month", datetime(2013, 2, 1), datetime(2013, 3, 1)),
        ("2013-01-01", "year", datetime(2013, 1, 1), datetime(2014, 1, 1)),
    ],
)
def test_a_window_has_the_bounds_of_the_calendar(
    text: str | int | date, grain: Every, start: datetime, end: datetime
) -> None:
    for zone in ZONES:
        window = parse(text, grain, zone)
        assert (window.start, window.end) == (start.replace(tzinfo=ZoneInfo(zone)), end.replace(tzinfo=ZoneInfo(zone)))


@pytest.mark.parametrize(
    ("text", "grain", "message"),
    [
        ("2013-02-15", "month", '"2013-02-15" is not the start of a month; write it like 2013-02'),
        ("2013-02", "year", '"2013-02" is not the start of a year; write it like 2013'),
        ("2013", "month", '"2013" is not the start of a month; write it like 2013-02'),
        ("2013-02", "day", '"2013-02" is not the start of a day; write it like 2013-02-01'),
        ("2013-02-29", "day", '"2013-02-29" is not the start of a day; write it like 2013-02-01'),
        ("2013-13", "month", '"2013-13" is not the start of a month; write it like 2013-02'),
        ("", "day", '"" is not the start of a day; write it like 2013-02-01'),
        (201302, "month", '"201302" is not the start of a month; write it like 2013-02'),
        ("9999-12-31", "day", '"9999-12-31" is not the start of a day; write it like 2013-02-01'),
        ("9999-12", "month", '"9999-12" is not the start of a month; write it like 2013-02'),
        (9999, "year", '"9999" is not the start of a year; write it like 2013'),
    ],
)
def test_what_is_no_window_says_how_to_write_one(text: str | int, grain: Every, message: str) -> None:
    with pytest.raises(ValueError, match="is not the start") as error:
        parse(text, grain)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "grain", "zone", "length"),
    [
        ("2013-03-31", "day", "Europe/Berlin", 23),
        ("2013-10-27", "day", "Europe/Berlin", 25),
        ("2013-03", "month", "Europe/Berlin", 31 * 24 - 1),
        ("2013-10", "month", "Europe/Berlin", 31 * 24 + 1),
        ("2013", "year", "Europe/Berlin", 365 * 24),
        ("2018-11-04", "day", "America/Sao_Paulo", 23),
        ("2018-02-17", "day", "America/Sao_Paulo", 25),
        ("2013-10-27", "day", "Atlantic/Azores", 25),
        ("2011-12-30", "day", "Pacific/Apia", 0),
    ],
)
def test_a_day_has_the_hours_of_its_time_zone(text: str, grain: Every, zone: str, length: int) -> None:
    assert hours(parse(text, grain, zone)) == length


@given(moments, every)
def test_every_moment_is_in_one_window(moment: datetime, grain: Every) -> None:
    window = window_at(moment, grain)
    instant = moment.astimezone(UTC)
    assert window.start.astimezone(UTC) <= instant < window.end.astimezone(UTC)


@given(moments, every)
def test_windows_meet_without_gap_or_overlap(moment: datetime, grain: Every) -> None:
    window = window_at(moment, grain)
    after = window_at(window.end, grain)
    before = window_at(window.start - timedelta(days=1), grain)
    assert (before.end, window.end) == (window.start, after.start)
    assert before < window < after


@given(st.dates(date(1, 1, 2), date(9998, 12, 31)), every, st.sampled_from(ZONES))
def test_a_key_names_its_window(day: date, grain: Every, zone: str) -> None:
    window = window_at(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)), grain)
    assert parse(window.key, grain, zone) == window
    assert str(window) == window.key


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(0, 400), every, st.sampled_from(ZONES))
def test_a_range_has_every_window_once(day: date, days: int, grain: Every, zone: str) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    first, last = window_at(start, grain), window_at(start + timedelta(days=days), grain)
    windows = list(between(first, last))
    assert (windows[0], windows[-1]) == (first, last)
    assert all(one.end == other.start for one, other in pairwise(windows))
    assert len({window.key for window in windows}) == len(windows)


def test_a_range_that_ends_before_it_begins_is_empty() -> None:
    assert list(between(parse("2013-02", "month"), parse("2013-01", "month"))) == []


@pytest.mark.parametrize(
    ("now", "grain", "zone", "key"),
    [
        (datetime(2013, 1, 1, tzinfo=UTC), "year", "UTC", "2012"),
        (datetime(2012, 12, 31, 23, 59, tzinfo=UTC), "year", "UTC", "2011"),
        (datetime(2012, 12, 31, 23, tzinfo=UTC), "year", "Europe/Berlin", "2012"),
        (datetime(2012, 3, 1, tzinfo=UTC), "day", "UTC", "2012-02-29"),
        (datetime(2013, 3, 31, 12, tzinfo=UTC), "month", "UTC", "2013-02"),
        (datetime(2013, 3, 31, 22, tzinfo=UTC), "month", "Europe/Berlin", "2013-03"),
    ],
)
def test_the_last_closed_window_has_ended(now: datetime, grain: Every, zone: str, key: str) -> None:
    assert last_closed(now, grain, zone).key == key


@given(moments, every, st.sampled_from(ZONES))
def test_the_window_after_the_last_closed_one_is_open(moment: datetime, grain: Every, zone: str) -> None:
    closed = last_closed(moment, grain, zone)
    following = window_at(closed.end, grain)
    assert closed.end.astimezone(UTC) <= moment.astimezone(UTC) < following.end.astimezone(UTC)


@pytest.mark.parametrize(
    ("outer", "grain", "first", "last", "count"),
    [
        (parse("2012", "year"), "month", "2012-01", "2012-12", 12),
        (parse("2012", "year"), "day", "2012-01-01", "2012-12-31", 366),
        (parse("2013-02", "month"), "day", "2013-02-01", "2013-02-28", 28),
        (parse("2013-02-28", "day"), "month", "2013-02", "2013-02", 1),
        (parse("2013-12", "month"), "year", "2013", "2013", 1),
        (parse("2013-03", "month", "Europe/Berlin"), "day", "2013-03-01", "2013-03-31", 31),
        (parse("2013-02", "month"), "month", "2013-02", "2013-02", 1),
    ],
)
def test_the_windows_that_a_window_touches(outer: Window, grain: Every, first: str, last: str, count: int) -> None:
    windows = within(outer, grain)
    assert (windows[0].key, windows[-1].key, len(windows)) == (first, last, count)


def test_a_window_of_another_zone_touches_one_more() -> None:
    day, month = parse("2013-02-01", "day"), parse("2013-02", "month", "Europe/Berlin")
    assert [window.key for window in within(day, "day", "Europe/Berlin")] == ["2013-02-01", "2013-02-02"]
    assert [window.key for window in within(month, "month", "UTC")] == ["2013-01", "2013-02"]


# ---- slices and paths ------------------------------------------------------------------------------------------------


def test_what_a_slice_is_called() -> None:
    window = parse("2013-02", "month")
    assert (str(WHOLE), WHOLE.key) == ("all", "*")
    assert str(of_window(window)) == "2013-02"
    assert of_window(window) == Slice("2013-02", "window", window)
    assert of_key("AA") == Slice("AA", "key")
    assert str(of_key("AA")) == "AA"


@pytest.mark.parametrize(
    ("template", "path", "pattern"),
    [
        ("flights/{partition}.csv", "flights/2013-02.csv", "flights/*.csv"),
        ("flights/{partition:%Y-%m}.csv", "flights/2013-02.csv", "flights/*.csv"),
        ("f/{partition:%Y/%m}/x.csv", "f/2013/02/x.csv", "f/*/*/x.csv"),
        ("f/{partition:%Y}/{partition:%m}.csv", "f/2013/02.csv", "f/*/*.csv"),
        ("airlines.csv", "airlines.csv", "airlines.csv"),
        ("{region}/{partition}.csv", "{region}/2013-02.csv", "{region}/*.csv"),
    ],
)
def test_paths_of_a_window(template: str, path: str, pattern: str) -> None:
    assert render(template, of_window(parse("2013-02", "month"))) == path
    assert glob(template) == pattern
    assert has_placeholder(template) == (template != path)


def test_a_listed_key_is_its_own_path() -> None:
    assert render("f/{partition}.csv", of_key("AA")) == render("f/{partition:%Y}.csv", of_key("AA")) == "f/AA.csv"


@pytest.mark.parametrize(
    ("template", "path", "grain", "key"),
    [
        ("f/{partition:%Y-%m}.csv", "f/2013-02.csv", "month", "2013-02"),
        ("f/{partition}.csv", "f/2013-02.csv", "month", "2013-02"),
        ("f/{partition:%Y/%m}/*.csv", "f/2013/02/x.csv", "month", "2013-02"),
        ("f/{partition:%Y}/{partition:%m}.csv", "f/2013/02.csv", "month", "2013-02"),
        ("**/{partition}.csv", "a/b/2013-02-01.csv", "day", "2013-02-01"),
        ("f/{partition}.csv", "f/AA.csv", None, "AA"),
        ("f/{partition:%Y-%m}.csv", "f/2013-2.csv", "month", None),
        ("f/{partition:%Y-%m}.csv", "f/2013-13.csv", "month", None),
        ("f/{partition:%Y-%m}.csv", "g/2013-02.csv", "month", None),
        ("f/{partition}.csv", "f/2013-02.csv.bak", "month", None),
        ("f/{partition}/{partition}.csv", "f/AA/UA.csv", None, None),
    ],
)
def test_which_partition_a_path_is(template: str, path: str, grain: Every | None, key: str | None) -> None:
    assert key_in(template, path, grain) == key


@given(moments, every)
def test_a_path_tells_its_window(moment: datetime, grain: Every) -> None:
    window = window_at(moment, grain)
    assert key_in("f/{partition}.csv", render("f/{partition}.csv", of_window(window)), grain) == window.key


@pytest.mark.parametrize(
    ("template", "grain", "injective"),
    [
        ("{partition}", "day", True),
        ("{partition}", "month", True),
        ("{partition}", "year", True),
        ("{partition:%Y}", "month", False),
        ("{partition:%m}", "month", False),
        ("{partition:%Y-%m}", "day", False),
        ("{partition:%Y}/{partition:%m}", "month", True),
        ("{partition:%y%m%d}", "day", True),
        ("{partition:%Y-%j}", "day", True),
        ("{partition:%j}", "day", False),
        ("{partition:%m-%d}", "day", False),
        ("{partition:%a-%m-%d}", "day", False),
        ("{partition:%G-%V-%u}", "day", True),
        ("{partition:%G-%m-%d}", "day", False),
        ("{partition:%G}", "year", False),
        ("{partition:%a-%m}", "month", False),
        ("all.csv", "year", False),
    ],
)
def test_whether_windows_share_a_path(template: str, grain: Every, injective: bool) -> None:
    assert is_injective(template, grain) is injective
