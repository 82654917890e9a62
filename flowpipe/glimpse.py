"""What people and scripts see of a node's value: a frame's first rows as a table that fits, all else by its `repr`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe import grid, terminal
from flowpipe.frames import kind_of, to_lazy
from flowpipe.preview import Shown

_LONGEST_REPR = 2000


def show(shown: Shown, redact: Callable[[str], str]) -> None:
    """Print a value under a line that says what it is."""
    source = shown.pipeline if shown.slice.kind == "whole" else f"{shown.pipeline} {shown.slice}"
    if kind_of(type(shown.value)) is None:
        terminal.line((f"{shown.node}: {shown.type}", "bold"), f"  ({source})")
        terminal.line(grid.cut(redact(repr(shown.value)), _LONGEST_REPR))
        return
    frame = _frame(shown.value)
    terminal.line((f"{shown.node}: {shown.type}, {grid.extent(frame, shown.rows)}", "bold"), f"  ({source})")
    grid.table(frame)


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


def _plain(value: Any) -> Any:
    """A value without the numbers that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list) else value
