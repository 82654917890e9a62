"""Which paths are a dataset's slices, and what is wrong with a dataset that has none or the same for two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

from flowpipe import partition
from flowpipe.adapters import Dataset
from flowpipe.adapters.files import formats
from flowpipe.adapters.files.folder import is_glob
from flowpipe.adapters.files.formats import Format
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import unknown
from flowpipe.partition import Slice, Window

Finding = tuple[tuple[str, ...], str, str | None]


def template(dataset: Dataset) -> str:
    """The path of its files; a folder gets one file per slice, named by its key."""
    path, form = dataset.config.path or "", formats.by_name(dataset.config.format or "")
    return f"{path}{{partition}}.{form.endings[0]}" if form and path.endswith("/") else path


def format_of(dataset: Dataset) -> Format:
    """The format of a dataset that was checked."""
    config = dataset.config
    form = formats.by_name(config.format) if config.format else formats.by_ending(config.path or "")
    assert form is not None
    return form


def path_of(dataset: Dataset, part: Slice) -> str:
    """The path of one slice; a key is made safe as a file's name."""
    safe = replace(part, key=quote(part.key, safe="")) if part.kind == "key" else part
    return partition.render(template(dataset), safe)


def windows(dataset: Dataset, window: Window) -> list[Window]:
    """The dataset's own windows that a window of another grain or time zone touches."""
    config = dataset.config.partition
    return partition.within(window, config.every, config.timezone) if config else [window]


def holds_more(dataset: Dataset, window: Window) -> bool:
    """Whether the files of a window may hold rows of other windows too."""
    own = windows(dataset, window)
    fits = (own[0].start, own[-1].end) == (window.start, window.end)
    return not (fits and partition.has_placeholder(template(dataset)))


def check(dataset: Dataset, *, written: bool) -> Iterator[Finding]:
    """What is wrong with a dataset's configuration in a store of files."""
    config = dataset.config
    for name in ("table", "query", "partition_by"):
        if getattr(config, name):
            yield (name,), f'a dataset in a files store has no "{name}"', "write `path:`, below the store's url"
    if not config.path:
        yield (), "a dataset in a files store needs a path", "path: airlines.csv"
        return
    form = formats.by_name(config.format) if config.format else formats.by_ending(config.path)
    if form is None:
        yield _no_format(config.format, config.path)
        return
    for path, problem in form.problems(config.options, written=written):
        yield path, problem.message, problem.hint
    if config.partition and not (partition.has_placeholder(template(dataset)) or config.partition.column):
        hint = "write {partition:%Y-%m} into the path, or name the `column:` that tells a row's window"
        yield ("partition",), "neither the path nor a column tells a row's window", hint
    if written:
        yield from _check_written(dataset, form)


def _check_written(dataset: Dataset, form: Format) -> Iterator[Finding]:
    config, path = dataset.config, template(dataset)
    if form.writer is None:
        yield ("format",), f"{form.name} is only read", "write csv or parquet"
    if is_glob(path):
        yield ("path",), f'"{config.path}" is a glob, which names no one file to write', "write one path"
    yield from _check_ways(config, placed=(placed := partition.has_placeholder(path)))
    if placed and config.partition is None:
        yield ("path",), "the path names a partition, the dataset has none", "write `partition: {every: month}`"
    elif placed and config.partition and not partition.is_injective(path, config.partition.every):
        example = partition.KEY_FORMAT[config.partition.every]
        message = f'"{config.path}" gives the same file to different windows'
        yield ("path",), message, f"write {{partition:{example}}} into it"


def _check_ways(config: DatasetConfig, *, placed: bool) -> Iterator[Finding]:
    """Which ways of writing make no sense where every slice is a file that is replaced whole."""
    tables = "a delta, duckdb or postgres store"
    if config.mode == "merge":
        hint = f"use `mode: replace` with a partition, or {tables}"
        yield ("mode",), "files are replaced whole, so rows cannot be merged into them", hint
    elif config.mode == "snapshot":
        yield ("mode",), "files are replaced whole, so they keep no versions of their rows", f"use {tables}"
    elif config.mode == "append" and not placed:
        hint = 'end the path in "/" and write `format:`, or write {partition} into it'
        yield ("mode",), "nothing can be appended to one file; append adds one file per slice", hint
    elif config.mode == "replace" and not placed:
        yield ("path",), "`mode: replace` needs one file per window", "write {partition:%Y-%m} into the path"
    if config.schema_change == "add" and not placed:
        hint = "use `schema_change: replace`, or one file per window"
        yield ("schema_change",), "one file is replaced whole, so no column is added to those that are there", hint
    if config.swap:
        yield ("swap",), "a file always takes the place of the old one", "remove it"
    if config.after_publish:
        yield ("after_publish",), "a store of files runs no SQL", f"remove it, or use {tables}"


def _no_format(name: str | None, path: str) -> Finding:
    if name is None:
        return ("path",), f'the ending of "{path}" tells no format', "write `format: parquet`, or another ending"
    problem = unknown("format", name, formats.names())
    return ("format",), problem.message, problem.hint
