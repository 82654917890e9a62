"""The small languages inside YAML texts: names, durations, time zones, row counts, shares."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator

from flowpipe.errors import nearest
from flowpipe.validation import MalformedError

REJECTED = "__rejected"

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """A length of time: a whole number and one of `ms`, `s`, `m`, `h`, `d`, `w`.

    Raises:
        ValueError: `text` is not such a length.

    >>> duration("500ms"), duration("10m")
    (datetime.timedelta(microseconds=500000), datetime.timedelta(seconds=600))
    """
    match = re.fullmatch(r"([0-9]{1,6})\s*(ms|s|m|h|d|w)", text)
    if match is None:
        raise MalformedError(f'"{text}" is not a duration', "write it like 500ms, 1s, 10m, 2h, 3d or 1w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _duration(text: str) -> str:
    duration(text)
    return text


def _name(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        raise MalformedError(f'"{text}" is not a name', "a name is letters, digits and _, and begins with no digit")
    return text


def _dataset_name(text: str) -> str:
    if text.endswith(REJECTED):
        raise MalformedError(f'"{text}" cannot be declared', f"NAME{REJECTED} is where the rejected rows of NAME go")
    return _name(text)


def _node_name(text: str) -> str:
    for part in text.split("."):
        _name(part)
    return text


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        close = nearest(text, available_timezones())
        hint = f'did you mean "{close}"?' if close else "write it like UTC or Europe/Berlin"
        raise MalformedError(f'unknown time zone "{text}"', hint) from None
    return text


def _rows(rows: str | int) -> str | int:
    single = re.fullmatch(r"((>=|<=|==|>|<)\s*)?\d+", str(rows).strip())
    between = re.fullmatch(r"(\d+)\s*\.\.\s*(\d+)", str(rows).strip())
    if not single and not (between and int(between[1]) <= int(between[2])):
        raise MalformedError(f'"{rows}" is not a number of rows', 'write it like 1000, ">= 1" or "10..500"')
    return rows


def _freshness(text: str) -> str:
    if not re.fullmatch(r"\S.*?\s+within\s+\d+\s*[mhdw]", text):
        raise MalformedError(f'"{text}" is not a freshness', 'write it like "loaded_at within 2d" (m, h, d, w)')
    return text


def _limit(limit: str | float) -> str | float:
    text = str(limit).strip()
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
    if not (re.fullmatch(r"\d+|0?\.\d+", text) or (percent and float(percent[1]) <= 100)):
        raise MalformedError(f'"{limit}" is neither rows nor a share', 'write 100 for rows, "5%" for a share')
    return limit


def _reference(text: str) -> str:
    module, colon, name = text.partition(":")
    if not colon or not all(map(_IDENTIFIER.fullmatch, [*module.split("."), *name.split(".")])):
        raise MalformedError(f'"{text}" is not "module:Name"', 'write it like "schemas:Flights"')
    return text


Name = Annotated[str, AfterValidator(_name)]
DatasetName = Annotated[str, AfterValidator(_dataset_name)]
NodeName = Annotated[str, AfterValidator(_node_name)]
Duration = Annotated[str, AfterValidator(_duration)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Rows = Annotated[str | int, AfterValidator(_rows)]
Freshness = Annotated[str, AfterValidator(_freshness)]
Limit = Annotated[str | int | float, AfterValidator(_limit)]
Reference = Annotated[str, AfterValidator(_reference)]
