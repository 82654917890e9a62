"""Whether two tables are the same, and if not, how they differ in words that stay few for many rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

import polars as pl

from flowpipe.errors import unknown
from flowpipe.testing import tables

_EXACT = 1e-9  # relative: 0.1 + 0.2 is 0.3
_SHOWN = 5  # rows of each kind
_ROW = "\0row"  # no column of a user's is called so
_WIDTH = 32  # characters of a cell

Columns = Sequence[str] | Literal["expected"] | None


def assert_frames_equal(
    actual: Any,
    expected: Any,
    *,
    ordered: bool = False,
    columns: Columns = None,
    key: str | Sequence[str] = (),
    approx: float = _EXACT,
) -> None:
    """Two tables have the same columns, types and rows; the order of columns never counts, that of rows if `ordered`.

    Either may be a frame of Polars, pandas or Arrow, a DuckDB relation, a list of mappings, the path of a CSV or
    Parquet file, or a table that is text (see `table`). What has no types of its own takes those of the other side.

    Args:
        actual: what the pipeline gave.
        expected: what it should have given.
        ordered: whether rows must come in the order of `expected`.
        columns: those to compare; "expected" means those that `expected` has; all if absent.
        key: columns that tell rows apart, so that cells can be told that differ; found by itself if absent.
        approx: how far numbers with a fraction may be apart, as a share of the expected one (below 1: in itself).

    Raises:
        AssertionError: they differ; the message tells rows that are missing or too many, and cells that differ.

    """
    __tracebackhide__ = True
    told = difference(actual, expected, ordered=ordered, columns=columns, key=key, approx=approx)
    if told:
        raise AssertionError(told)


def difference(
    actual: Any,
    expected: Any,
    *,
    ordered: bool = False,
    columns: Columns = None,
    key: str | Sequence[str] = (),
    approx: float = _EXACT,
) -> str:
    """How two tables differ, in lines; no text at all if they do not. See `assert_frames_equal`."""
    have = tables.as_frame(actual)
    want = tables.as_frame(expected, have.schema)
    names = list(want.columns if columns is None or columns == "expected" else columns)
    if not want.columns:
        return f"{_rows(have.height)}, expected none" if have.height else ""
    told = list(_columns(have, want, names, exact=columns is None))
    if told:
        return "\n".join(told)
    have, want = have.select(names), want.select(names)
    if told := list(_types(have, want)):
        return "\n".join(told)
    keys = [key] if isinstance(key, str) else list(key)
    if missing := [name for name in keys if name not in names]:
        return "\n".join(str(unknown("key column", name, names)) for name in missing)
    return "\n".join(_Rows(have, want, keys, approx, ordered=ordered).told())


def _columns(have: pl.DataFrame, want: pl.DataFrame, names: Sequence[str], *, exact: bool) -> Iterator[str]:
    for name in names:
        if name not in have.columns:
            problem = unknown("column", name, have.columns)
            yield str(replace(problem, message=f'column "{name}" is missing'))
        elif name not in want.columns:
            yield f'column "{name}" is to be compared, but nothing is expected of it'
    if exact and (more := [name for name in have.columns if name not in names]):
        yield f"columns that are too many: {', '.join(more)}"


def _types(have: pl.DataFrame, want: pl.DataFrame) -> Iterator[str]:
    for name, dtype in have.schema.items():
        if want.schema[name] != dtype:
            yield f"column {name} is {dtype}, expected {want.schema[name]}"


@dataclass(frozen=True)
class _Rows:
    """Two tables of the same columns and types."""

    have: pl.DataFrame
    want: pl.DataFrame
    key: Sequence[str]
    approx: float
    ordered: bool

    def told(self) -> list[str]:
        if self.ordered:
            return self._in_order()
        if self.key:
            return self._by_key(self.key)
        if self.have.height == self.want.height and self._same(self._sorted(self.have), self._sorted(self.want)):
            return []
        key = self._found_key()
        return self._by_key(key) if key else self._as_sets()

    def _in_order(self) -> list[str]:
        told = replace(self, ordered=False).told()
        if self.have.height != self.want.height or self._same(self.have, self.want):
            return told
        found = self._differing(self.have, self.want)
        bad = found.with_row_index(_ROW).filter(pl.any_horizontal(found.columns))
        first = f"the same rows in another order, from row {bad[_ROW][0] + 1} on"
        summary = _summary(differ=bad.height, have=self.have, want=self.want) if told else first
        rows = bad.head(_SHOWN).iter_rows(named=True)
        return [summary, *(self._cells(f"row {row[_ROW] + 1}", row) for row in rows), *_more(bad.height)]

    def _cells(self, name: str, bad: Mapping[str, Any]) -> str:
        at = bad[_ROW]
        have, want = self.have.row(at, named=True), self.want.row(at, named=True)
        return _differ(name, {column: (have[column], want[column]) for column in have if bad[column]})

    def _by_key(self, key: Sequence[str]) -> list[str]:
        on = list(key)
        for frame, side in ((self.have, "the actual"), (self.want, "the expected")):
            if doubled := frame.height - frame.unique(on).height:
                return [f"the key {', '.join(key)} occurs more than once among {side} rows: {_rows(doubled)} too many"]
        missing = self.want.join(self.have, on=on, how="anti", nulls_equal=True, maintain_order="left")
        extra = self.have.join(self.want, on=on, how="anti", nulls_equal=True, maintain_order="left")
        both = self.want.join(self.have, on=on, how="inner", nulls_equal=True, suffix="\0", maintain_order="left")
        rest = [name for name in self.want.columns if name not in on]
        want, have = both.select(*on, *rest), both.select(*on, *(pl.col(f"{name}\0").alias(name) for name in rest))
        pairs = replace(self, have=have, want=want)
        found = self._differing(have, want)
        bad = found.with_row_index(_ROW).filter(pl.any_horizontal(found.columns))
        if missing.is_empty() and extra.is_empty() and bad.is_empty():
            return []
        told = [_summary(missing.height, extra.height, bad.height, have=self.have, want=self.want)]
        told += [*_listed("missing", missing), *_listed("too many", extra)]
        for row in bad.head(_SHOWN).iter_rows(named=True):
            values = want.row(row[_ROW], named=True)
            told.append(pairs._cells(", ".join(f"{column}={_cell(values[column])}" for column in on), row))
        return [*told, *_more(bad.height)]

    def _as_sets(self) -> list[str]:
        """What is in one and not in the other, each row as often as it is there."""
        names = self.have.columns
        number = pl.int_range(pl.len()).over(names).alias("\0number")
        have, want = (
            frame.select(self._rounded()).with_columns(number).with_row_index(_ROW) for frame in (self.have, self.want)
        )
        on = [*names, "\0number"]
        extra = have.join(want, on=on, how="anti", nulls_equal=True, maintain_order="left")[_ROW]
        missing = want.join(have, on=on, how="anti", nulls_equal=True, maintain_order="left")[_ROW]
        if extra.is_empty() and missing.is_empty():
            return []
        told = [_summary(len(missing), len(extra), have=self.have, want=self.want)]
        return [*told, *_listed("missing", self.want[missing]), *_listed("too many", self.have[extra])]

    def _found_key(self) -> Sequence[str]:
        """The first columns that tell the rows of both sides apart, and that most of them have in common."""
        firm = [name for name, dtype in self.want.schema.items() if not dtype.is_float() and not dtype.is_nested()]
        for key in [*([name] for name in firm), *list(accumulate([name] for name in firm))[1:]]:
            if all(frame.height == frame.select(key).unique().height for frame in (self.have, self.want)):
                shared = self.want.join(self.have, on=key, how="semi", nulls_equal=True).height
                return key if 2 * shared >= min(self.have.height, self.want.height) else ()
        return ()

    def _same(self, have: pl.DataFrame, want: pl.DataFrame) -> bool:
        found = self._differing(have, want)
        return not found.select(pl.any_horizontal(pl.all().any())).item() if found.width and found.height else True

    def _sorted(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows in an order that fractions which are nearly the same change last."""
        order = sorted(frame.columns, key=lambda name: (frame.schema[name].is_float(), name))
        return frame.sort(order, nulls_last=True) if order else frame

    def _differing(self, have: pl.DataFrame, want: pl.DataFrame) -> pl.DataFrame:
        """Which cells of two tables in the same order differ."""
        return pl.DataFrame([self._cell_differs(have[name], want[name]) for name in want.columns])

    def _cell_differs(self, have: pl.Series, want: pl.Series) -> pl.Series:
        same = have.eq_missing(want)
        if have.dtype.is_float():
            bound = want.abs().clip(lower_bound=1.0) * self.approx
            same |= ((have - want).abs() <= bound).fill_null(value=False) & want.is_finite().fill_null(value=False)
        return ~same

    def _rounded(self) -> list[pl.Expr]:
        # What is the same in so many digits is near enough.
        digits = max(1, 1 - math.floor(math.log10(self.approx)))
        return [
            pl.col(name).round_sig_figs(digits) if dtype.is_float() else pl.col(name)
            for name, dtype in self.have.schema.items()
        ]


def _summary(missing: int = 0, extra: int = 0, differ: int = 0, *, have: pl.DataFrame, want: pl.DataFrame) -> str:
    parts = [
        *([f"{_rows(missing)} missing"] if missing else []),
        *([f"{_rows(extra)} too many"] if extra else []),
        *([f"{_rows(differ)} with other values"] if differ else []),
    ]
    return f"{', '.join(parts)}; {_rows(have.height)}, expected {want.height:,}"


def _listed(what: str, rows: pl.DataFrame) -> Iterator[str]:
    if rows.is_empty():
        return
    cells = [rows.columns, *([_cell(value) for value in row] for row in rows.head(_SHOWN).iter_rows())]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    yield f"{what}:"
    for line in cells:
        yield "  " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    yield from _more(rows.height)


def _differ(name: str, cells: Mapping[str, tuple[Any, Any]]) -> str:
    told = ", ".join(f"{column} is {_cell(a)}, expected {_cell(b)}" for column, (a, b) in list(cells.items())[:_SHOWN])
    more = f", and {len(cells) - _SHOWN} more columns" if len(cells) > _SHOWN else ""
    return f"{name}: {told}{more}"


def _more(number: int) -> list[str]:
    return [f"  and {number - _SHOWN:,} more"] if number > _SHOWN else []


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    text = '""' if value == "" else " ".join(str(value).split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
