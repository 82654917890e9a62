"""What is the same in every database: settings of its datasets, versions of reads, states as rows, staged files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from flowpipe import partition
from flowpipe.adapters import Dataset, Pin, Publication, Staged, StagingPlace, State, refuse_append, sql
from flowpipe.dtypes import is_wider
from flowpipe.errors import unknown
from flowpipe.partition import Slice

Flaw = tuple[tuple[str, ...], str, str | None]


class Database:
    """The part of an adapter that knows no database: its files are staged in the run's scratch folder."""

    def place(self, dataset: Dataset, part: Slice, run: str, scratch: Path, state: State) -> StagingPlace:  # noqa: ARG002
        """In the run's scratch folder: rows are loaded when they are published."""
        return StagingPlace(str(scratch), f"{dataset.name}-{quote(part.key, safe='')}-{run}")

    def is_staged(self, staged: Staged) -> bool:
        """Whether every staged file still is there."""
        return all(Path(file.path).exists() for file in staged.files)

    def discard(self, staged: Staged) -> None:
        """Remove the staged files; the database has its own copy of published rows."""
        for file in staged.files:
            Path(file.path).unlink(missing_ok=True)

    def widens(self, now: pl.DataType, new: pl.DataType) -> bool:
        """Numbers grow in place."""
        return is_wider(new, now)


def check(dataset: Dataset, store: str) -> Iterator[Flaw]:
    """What no database takes; `store` is what it is called."""
    config = dataset.config
    for name in ("path", "format", "options"):
        if getattr(config, name):
            yield (name,), f'a dataset in a {store} store has no "{name}"', "write `table: NAME`"
    if bool(config.table) == bool(config.query):
        yield (), f"a dataset in a {store} store needs either a table or a query", "table: carrier_rank"
    if not config.query and config.partition and not config.partition.column:
        yield ("partition",), "a partitioned table needs the column that tells a row's window", "column: date"


def check_query(dataset: Dataset, placeholders: Iterable[str]) -> Iterator[Flaw]:
    """What is wrong between a query, its placeholders, and the dataset's other settings."""
    names, partitioned = set(placeholders), dataset.config.partition
    for name in sorted(names - {"start", "end"}):
        problem = unknown("placeholder", f"${name}", ["$start", "$end"])
        yield ("query",), problem.message, problem.hint
    if dataset.config.on_invalid == "quarantine":
        yield ("on_invalid",), "a query has no table beside which rejected rows could be kept", "use fail or warn"
    if names & {"start", "end"} and not partitioned:
        yield ("query",), "$start and $end need a window", "write `partition: {every: month}`"
    if partitioned and not (names or partitioned.column):
        hint = "write $start and $end into the query, or name the `column:`"
        yield ("partition",), "neither the query nor a column tells a row's window", hint


def check_written(dataset: Dataset) -> Iterator[Flaw]:
    """What is wrong with writing a dataset."""
    config = dataset.config
    if config.query:
        yield ("query",), "a query is only read", "write `table: NAME`"
    if config.mode == "replace" and config.partition is None:
        yield ("mode",), "`mode: replace` needs a partition", "write `partition: {column: date, every: month}`"
    if config.mode in {"merge", "snapshot"} and not config.key:
        yield ("mode",), f"{config.mode} needs a key", "add `key: [NAME]`"


def bounds(part: Slice) -> dict[str, datetime]:
    """`$start` and `$end` of a query, as wall-clock times of the window; a whole read has no bounds."""
    window = part.window
    start, end = (window.start, window.end) if window else (datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001
    return {"start": start.replace(tzinfo=None), "end": end.replace(tzinfo=None)}


def condition(dataset: Dataset, part: Slice, columns: Mapping[str, str]) -> str | None:
    """What holds for a slice's rows, or for the new ones; a query may say it itself, by $start and $end."""
    if part.new:
        return sql.above(part.new)
    column = dataset.config.partition.column if dataset.config.partition else None
    return None if dataset.config.query and column is None else sql.of_slice(part, column, columns)


def pin(dataset: Dataset, part: Slice, rows: int, held: Mapping[str, State]) -> Pin:
    """The states of the slices read; `rows` tells their rows. A table of somebody else has no version."""
    wanted = _slices_read(dataset, part, held)
    facts = {"rows": rows, "slices": [[key, held[key].fingerprint, held[key].run] for key in wanted if key in held]}
    token = json.dumps(facts)
    known = bool(wanted) and all(key in held for key in wanted)
    return Pin(hashlib.sha256(token.encode()).hexdigest()[:16] if known else None, token)


def _slices_read(dataset: Dataset, part: Slice, held: Mapping[str, State]) -> list[str]:
    """The keys of the published slices that a read sees; what goes by key may have changed the rows of any."""
    config = dataset.config
    if part.window is None or config.partition is None or config.mode in {"merge", "snapshot"}:
        return [part.key] if part.kind == "key" else sorted(held)
    return [window.key for window in partition.within(part.window, config.partition.every, config.partition.timezone)]


def known_names(dataset: Dataset) -> list[str]:
    """The names under which a dataset is remembered: the one it had before, and its own, which counts."""
    return [name for name in (dataset.config.was, dataset.name) if name]


def state(row: Sequence[Any]) -> tuple[State, int | None]:
    """A row of the table of states, and what the whole table was then; None: somebody has changed it since."""
    values = dict(zip(sql.STATE_COLUMNS, row, strict=True))
    table_rows = values.pop("table_rows")
    return State(**values | {"parts": json.loads(values["parts"])}), table_rows


def state_row(state: State, table_rows: int) -> list[Any]:
    """A state as a row of the table of states."""
    parts = json.dumps(dict(state.parts), sort_keys=True)
    return [
        state.dataset, state.slice, state.fingerprint, parts, state.rows, state.run, state.published_at, table_rows,
    ]  # fmt: skip


def is_published(publication: Publication, before: State | None) -> bool:
    """Whether this very publication is there already; `before` is the state that its slice has.

    Raises:
        PublishError: its slice was appended by another one.
    """
    if before is None:
        return False
    if (before.run, before.fingerprint) == (publication.state.run, publication.state.fingerprint):
        return True
    refuse_append(publication, before)
    return False
