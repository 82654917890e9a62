"""Tables as tests write them: text with `|` or commas, lists of mappings, files, any frame; as Polars frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Any

import polars as pl

from flowpipe.errors import UsageError, unknown
from flowpipe.frames import collected, kind_of, to_lazy

_TYPES: dict[str, pl.DataType] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "text": pl.String(),
    "str": pl.String(),
    "bool": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
    "instant": pl.Datetime("us", "UTC"),
    "time": pl.Time(),
    **{name: getattr(pl, name)() for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32")},
    **{name: getattr(pl, name)() for name in ("UInt64", "Float32", "Float64", "String", "Boolean", "Date", "Time")},
}
_HEADING = re.compile(r"(?P<name>.+):(?P<type>\w+)")
_RULE = re.compile(r"[\s|:-]*-[\s|:-]*")
# A quoted cell is left as it is; elsewhere the space around a separator means nothing.
_SEPARATORS = {"|": re.compile(r'("(?:[^"]|"")*")|\s*(\|)\s*'), ",": re.compile(r'("(?:[^"]|"")*")|\s*(,)\s*')}


@dataclass(frozen=True)
class Text:
    """A table written as text: every cell as it stands there, and the types that its headings give."""

    cells: pl.DataFrame
    types: Mapping[str, pl.DataType]

    def frame(self, like: Mapping[str, pl.DataType] | None = None) -> pl.DataFrame:
        """The rows; a column without a type has that of `like` where it fits, or what all its cells are.

        Raises:
            UsageError: a cell is not of the type in its heading.
        """
        guessed = pl.read_csv(
            StringIO(self.cells.write_csv()), try_parse_dates=True, infer_schema_length=None, raise_if_empty=False
        )
        columns = []
        for name in self.cells.columns:
            cells, soft = self.cells[name], (like or {}).get(name)
            if name in self.types:
                columns.append(_column(cells, guessed[name], self.types[name]))
                continue
            with suppress(UsageError):
                columns.append(guessed[name] if soft is None else _column(cells, guessed[name], soft))
                continue
            columns.append(guessed[name])
        return pl.DataFrame(columns)


def table(text: str) -> pl.DataFrame:
    """A table in a test's own text, its cells between `|` or commas.

    An empty cell and NULL are null, `""` is a text without characters. Types are those of the cells, or of headings:
    `id:int`, `code:text`, also `float`, `bool`, `date`, `datetime`, `instant` (UTC), `time`, and Polars' as `Int32`.

    Raises:
        UsageError: a line has another number of cells, or a cell is not of its type.

    >>> table('''
    ...     id | amount | code:text | day
    ...     1  | 10.5   | 007       | 2024-01-31
    ...     2  |        | ""        | NULL
    ... ''').rows()
    [(1, 10.5, '007', datetime.date(2024, 1, 31)), (2, None, '', None)]
    """
    return parse(text).frame()


def parse(text: str) -> Text:
    """The cells of a table that is written as text; see `table`.

    Raises:
        UsageError: it is none.
    """
    lines = [line.strip() for line in dedent(text).splitlines() if line.strip()]
    if not lines:
        raise UsageError("a table needs a line of headings", hint="write it like: id | amount")
    separator = "|" if "|" in lines[0] else ","
    framed = separator == "|" and lines[0].startswith("|") and lines[0].endswith("|")
    if separator == "|" and len(lines) > 1 and _RULE.fullmatch(lines[1]):
        del lines[1]
    told = [_tightened(line, separator, framed=framed) for line in lines]
    width = told[0][1]
    for line, (_, cells) in zip(lines, told, strict=True):
        if cells != width:
            raise UsageError(
                f"a line of a table has {_counted(cells)}, its headings are {width}: {line}",
                hint='write NULL for a cell without a value, and quote a text that holds a separator: "a|b"',
            )
    source = StringIO("\n".join(line for line, _ in told))
    names = [name.rpartition(":")[0] or name for name in told[0][0].split(separator)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f'a table has the heading "{twice}" twice', hint="name each column once")
    found = pl.read_csv(source, separator=separator, infer_schema=False, null_values=["NULL", "null"])
    typed = {name: match for name in found.columns if (match := _HEADING.fullmatch(name))}
    return Text(
        found.rename({name: match["name"].strip() for name, match in typed.items()}),
        {match["name"].strip(): _type(match["type"]) for match in typed.values()},
    )


def as_frame(value: Any, like: Mapping[str, pl.DataType] | None = None) -> pl.DataFrame:
    """What a test gives as rows: text, mappings, the path of a CSV or Parquet file, or a frame of any library.

    `like` are the types that columns should have, for rows that have none of their own.

    Raises:
        UsageError: it is none of them, or a text is no table.
    """
    if isinstance(value, str):
        return parse(value).frame(like)
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, Sequence) and all(isinstance(row, Mapping) for row in value):
        return _alike(pl.DataFrame(list(value), infer_schema_length=None), like or {})
    if kind_of(type(value)) is None:
        raise UsageError(
            f"{type(value).__name__} is no table",
            hint="give text, a list of mappings, a path, or a Polars, pandas or Arrow frame",
        )
    with TemporaryDirectory() as spool:
        return collected(to_lazy(value, Path(spool)))


def _file(path: Path) -> pl.DataFrame:
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {".csv": _csv, ".parquet": pl.read_parquet}
    if path.suffix not in readers:
        problem = unknown("ending of a table's file:", path.suffix, readers)
        raise UsageError(problem.message, hint=problem.hint)
    if not path.is_file():
        raise UsageError(f"there is no file {path}", hint="a path is relative to the file of the test")
    return readers[path.suffix](path)


def _csv(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)


def dated(frame: pl.DataFrame, like: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The same with texts that are all dates, or all times, as such, unless texts are wanted: YAML has no dates."""
    texts = frame.select(n for n, dtype in frame.schema.items() if dtype == pl.String and like.get(n) != pl.String)
    if texts.is_empty():
        return frame
    guessed = pl.read_csv(StringIO(texts.write_csv()), try_parse_dates=True, infer_schema_length=None)
    return frame.with_columns(column for column in guessed if column.dtype.is_temporal())


def _alike(rows: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Rows of Python's values in the types of a table, where no value is lost."""
    for column in rows:
        dtype = schema.get(column.name, column.dtype)
        if column.dtype != dtype and ((dtype.is_numeric() and column.dtype.is_numeric()) or column.dtype == pl.Null):
            cast = column.cast(dtype, strict=False)
            if cast.cast(column.dtype, strict=False).eq_missing(column).all():
                rows = rows.with_columns(cast)
    return rows


def _tightened(line: str, separator: str, *, framed: bool) -> tuple[str, int]:
    """A line without the space around its cells, and how many they are."""
    if framed:
        line = line.removeprefix("|").removesuffix("|").strip()
    found = 1

    def cell(match: re.Match[str]) -> str:
        nonlocal found
        found += match[2] is not None
        return match[1] or separator

    return _SEPARATORS[separator].sub(cell, line), found


def _counted(cells: int) -> str:
    return "1 cell" if cells == 1 else f"{cells} cells"


def _type(name: str) -> pl.DataType:
    if name not in _TYPES:
        problem = unknown("type of a column:", name, _TYPES)
        raise UsageError(problem.message, hint=problem.hint)
    return _TYPES[name]


def _column(cells: pl.Series, guessed: pl.Series, dtype: pl.DataType) -> pl.Series:
    """One column as a type; `guessed` is what all of its cells are.

    Raises:
        UsageError: a cell is not of the type.
    """
    if guessed.null_count() == len(guessed):
        return pl.Series(cells.name, [None] * len(cells), dtype)
    try:
        if dtype.is_nested():
            return cells.str.json_decode(dtype)
        if isinstance(dtype, pl.Datetime) and isinstance(guessed.dtype, pl.Datetime) and not guessed.dtype.time_zone:
            return guessed.dt.cast_time_unit(dtype.time_unit).dt.replace_time_zone(dtype.time_zone)
        if guessed.dtype == pl.Boolean or (dtype.is_temporal() and guessed.dtype.is_temporal()):
            return guessed.cast(dtype, strict=True)
        return cells.cast(dtype, strict=True)
    except pl.exceptions.PolarsError:
        wrong = next((cell for cell in cells if cell is not None and _fails(cell, dtype)), cells.drop_nulls()[0])
        raise UsageError(f'column {cells.name}: "{wrong}" is not {dtype}', hint="mend the cell, or the type") from None


def _fails(cell: str, dtype: pl.DataType) -> bool:
    """Whether a cell alone is not of a type."""
    alone = pl.Series("", [cell])
    guessed = pl.read_csv(StringIO(alone.to_frame().write_csv()), try_parse_dates=True).to_series()
    try:
        (guessed if dtype.is_temporal() or dtype == pl.Boolean else alone).cast(dtype, strict=True)
    except pl.exceptions.PolarsError:
        return True
    return guessed.dtype.is_temporal() != dtype.is_temporal() and dtype != pl.String
