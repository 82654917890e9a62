"""How rows leave: batch by batch as text, or as Parquet, to standard output or into a file that appears when whole."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from uuid import uuid4

import polars as pl

from flowpipe import terminal
from flowpipe.errors import FlowpipeError, UsageError
from flowpipe.stop import interruptibly

Format = Literal["csv", "json", "ndjson", "parquet"]
_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
}


def format_of(path: Path) -> Format:
    """The format that a file's name asks for.

    Raises:
        UsageError: none is known by its ending.

    >>> format_of(Path("out/flights.csv"))
    'csv'
    """
    if path.suffix.lower() in _ENDINGS:
        return _ENDINGS[path.suffix.lower()]
    raise UsageError(
        f"--output {path}: its ending names no format", hint=f"give --format, or end it {', '.join(_ENDINGS)}"
    )


def pour(frame: pl.LazyFrame, form: Format, output: Path | None) -> None:
    """Write all rows; a reader of standard output that has seen enough ends it.

    Raises:
        UsageError: Parquet would go to a terminal.
        FlowpipeError: the file cannot be written.
    """
    if output is not None:
        _into(output, frame, form)
    elif form == "parquet":
        _binary(frame)
    else:
        with suppress(BrokenPipeError):
            for text in _texts(frame, form):
                sys.stdout.write(_harmless(text) if terminal.is_terminal() else text)
            sys.stdout.flush()


def _into(output: Path, frame: pl.LazyFrame, form: Format) -> None:
    beside = output.with_name(f".{output.name}.{uuid4().hex[:8]}")
    try:
        try:
            if form == "parquet":
                beside.touch()
                interruptibly(lambda: frame.sink_parquet(beside))
            else:
                with beside.open("w", encoding="utf-8", newline="") as file:
                    file.writelines(_texts(frame, form))
            beside.replace(output)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        if error.filename is None:
            raise  # of the rows: they cannot be read
        raise FlowpipeError(
            f"{output} cannot be written: {error.strerror}", hint="see its folder and the disk"
        ) from error


def _binary(frame: pl.LazyFrame) -> None:
    if terminal.is_terminal():
        hint = "name a file, --output FILE.parquet, or write into a pipe"
        raise UsageError("Parquet is binary, and this is a terminal", hint=hint)
    with TemporaryDirectory(prefix="flowpipe-") as folder, suppress(BrokenPipeError):
        file = Path(folder) / "rows.parquet"
        interruptibly(lambda: frame.sink_parquet(file))
        with file.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _texts(frame: pl.LazyFrame, form: Format) -> Iterator[str]:
    """The rows as text, in pieces; JSON is one array, a row a line."""
    schema = frame.collect_schema()
    frame = frame.with_columns(_written(name, dtype, form) for name, dtype in schema.items())
    if form == "csv":
        yield frame.head(0).collect().write_csv()
    begun = False
    batches = iter(frame.collect_batches(lazy=True) if len(schema) else ())
    while (batch := interruptibly(lambda: next(batches, None))) is not None:
        if batch.is_empty():
            continue
        if form == "csv":
            yield batch.write_csv(include_header=False)
            continue
        lines = batch.write_ndjson()
        if form == "ndjson":
            yield lines
            continue
        yield (",\n" if begun else "[\n") + lines.removesuffix("\n").replace("\n", ",\n")
        begun = True
    if form == "json":
        yield "\n]\n" if begun else "[]\n"


def _written(name: str, dtype: pl.DataType, form: Format) -> pl.Expr:
    """A column as its text form takes it, where that is not as it is."""
    column = pl.col(name)
    match dtype:
        case pl.Binary():
            return column.bin.encode("base64")
        case pl.Datetime() if form != "csv":
            return column.dt.to_string("iso:strict")
        case pl.Duration():
            return column.dt.to_string("iso")
        case pl.Decimal(scale=0) if form != "csv":
            return column.cast(pl.Int128)  # sums of whole numbers, as SQL gives them
        case pl.Struct() | pl.List() | pl.Array() if form == "csv":
            return column.map_batches(_as_json, pl.String)
    return column


def _as_json(nested: pl.Series) -> pl.Series:
    """Nested values as CSV has them: JSON in a cell."""
    return pl.Series(
        nested.name, [None if each is None else terminal.as_json(each) for each in nested.to_list()], pl.String
    )


def _harmless(text: str) -> str:
    r"""A text that does nothing to a terminal but begin lines.

    >>> _harmless("a\x1b[31m\n")
    'a\\x1b[31m\n'
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text)
