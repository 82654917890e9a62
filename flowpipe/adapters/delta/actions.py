"""Which files a commit adds and removes whole, without writing a row anew."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from flowpipe.adapters import Publication, StagedFile
from flowpipe.adapters.delta import schema as types
from flowpipe.adapters.delta.bounds import Bounds
from flowpipe.adapters.delta.files import add_action
from flowpipe.adapters.delta.folder import Folder
from flowpipe.errors import DataError, PublishError
from flowpipe.sinks import hive_text

# A path in the log is percent-encoded, and writers differ in what they encode. Only what all leave alone, or encode
# alike, can be named in a remove action; delta-rs would not match another spelling and keep the file.
_UNAMBIGUOUS = re.compile(r"(?:[A-Za-z0-9_./=-]|%25)*")


def added(
    publications: Sequence[Publication], folder: Folder, properties: Mapping[str, str | None], required: set[str]
) -> list[AddAction]:
    """The staged files of publications as the log names them; `required` are the columns without NULL.

    Raises:
        DataError: a value that the table does not allow.
        PublishError: a staged file is not there or not what it should be.
    """

    def action(item: tuple[Publication, StagedFile]) -> AddAction:
        publication, file = item
        try:
            return add_action(file, folder, publication.staged.schema, properties, required)
        except FileNotFoundError as error:
            raise gone(publication, error.filename or str(error)) from error

    for publication in publications:
        _refuse_partitions(publication)
    return folder.map(action, [(one, file) for one in publications for file in one.staged.files if file.rows])


def _refuse_partitions(publication: Publication) -> None:
    schema = publication.staged.schema
    for column in publication.dataset.config.partition_by:
        if type(schema.get(column)) not in types.HIVE_TYPES:
            raise DataError(
                f'cannot partition by "{column}" of type {schema.get(column)}',
                hint="partition by a column of type String, Date, Boolean or a signed integer",
            )


def gone(publication: Publication, path: str) -> PublishError:
    """What to say of a staged file that is not there."""
    return PublishError(
        f"{publication.dataset.name} ({publication.slice}): the staged file {path} is gone",
        hint="its rows must be computed again",
    )


def files_of(table: DeltaTable) -> pl.DataFrame:
    """The files of a table with their bounds."""
    return pl.DataFrame(table.get_add_actions())


def removed(files: pl.DataFrame, bounds: Bounds) -> list[RemoveAction] | None:
    """The files that hold the slice and nothing else; None when one holds more, or may."""
    judged = bounds.judge(files)
    if not (judged["inside"] | judged["outside"]).all():
        return None
    inside = files.filter(judged["inside"])
    if not all(_UNAMBIGUOUS.fullmatch(path) for path in inside["path"]):
        return None
    now = int(time.time() * 1000)
    return [
        RemoveAction(
            unquote(row["path"]),
            True,
            now,
            row["size_bytes"],
            {name: hive_text(value) for name, value in (row.get("partition") or {}).items()},
        )
        for row in inside.iter_rows(named=True)
    ]
