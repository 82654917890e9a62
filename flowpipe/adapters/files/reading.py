"""How the files of one dataset become one frame: with the types they were published with, and cut to a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import polars as pl

from flowpipe.adapters import Dataset
from flowpipe.adapters.files import layout
from flowpipe.errors import DataError
from flowpipe.frames import in_window
from flowpipe.partition import Slice

Schema = Mapping[str, pl.DataType] | None
# With these, people say themselves which columns a text file has.
_OWN_COLUMNS = {"schema", "schema_overrides", "new_columns", "infer_schema", "infer_schema_length", "columns"}
_TOGETHER: Mapping[bool, Literal["diagonal", "diagonal_relaxed"]] = {False: "diagonal", True: "diagonal_relaxed"}


def scan(
    dataset: Dataset,
    paths: Sequence[str],
    published: Sequence[Schema],
    guessed: Callable[[], Schema],
    storage: Mapping[str, str] | None,
) -> pl.LazyFrame:
    """The rows of all files; `published` are the columns of those that are as flowpipe left them.

    Raises:
        DataError: the format's library is not installed.
    """
    form, config = layout.format_of(dataset), dataset.config
    told = not _OWN_COLUMNS.isdisjoint(config.options)
    schemas: Sequence[Schema] = [None for _ in paths] if told else published
    try:
        # Older windows lack the columns that were added later.
        if len(paths) > 1 and (config.schema_change == "add" or form.of_several_kinds):
            frames = [
                form.scan([path], config.options, schema or form.guess([path], config.options, storage), storage)
                for path, schema in zip(paths, schemas, strict=True)
            ]
            return pl.concat(frames, how=_TOGETHER[form.untyped])
        known = schemas[0]
        same = known is not None and all(schema and list(schema.items()) == list(known.items()) for schema in schemas)
        return form.scan(paths, config.options, known if same else guessed(), storage)
    except ModuleNotFoundError as error:
        raise DataError(f"{dataset.name} needs a library: {error}", hint="pip install fastexcel") from error


def within_window(frame: pl.LazyFrame, dataset: Dataset, part: Slice) -> pl.LazyFrame:
    """Cut a frame to its window, where its files may hold more than that and a column tells.

    Raises:
        DataError: no column tells a row's window.
    """
    config, window = dataset.config.partition, part.window
    if window is None or config is None or config.column is None or not layout.holds_more(dataset, window):
        return frame
    dtype = frame.collect_schema().get(config.column)
    if dtype is None:
        raise DataError(f'there is no partition column "{config.column}" in {dataset.name}')
    try:
        return frame.filter(in_window(config.column, dtype, window))
    except TypeError as error:
        hint = "text holds no dates: set `options: {try_parse_dates: true}` or `schema_overrides:`"
        raise DataError(f"{dataset.name}: {error}", hint=hint) from error


def fault(
    dataset: Dataset, shown: Sequence[str], paths: Sequence[str], storage: Mapping[str, str] | None
) -> str | None:
    """The first file that cannot be read through, or has other columns than the first one, and why."""
    form, options = layout.format_of(dataset), dataset.config.options
    first: Schema = None
    for name, path in zip(shown, paths, strict=True):
        try:
            frame = form.scan([path], options, form.guess([path], options, storage), storage)
            own = frame.collect_schema()
            for _ in frame.collect_batches(maintain_order=False):
                pass
        except OSError as error:
            return f"{name}: {str(error).partition(' (os error')[0]}"
        except (ValueError, pl.exceptions.PolarsError) as error:
            return f"{name}: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        first = own if first is None else first
        if dataset.config.schema_change != "add" and (told := _differences(first, own, typed=not form.untyped)):
            return f"{name} is not like {shown[0]}: {', '.join(told)}"
    return None


def _differences(first: Mapping[str, pl.DataType], own: Mapping[str, pl.DataType], *, typed: bool) -> list[str]:
    """How the columns of a file differ from those of the first one."""
    told = [f"column {name} is missing" for name in first if name not in own]
    told += [f"column {name} is new" for name in own if name not in first]
    both = [name for name in own if typed and name in first]
    return told + [f"column {name} is {own[name]}, not {first[name]}" for name in both if own[name] != first[name]]
