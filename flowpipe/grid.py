"""A frame as people see it on a screen: as many columns as fit, short cells, nothing that does harm to a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import polars as pl

from flowpipe import terminal

_LONGEST_CELL = 40
_GAP = 2


def extent(frame: pl.DataFrame, rows: int | None) -> str:
    """How much of `rows` a frame is; None: nobody knows how many there are.

    >>> extent(pl.DataFrame({"a": [1]}), 7), extent(pl.DataFrame({"a": [1, 2]}), None)
    ('first 1 of 7 rows x 1 column', 'first 2 rows x 1 column')
    """
    shown = terminal.rows(frame.height)
    if rows is None:
        shown = f"first {shown}"
    elif rows > frame.height:
        shown = f"first {frame.height:,} of {terminal.rows(rows)}"
    return f"{shown} x {frame.width} column{'' if frame.width == 1 else 's'}"


def table(frame: pl.DataFrame) -> None:
    """Print as many columns as fit, with their types; the others are named below."""
    if not frame.width:
        return
    columns = [[cut(name), type_name(dtype), *_cells(frame[name])] for name, dtype in frame.schema.items()]
    width = shutil.get_terminal_size((0, 0)).columns
    fitting = _fitting([max(map(len, column)) for column in columns], width)
    headings, *rows = zip(*columns[:fitting], strict=True)
    right = [heading for heading, dtype in zip(headings, frame.dtypes, strict=False) if dtype.is_numeric()]
    styles = {"NULL": "dim", **dict.fromkeys(rows[0], "dim")}
    terminal.table(headings, rows, right=right, styles=styles)
    if left_out := [column[0] for column in columns[fitting:]]:
        _left_out(left_out, width)


def text(value: Any) -> str:
    r"""A value in one short line.

    >>> text(None), text(True), text(0.5000000001), text("a\x1b[31m")
    ('NULL', 'true', '0.5', 'a\\x1b[31m')
    """
    return cut(_written(value))


def cut(text: str, longest: int = _LONGEST_CELL) -> str:
    """A text that is not too long and does nothing to a terminal."""
    if longest == _LONGEST_CELL and not text.isprintable():
        text = repr(text)[1:-1]
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def type_name(dtype: pl.DataType) -> str:
    """A type as it is written above its column.

    >>> type_name(pl.Datetime("us", "UTC")), type_name(pl.Int64())
    ('Datetime[us, UTC]', 'Int64')
    """
    if isinstance(dtype, pl.Datetime):
        zone = f", {dtype.time_zone}" if dtype.time_zone else ""
        return f"Datetime[{dtype.time_unit}{zone}]"
    if isinstance(dtype, pl.Decimal):
        return f"Decimal[{dtype.precision}, {dtype.scale}]"
    return cut(str(dtype))


def _left_out(names: Sequence[str], width: int) -> None:
    told = f"{len(names)} more column{'' if len(names) == 1 else 's'}: {', '.join(names)}"
    for line in textwrap.wrap(told, width, subsequent_indent="  "):
        terminal.line((line, "dim"))


def _fitting(widths: list[int], width: int) -> int:
    """How many columns fit beside one another, at least one; nothing is too wide for a pipe, which has no width."""
    if not width:
        return len(widths)
    ends = accumulate(widths, lambda end, own: end + _GAP + own)
    return max(1, sum(end <= width for end in ends))


def _cells(column: pl.Series) -> Iterator[str]:
    return (text(value) for value in column.to_list())


def _written(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and (value == 0 or 1e-4 <= abs(value) < 1e15):
        whole, _, digits = f"{value:.6f}".partition(".")
        return f"{whole}.{digits.rstrip('0') or '0'}"
    return str(value)
