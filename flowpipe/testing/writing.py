"""How a test's rows come into a dataset: cut into its windows, staged and published by its adapter, unaudited."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe import fingerprint, partition
from flowpipe.adapters import Dataset, Publication, State
from flowpipe.errors import ConfigError, Problem, UsageError
from flowpipe.ledger import new_run_id
from flowpipe.partition import KEY_FORMAT, WHOLE, Slice
from flowpipe.project import Project
from flowpipe.sinks import Sink, run_plans

_GLOBS = str.maketrans({"*": "given", "?": "0", "[": "", "]": ""})


def write(project: Project, dataset: Dataset, rows: pl.DataFrame, window: str | None, scratch: Path) -> None:
    """Put rows in the place of those that are there, or of those of their windows.

    Raises:
        ConfigError: the dataset cannot be written, whatever the rows.
        UsageError: the rows do not tell their windows.
    """
    if not rows.columns:
        hint = "for no rows, write the headings alone: id | amount"
        raise UsageError(f"dataset {dataset.name}: rows without columns", hint=hint)
    whole = _taking_rows(project, dataset)
    for part, frame in _slices(whole, rows, window):
        _publish(project, whole, part, frame, scratch)


def window_of(dataset: Dataset, text: str) -> Slice:
    """A window of a dataset.

    Raises:
        UsageError: it has none of this name.
    """
    grain = dataset.config.partition
    if grain is None:
        raise UsageError(f"dataset {dataset.name} has no windows", hint="leave out partition=, or write `partition:`")
    try:
        return partition.of_window(partition.parse(text, grain.every, grain.timezone))
    except ValueError as error:
        raise UsageError(f"dataset {dataset.name}: {error}", hint="name one window as partition=") from None


def _taking_rows(project: Project, dataset: Dataset) -> Dataset:
    """The dataset as one that takes rows whole, whatever pipelines do with it; one file where it names many.

    Raises:
        ConfigError: its adapter only reads it.
    """
    config, problems = dataset.config, []
    path = config.path and config.path.replace("**/", "").translate(_GLOBS)
    if path and path.endswith("/") and config.partition is None:
        path += f"given.{config.format}"
    for change in ("replace", "add", "strict"):  # as far as the adapter goes, so that other columns may come, too
        taking: dict[str, Any] = {"mode": "overwrite", "schema_change": change, "after_publish": [], "swap": False}
        found = dataclasses.replace(dataset, config=config.model_copy(update={**taking, "path": path}))
        problems = list(project.catalog.adapter(dataset).check(found, written=True))
        if not problems:
            return found
    raise ConfigError(
        Problem(f"dataset {dataset.name}: {text}", project.configuration.where("catalog", dataset.name, *place), hint)
        for place, text, hint in problems
    )


def _slices(dataset: Dataset, rows: pl.DataFrame, wanted: str | None) -> Iterator[tuple[Slice, pl.DataFrame]]:
    """What is published: the one slice that is asked for, or each window that rows have."""
    grain = dataset.config.partition
    if wanted:
        yield window_of(dataset, wanted), rows
    elif grain is None or (rows.is_empty() and dataset.config.table):
        yield WHOLE, rows
    elif grain.column is None:
        raise UsageError(f"dataset {dataset.name} is kept window by window", hint="say which: partition=...")
    else:
        dtype = rows.schema.get(grain.column, pl.Null())
        if not isinstance(dtype, (pl.Date, pl.Datetime)) or rows[grain.column].null_count():
            text = f"dataset {dataset.name}: the column {grain.column} tells the window of a row, and is {dtype}"
            raise UsageError(f"{text} or has NULL", hint="give each row a date, such as 2024-01-31")
        day = pl.col(grain.column)
        if isinstance(dtype, pl.Datetime) and dtype.time_zone:
            day = day.dt.convert_time_zone(grain.timezone)
        for (key,), part in rows.group_by(day.dt.strftime(KEY_FORMAT[grain.every]), maintain_order=True):
            yield window_of(dataset, str(key)), part


def _publish(project: Project, dataset: Dataset, part: Slice, frame: pl.DataFrame, scratch: Path) -> None:
    if part.kind == "window" and dataset.config.table:
        config = dataset.config
        change = "add" if config.schema_change == "replace" else config.schema_change
        dataset = dataclasses.replace(
            dataset, config=config.model_copy(update={"mode": "replace", "schema_change": change})
        )
    adapter, now = project.catalog.adapter(dataset), datetime.now(UTC)
    run = new_run_id(now)
    of_rows = fingerprint.of_value(frame) or run
    state = State(dataset.name, part.key, of_rows, {}, frame.height, run, now.isoformat(timespec="microseconds"))
    schema = adapter.storable(dataset, frame.schema)
    sink = Sink(schema, adapter.place(dataset, part, run, scratch / run, state))
    run_plans([sink.plan(frame.cast(pl.Schema(schema)).lazy())])
    adapter.publish(Publication(dataset, part, sink.staged(), state))
