"""Windows of time and the slices a publish covers: their bounds, names and path templates.

Windows are half-open, `[start, end)`, and begin on calendar boundaries of their time zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

Every = Literal["day", "month", "year"]
KEY_FORMAT: dict[str, str] = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d"}
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?")
_PLACEHOLDER = re.compile(r"\{partition(?::([^{}]*))?\}")


@dataclass(frozen=True, order=True)
class Window:
    """One half-open stretch of time, `[start, end)`; both are aware datetimes in the window's time zone.

    >>> window = parse("2013-02", "month")
    >>> window.key, window.start.isoformat(), window.end.isoformat()
    ('2013-02', '2013-02-01T00:00:00+00:00', '2013-03-01T00:00:00+00:00')
    """

    start: datetime
    end: datetime
    every: Every

    def overlaps(self, other: Window) -> bool:
        """Whether any moment is in both."""
        return self.start < other.end and other.start < self.end

    @property
    def key(self) -> str:
        # Not `strftime`, whose years before 1000 are shorter on some systems.
        return self.start.date().isoformat()[: {"year": 4, "month": 7, "day": 10}[self.every]]

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True)
class NewRows:
    """The rows whose watermark `column` is in `(low, high]`; `low` is None before the first load."""

    column: str
    low: Any
    high: Any


@dataclass(frozen=True)
class Slice:
    """What one publish covers: the whole dataset, one window, or the rows whose partition column is `key`.

    A read of a whole may ask for its `new` rows alone.
    """

    key: str = "*"
    kind: Literal["whole", "window", "key"] = "whole"
    window: Window | None = None
    new: NewRows | None = None

    def __str__(self) -> str:
        return "all" if self.kind == "whole" else self.key


WHOLE = Slice()


def of_window(window: Window) -> Slice:
    """The slice of one window."""
    return Slice(window.key, "window", window)


def of_key(key: str) -> Slice:
    """The slice of the rows whose partition column equals `key`."""
    return Slice(key, "key")


def window_at(moment: datetime, every: Every) -> Window:
    """The window that `moment` (an aware datetime) falls into, in the time zone of `moment`."""
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if every == "day":
        # Wall-clock arithmetic: a day of 23 or 25 hours is still one day.
        return Window(start, start + timedelta(days=1), every)
    start = start.replace(day=1)
    if every == "month":
        return Window(start, start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1), every)
    start = start.replace(month=1)
    return Window(start, start.replace(year=start.year + 1), every)


def parse(text: str | int | date, every: Every, timezone: str = "UTC") -> Window:
    """The window that begins at `text`, such as `2013`, `2013-02` or `2013-02-01`.

    Raises:
        ValueError: `text` does not name a window of this grain.

    >>> parse("2013-02-01", "month").key
    '2013-02'
    >>> parse("2013-02-15", "month")
    Traceback (most recent call last):
    ...
    ValueError: "2013-02-15" is not the start of a month; write it like 2013-02
    """
    match = _DATE.fullmatch(str(text))
    # A coarser text would mean its first window, also where it ends a range.
    if match and match.lastindex and match.lastindex > ("year", "month", "day").index(every):
        # Not `strptime`, whose first call alone takes a tenth of the time of `flowpipe list`.
        with suppress(ValueError, OverflowError):
            moment = datetime(int(match[1]), int(match[2] or 1), int(match[3] or 1), tzinfo=ZoneInfo(timezone))
            if (window := window_at(moment, every)).start == moment:
                return window
    example = {"day": "2013-02-01", "month": "2013-02", "year": "2013"}[every]
    raise ValueError(f'"{text}" is not the start of a {every}; write it like {example}')


def between(first: Window, last: Window) -> Iterator[Window]:
    """Every window from `first` to `last`, both included."""
    current = first
    while current.start <= last.start:
        yield current
        current = window_at(current.end, first.every)


def last_closed(now: datetime, every: Every, timezone: str = "UTC") -> Window:
    """The latest window that has ended at `now` (an aware datetime)."""
    current = window_at(now.astimezone(ZoneInfo(timezone)), every)
    return window_at(current.start - timedelta(days=1), every)


def within(outer: Window, every: Every, timezone: str | None = None) -> list[Window]:
    """The windows of grain `every` that `outer` touches, in order, cut by the calendar of `timezone` (else of `outer`).

    >>> [w.key for w in within(parse("2013", "year"), "month")][:2]
    ['2013-01', '2013-02']
    >>> [w.key for w in within(parse("2013-01", "month"), "month", "Europe/Berlin")]
    ['2013-01', '2013-02']
    """
    zone = ZoneInfo(timezone) if timezone else outer.start.tzinfo
    start, last = outer.start.astimezone(zone), (outer.end - timedelta(microseconds=1)).astimezone(zone)
    return list(between(window_at(start, every), window_at(last, every)))


def has_placeholder(template: str) -> bool:
    """Whether a path template names the partition."""
    return _PLACEHOLDER.search(template) is not None


def render(template: str, part: Slice) -> str:
    """A path template with `{partition}` or `{partition:%Y-%m}` filled in from a slice.

    >>> render("flights/{partition:%Y-%m}.parquet", of_window(parse("2013-02", "month")))
    'flights/2013-02.parquet'
    """

    def fill(match: re.Match[str]) -> str:
        if part.window is not None and match[1]:
            return part.window.start.strftime(match[1])
        return part.key

    return _PLACEHOLDER.sub(fill, template)


def glob(template: str) -> str:
    """The template as a glob over all its partitions.

    >>> glob("flights/{partition:%Y-%m}.parquet"), glob("flights/{partition:%Y/%m}.parquet")
    ('flights/*.parquet', 'flights/*/*.parquet')
    """
    return _PLACEHOLDER.sub(lambda match: re.sub("[^/]+", "*", match[1] or "*"), template)


def key_in(template: str, path: str, every: Every | None) -> str | None:
    """Which partition a path of the template is, globs in it included; None when it is none of its paths.

    >>> key_in("flights/{partition:%Y-%m}.parquet", "flights/2013-02.parquet", "month")
    '2013-02'
    >>> key_in("flights/{partition:%Y-%m}.parquet", "flights/old.parquet", "month") is None
    True
    """
    literals = _PLACEHOLDER.split(template)
    forms = [form or (KEY_FORMAT[every] if every else "") for form in literals[1::2]]
    gaps = ["(" + "/".join("[^/]+" for _ in form.split("/")) + ")" for form in forms]
    pieces = [_glob_regex(text) + gap for text, gap in zip(literals[::2], [*gaps, ""], strict=True)]
    match = re.fullmatch("".join(pieces), path)
    if match is None:
        return None
    if every is None:
        return match[1] if len(set(match.groups())) == 1 else None
    try:
        moment = datetime.strptime("\0".join(match.groups()), "\0".join(forms))  # noqa: DTZ007 only its text counts
    except ValueError:
        return None
    window = window_at(moment.replace(tzinfo=ZoneInfo("UTC")), every)
    return (
        window.key
        if all(window.start.strftime(form) == text for form, text in zip(forms, match.groups(), strict=True))
        else None
    )


def _glob_regex(text: str) -> str:
    escaped = re.escape(text).replace(r"\*\*/", "(?:.*/)?")
    return escaped.replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def is_injective(template: str, every: Every) -> bool:
    """Whether different windows always get different paths.

    >>> is_injective("f/{partition:%Y-%m}.csv", "month"), is_injective("f/{partition:%m}.csv", "month")
    (True, False)
    """
    # Days: two neighbouring years, and one of the same weekdays.
    ranges = {
        "day": (("2019-01-01", "2020-12-31"), ("2048-01-01", "2048-12-31")),
        "month": (("2000-01", "2011-12"),),
        "year": (("1990", "2029"),),
    }[every]
    windows = [window for first, last in ranges for window in between(parse(first, every), parse(last, every))]
    return len({render(template, of_window(window)) for window in windows}) == len(windows)
