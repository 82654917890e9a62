"""What people and scripts see of a node's value: a frame's first rows as a table that fits, all else by its `repr`."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe import terminal
from flowpipe.frames import kind_of, to_lazy
from flowpipe.preview import Shown

_LONGEST_CELL = 40
_LONGEST_REPR = 2000
_GAP = 2


def show(shown: Shown, redact: Callable[[str], str]) -> None:
    """Print a value under a line that says what it is."""
    source = shown.pipeline if shown.slice.kind == "whole" else f"{shown.pipeline} {shown.slice}"
    if kind_of(type(shown.value)) is None:
        terminal.line((f"{shown.node}: {shown.type}", "bold"), f"  ({source})")
        terminal.line(_cut(redact(repr(shown.value)), _LONGEST_REPR))
        return
    frame = _frame(shown.value)
    terminal.line((f"{shown.node}: {shown.type}, {_extent(frame, shown.rows)}", "bold"), f"  ({source})")
    if frame.width:
        _table(frame)


def record(shown: Shown, redact: Callable[[str], str]) -> Mapping[str, Any]:
    """A value for JSON: frames as records."""
    window = None if shown.slice.kind == "whole" else str(shown.slice)
    head = {"pipeline": shown.pipeline, "partition": window, "node": shown.node, "type": shown.type}
    if kind_of(type(shown.value)) is None:
        plain = isinstance(shown.value, int | float | None)
        text = shown.value if isinstance(shown.value, str) else repr(shown.value)
        return {**head, "value": _plain(shown.value) if plain else redact(text)}
    rows = [_plain(row) for row in _frame(shown.value).iter_rows(named=True)]
    return {**head, "total": shown.rows, "rows": rows}


def _frame(value: Any) -> pl.DataFrame:
    return to_lazy(value, Path()).collect()  # it is in memory: nothing is spooled


def _extent(frame: pl.DataFrame, rows: int | None) -> str:
    shown = terminal.rows(frame.height)
    if rows is None:
        shown = f"first {shown}"
    elif rows > frame.height:
        shown = f"first {frame.height:,} of {terminal.rows(rows)}"
    return f"{shown} x {frame.width} column{'' if frame.width == 1 else 's'}"


def _table(frame: pl.DataFrame) -> None:
    """As many columns as fit, with their types; the others are named below."""
    columns = [[_cut(name), _type(dtype), *_cells(frame[name])] for name, dtype in frame.schema.items()]
    width = shutil.get_terminal_size((0, 0)).columns
    fitting = _fitting([max(map(len, column)) for column in columns], width)
    headings, *rows = zip(*columns[:fitting], strict=True)
    right = [heading for heading, dtype in zip(headings, frame.dtypes, strict=False) if dtype.is_numeric()]
    styles = {"NULL": "dim", **dict.fromkeys(rows[0], "dim")}
    terminal.table(headings, rows, right=right, styles=styles)
    if left := frame.columns[fitting:]:
        text = f"{len(left)} more column{'' if len(left) == 1 else 's'}: {', '.join(left)}"
        for line in textwrap.wrap(text, width, subsequent_indent="  "):
            terminal.line((line, "dim"))


def _fitting(widths: list[int], width: int) -> int:
    """How many columns fit beside one another, at least one; nothing is too wide for a pipe, which has no width."""
    if not width:
        return len(widths)
    ends = accumulate(widths, lambda end, own: end + _GAP + own)
    return max(1, sum(end <= width for end in ends))


def _cells(column: pl.Series) -> Iterator[str]:
    return (_cut(_text(value)) for value in column.to_list())


def _text(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and (value == 0 or 1e-4 <= abs(value) < 1e15):
        whole, _, digits = f"{value:.6f}".partition(".")
        return f"{whole}.{digits.rstrip('0') or '0'}"
    return str(value)


def _type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        zone = f", {dtype.time_zone}" if dtype.time_zone else ""
        return f"Datetime[{dtype.time_unit}{zone}]"
    return _cut(str(dtype))


def _cut(text: str, longest: int = _LONGEST_CELL) -> str:
    """A text that is not too long and does nothing to a terminal."""
    if longest == _LONGEST_CELL and not text.isprintable():
        text = repr(text)[1:-1]
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _plain(value: Any) -> Any:
    """A value without the numbers that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list) else value
