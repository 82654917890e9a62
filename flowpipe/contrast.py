"""How people and scripts see what differs between two states of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from flowpipe import grid, terminal
from flowpipe.difference import Column, Difference
from flowpipe.sides import Compared, Side

_STYLES = {"NULL": "dim"}


def show(compared: Compared) -> None:
    """Print both sides, how much differs, and examples."""
    found = compared.difference
    by = f"by {', '.join(found.key)}" if found.key else "by whole rows"
    terminal.line((compared.name, "bold"), f", {by}")
    terminal.line(f"  old  {compared.old}")
    terminal.line(f"  new  {compared.new}")
    if not found:
        terminal.line(f"no difference: {terminal.rows(found.same)}")
        return
    for column in found.columns:
        terminal.line(*_column(column))
    numbers = [("added", found.added, "green"), ("removed", found.removed, "red"), ("changed", found.changed, "yellow")]
    parts = [(f"{number:,} {what}", style if number else "dim") for what, number, style in numbers]
    terminal.line("rows: ", *(piece for part in parts for piece in (part, ", ")), f"{found.same:,} the same")
    if found.changed_columns:
        told = (f"{grid.cut(name)} ({terminal.rows(number)})" for name, number in found.changed_columns.items())
        terminal.line(f"changed in: {', '.join(told)}")
    _examples("added", found.added_examples, found.added)
    _examples("removed", found.removed_examples, found.removed)
    _changes(found)


def record(compared: Compared) -> Mapping[str, Any]:
    """The same for JSON."""
    found = compared.difference
    kinds = ("added", "removed", "changed", "same")
    return {
        "dataset": compared.name,
        "old": _state(compared.old),
        "new": _state(compared.new),
        "differ": bool(found),
        "key": list(found.key),
        "columns": [
            {"column": each.name, "old": _type(each.old), "new": _type(each.new), "compared": each.compared}
            for each in found.columns
        ],
        "rows": {"old": found.old_rows, "new": found.new_rows, **{kind: getattr(found, kind) for kind in kinds}},
        "changed_columns": found.changed_columns,
        "examples": {
            "added": found.added_examples.to_dicts(),
            "removed": found.removed_examples.to_dicts(),
            "changed": [
                {"key": each.key, "old": _values(each.values, 0), "new": _values(each.values, 1)}
                for each in found.changed_examples
            ],
        },
    }


def _column(column: Column) -> tuple[str | tuple[str, str], ...]:
    name = grid.cut(column.name)
    if column.old is None or column.new is None:
        sign, dtype, style = ("+", column.new, "green") if column.old is None else ("-", column.old, "red")
        return "column: ", (f"{sign} {name} {_type(dtype)}", style)
    note = "" if column.compared else "  (values not compared)"
    return "column: ", (f"~ {name} {_type(column.old)} -> {_type(column.new)}", "yellow"), note


def _examples(what: str, rows: pl.DataFrame, number: int) -> None:
    if rows.height:
        terminal.line()
        terminal.line((f"{what}, {grid.extent(rows, number)}:", "bold"))
        grid.table(rows)


def _changes(found: Difference) -> None:
    if not found.changed_examples:
        return
    terminal.line()
    shown = len(found.changed_examples)
    several = f"first {shown:,} of " if shown < found.changed else ""
    terminal.line((f"changed, {several}{terminal.rows(found.changed)}:", "bold"))
    rows = [
        (*(grid.text(value) for value in each.key.values()), grid.cut(name), grid.text(old), grid.text(new))
        for each in found.changed_examples
        for name, (old, new) in each.values.items()
    ]
    terminal.table((*map(grid.cut, found.key), "COLUMN", "OLD", "NEW"), rows, right=("OLD", "NEW"), styles=_STYLES)


def _state(side: Side) -> Mapping[str, Any]:
    return {"profile": side.profile, "version": side.version, "run": side.run, "at": side.at}


def _type(dtype: pl.DataType | None) -> str | None:
    return None if dtype is None else grid.type_name(dtype)


def _values(values: Mapping[str, tuple[Any, Any]], side: int) -> Mapping[str, Any]:
    return {name: pair[side] for name, pair in values.items()}
