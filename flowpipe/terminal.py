"""How text reaches people: on a terminal by Rich, elsewhere plain, for which no Rich is loaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Any, Literal

COLORS: Mapping[str, str] = {
    "done": "green",
    "run": "green",
    "skipped": "dim",
    "skip": "dim",
    "reused": "dim",
    "failed": "red",
    "crashed": "red",
    "cancelled": "yellow",
}


REUSED = "reused from its checkpoint"


def is_terminal() -> bool:
    """Whether standard output is looked at as it comes."""
    return sys.stdout.isatty()


def line(*parts: str | tuple[str, str]) -> None:
    """Print texts as one line; a tuple is a text and its style."""
    if not is_terminal():
        sys.stdout.write("".join(part if isinstance(part, str) else part[0] for part in parts) + "\n")
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text.assemble(*parts))


def as_json(value: Any) -> str:
    """One line of JSON; a record says its type's name.

    >>> as_json({"a": 1})
    '{"a": 1}'
    """

    def plain(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        return item.isoformat() if isinstance(item, datetime) else str(item)

    if is_dataclass(value) and not isinstance(value, type):
        value = {"record": type(value).__name__, **asdict(value)}
    return json.dumps(value, default=plain, ensure_ascii=False)


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
    styles: Mapping[str, str] = COLORS,
) -> None:
    """Print rows under headings; `styles` are those of cells by their text."""
    if is_terminal():
        _rich_table(headings, rows, right, styles)
        return
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        padded = (
            cell.rjust(width) if heading in right else cell.ljust(width)
            for heading, cell, width in zip(headings, cells, widths, strict=True)
        )
        line("  ".join(padded).rstrip())


def _rich_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str], styles: Mapping[str, str]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        # What a row is named by can be copied from a narrow terminal, too.
        justify: Literal["left", "right"] = "right" if heading in right else "left"
        grid.add_column(heading, justify=justify, overflow="fold", no_wrap=not number)
    for row in rows:
        grid.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    Console(highlight=False).print(grid)


def size(number: float) -> str:
    """Bytes for people.

    >>> size(512), size(2_500_000)
    ('512 B', '2.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def rows(number: int) -> str:
    """Numbers of rows for people.

    >>> rows(1), rows(26966)
    ('1 row', '26,966 rows')
    """
    return "1 row" if number == 1 else f"{number:,} rows"


def seconds(number: float | None) -> str:
    """Durations for people.

    >>> seconds(0.0421), seconds(75), seconds(7300), seconds(None)
    ('42 ms', '1m 15s', '2h 1m', '')
    """
    if number is None:
        return ""
    if number < 1:
        return f"{number * 1000:.0f} ms"
    if number < 60:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes}m {rest}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60}m"


def counted(number: int, what: str) -> str:
    """A number of things for people.

    >>> counted(1, "step"), counted(1200, "step")
    ('1 step', '1,200 steps')
    """
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago something was, for people.

    >>> noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
    >>> [ago(noon.replace(**then), noon) for then in ({}, {"minute": 0, "hour": 11}, {"day": 24, "hour": 11})]
    ['just now', '1 hour ago', '1 day ago']
    >>> ago(noon.replace(hour=13), noon)
    'in the future'
    """
    passed = ((now or datetime.now(UTC)) - moment).total_seconds()
    if passed < -60:
        return "in the future"
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if passed >= length:
            number = int(passed // length)
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "just now"
