"""What a Delta store needs of a dataset's configuration; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from flowpipe.adapters import Dataset
from flowpipe.datasets import DatasetConfig
from flowpipe.objectstore import is_remote

PLAIN = "ASCII letters, digits and _ - . ~ /"
Finding = tuple[tuple[str, ...], str, str | None]


def findings(dataset: Dataset, url: str, *, written: bool) -> Iterator[Finding]:
    """What is wrong with a dataset of the store at this url."""
    config = dataset.config
    if config.table is None:
        yield (), f'"{dataset.name}" is in a Delta store and has no table', "write `table: NAME`"
    elif not _is_below(config.table):
        yield ("table",), f'"{config.table}" is not a folder below the store\'s url', "write it like `daily/delays`"
    elif is_remote(url) and not is_plain(config.table):
        yield ("table",), f'delta-rs quotes what "{config.table}" holds, and Polars does not', f"use only {PLAIN}"
    for name in ("path", "query", "format", "options"):
        if getattr(config, name):
            yield (name,), f"a Delta table has no {name}", "remove it"
    if config.partition is not None and config.partition.column is None:
        yield ("partition",), "a Delta table needs the column that tells a row's window", "add `column: NAME`"
    if written:
        yield from _of_writing(config)


def _of_writing(config: DatasetConfig) -> Iterator[Finding]:
    if config.swap:
        yield ("swap",), "an overwrite of a Delta table is one commit already", "remove it"
    if config.after_publish:
        yield ("after_publish",), "a Delta store runs no SQL", "remove it, or use a duckdb or postgres store"
    if config.mode == "replace" and config.partition is None:
        yield ("mode",), "replace needs a partition", "add `partition: {column: NAME, every: month}`"
    if config.mode == "merge" and not config.key:
        yield ("mode",), "merge needs a key", "add `key: [NAME]`"


def is_plain(path: str) -> bool:
    """Whether an object's path is the same however a library quotes it."""
    return quote(path, safe="/@") == path


def _is_below(table: str) -> bool:
    parts = table.split("/")
    return "://" not in table and not any(part in ("", ".", "..") for part in parts)
