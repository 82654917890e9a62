"""The small languages inside YAML texts: names, durations, sizes, time zones, row counts, shares, conditions.

Each is a type that checks a value, and tells editors by its JSON Schema how one is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from flowpipe.errors import nearest
from flowpipe.validation import MalformedError

REJECTED = "__rejected"

# Editors read these, too: they must mean the same in JavaScript, where \d are the ten digits.
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
DURATION = r"([0-9]{1,6})\s*(ms|s|m|h|d|w)"
_SIZE = r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*(MB|GB|TB)"
_ROWS = r"(?:(?:>=|<=|==|>|<)\s*)?[0-9]+"
_BETWEEN = r"([0-9]+)\s*\.\.\s*([0-9]+)"
_FRESHNESS = r"\S.*?\s+within\s+[0-9]+\s*[mhdw]"
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%|(0?\.[0-9]+)")
_IDENTIFIER = re.compile(_NAME)
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """A length of time: a whole number and one of `ms`, `s`, `m`, `h`, `d`, `w`.

    Raises:
        ValueError: `text` is not such a length.

    >>> duration("500ms"), duration("10m")
    (datetime.timedelta(microseconds=500000), datetime.timedelta(seconds=600))
    """
    match = re.fullmatch(DURATION, text)
    if match is None:
        raise MalformedError(f'"{text}" is not a duration', "write it like 500ms, 1s, 10m, 2h, 3d or 1w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _duration(text: str) -> str:
    duration(text)
    return text


def _unit_of_time(value: Any) -> Any:
    """Tell of a number that it is no duration, and not that it is no text: in quotes it would be none either."""
    return _duration(str(value)) if isinstance(value, int | float) else value


def _unit_of_size(value: Any) -> Any:
    return _size(str(value)) if isinstance(value, int | float) else value


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
    single = re.fullmatch(_ROWS, str(rows).strip())
    between = re.fullmatch(_BETWEEN, str(rows).strip())
    if not single and not (between and int(between[1]) <= int(between[2])):
        raise MalformedError(f'"{rows}" is not a number of rows', 'write it like 1000, ">= 1" or "10..500"')
    return rows


def _freshness(text: str) -> str:
    if not re.fullmatch(_FRESHNESS, text):
        raise MalformedError(f'"{text}" is not a freshness', 'write it like "loaded_at within 2d" (m, h, d, w)')
    return text


def _limit(limit: str | float) -> str | float:
    text = str(limit).strip()
    share = _SHARE.fullmatch(text)
    if not (re.fullmatch("[0-9]+", text) or (share and (share[2] or float(share[1]) <= 100))):
        raise MalformedError(f'"{limit}" is neither rows nor a share', 'write 100 for rows, "5%" for a share')
    return limit


def _reference(text: str) -> str:
    module, colon, name = text.partition(":")
    if not colon or not all(map(_IDENTIFIER.fullmatch, [*module.split("."), *name.split(".")])):
        raise MalformedError(f'"{text}" is not "module:Name"', 'write it like "schemas:Flights"')
    return text


def size(text: str) -> int:
    """How many bytes a text such as `2GB` or `512MB` means; units are powers of 1,000.

    Raises:
        ValueError: `text` is not such a size.

    >>> size("512MB"), size("1.5 GB")
    (512000000, 1500000000)
    """
    match = re.fullmatch(_SIZE, text)
    if match is None:
        raise MalformedError(f'"{text}" is not a size', "write it like 512MB or 2GB")
    return int(float(match[1]) * {"MB": 10**6, "GB": 10**9, "TB": 10**12}[match[2]])


def _size(text: str) -> str:
    size(text)
    return text


def condition(text: str) -> tuple[str, str]:
    """Column and value of a `delete_when:`.

    Raises:
        ValueError: `text` is not "COLUMN = VALUE".

    >>> condition("op = D"), condition("is deleted = 'true'")
    (('op', 'D'), ('is deleted', 'true'))
    """
    column, equals, value = (part.strip() for part in text.partition("="))
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    if not (column and equals and value):
        raise MalformedError(f'"{text}" is not "COLUMN = VALUE"', 'write it like "op = D"')
    return column, value


def _condition(text: str) -> str:
    condition(text)
    return text


@dataclass(frozen=True)
class RowLimit:
    """How many rows a setting lets through: a number of rows, or a share of all of them.

    >>> RowLimit.parse("5%").allows(5, 100), RowLimit.parse("5%").allows(6, 100), RowLimit.parse(100).allows(6, 10)
    (True, False, True)
    """

    text: str
    rows: int | None = None
    share: Fraction | None = None

    @classmethod
    def parse(cls, value: str | float) -> RowLimit:
        """Read `100`, `"100"`, `"5%"` or `0.05`.

        Raises:
            ValueError: it is none of these.
        """
        text = str(value).strip()
        if re.fullmatch("[0-9]+", text):
            return cls(text, rows=int(text))
        match = _SHARE.fullmatch(text)
        share = Fraction(match[1]) / 100 if match and match[1] else Fraction(match[2]) if match else None
        if share is None or share > 1:
            raise ValueError(f'"{text}" is neither a number of rows such as 100 nor a share such as "5%"')
        return cls(text, share=share)

    def allows(self, invalid: int, rows: int) -> bool:
        """Whether this many invalid rows of so many are within the limit."""
        bound = self.share * rows if self.share is not None else self.rows or 0
        return invalid <= bound


def written(
    what: str, pattern: str, message: str, *examples: str | float, kinds: Sequence[str] = (), **rules: Any
) -> WithJsonSchema:
    """How a text is written that no plain JSON type describes; `kinds` are the types beside text that it may have."""
    own = {"pattern": f"^(?:{pattern})$", "patternErrorMessage": message, "examples": list(examples), "$comment": what}
    types = {"type": ["string", *kinds], "minimum": 0} if kinds else {"type": "string"}
    return WithJsonSchema({**types, **own, **rules})


_A_NAME = "a name is letters, digits and _, and begins with no digit"
_SOME_ROWS = 'write it like 1000, ">= 1" or "10..500"'
_SOME_SHARE = 'write 100 for rows, "5%" for a share'
_SOME_TIME = "write it like 500ms, 1s, 10m, 2h, 3d or 1w"
_PERCENT = r"0*(?:100(?:\.0+)?|[0-9]{1,2}(?:\.[0-9]+)?)\s*%"
_SHARES = rf"\s*(?:[0-9]+|0?\.[0-9]+|{_PERCENT})\s*"
_WHOLE_OR_SHARE = {"if": {"type": "number", "minimum": 1}, "then": {"type": "integer", "errorMessage": _SOME_SHARE}}
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_ZONE = r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*"

Name = Annotated[str, AfterValidator(_name), written("name", _NAME, _A_NAME)]
DatasetName = Annotated[
    str,
    AfterValidator(_dataset_name),
    written("name", rf"(?!.*{REJECTED}$){_NAME}", f"{_A_NAME}, and does not end {REJECTED}"),
]
NodeName = Annotated[str, AfterValidator(_node_name), written("name", _DOTTED, _A_NAME)]
Duration = Annotated[
    str,
    BeforeValidator(_unit_of_time),
    AfterValidator(_duration),
    written("duration", DURATION, _SOME_TIME, "30s", "10m"),
]
TimeZone = Annotated[
    str,
    AfterValidator(_time_zone),
    written("time zone", _ZONE, "write it like UTC or Europe/Berlin", "Europe/Berlin"),
]
Rows = Annotated[
    str | int,
    AfterValidator(_rows),
    written("rows", rf"\s*(?:{_ROWS}|{_BETWEEN})\s*", _SOME_ROWS, 1000, ">= 1", "10..500", kinds=["integer"]),
]
Freshness = Annotated[
    str,
    AfterValidator(_freshness),
    written("freshness", _FRESHNESS, 'write it like "loaded_at within 2d" (m, h, d, w)', "loaded_at within 2d"),
]
Limit = Annotated[
    str | int | float,
    AfterValidator(_limit),
    written("rows or share", _SHARES, _SOME_SHARE, 100, "5%", kinds=["number"], **_WHOLE_OR_SHARE),
]
Bytes = Annotated[
    str,
    BeforeValidator(_unit_of_size),
    AfterValidator(_size),
    written("size", _SIZE, "write it like 512MB or 2GB", "512MB", "2GB"),
]
DeleteWhen = Annotated[
    str,
    AfterValidator(_condition),
    written("condition", r"\s*[^=\s][^=]*=[\s\S]*\S[\s\S]*", 'write it like "op = D"', "op = D"),
]
Reference = Annotated[
    str,
    AfterValidator(_reference),
    written("module:Name", rf"{_DOTTED}:{_DOTTED}", 'write it like "schemas:Flights"', "schemas:Flights"),
]
