"""One attempt to publish: which Delta commit makes the staged rows of a slice visible.

Add actions name the staged files as they are. Only where a slice shares a file with other rows, and for merges, does
delta-rs write anew what the staged files hold. Every commit stands on the version it was decided on: no silent rebase.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from flowpipe.adapters import Publication, Staged
from flowpipe.adapters.delta import schema as types
from flowpipe.adapters.delta.bounds import Bounds, identifier, of_slice
from flowpipe.adapters.delta.files import add_action, table_properties
from flowpipe.adapters.delta.folder import Folder
from flowpipe.adapters.delta.log import MARK, Log, read_commit, record
from flowpipe.errors import DataError, PublishError
from flowpipe.objectstore import explain
from flowpipe.sinks import hive_text

# A path in the log is percent-encoded, and writers differ in what they encode. Only what all leave alone, or encode
# alike, can be named in a remove action; delta-rs would not match another spelling and keep the file.
_UNAMBIGUOUS = re.compile(r"(?:[A-Za-z0-9_./=-]|%25)*")


class RacedError(Exception):
    """Somebody else committed first: look again, decide again."""


def publish_once(publication: Publication, folder: Folder) -> None:
    """Publish, or find that it is done.

    Raises:
        RacedError: try again.
        DataError: the rows do not fit the table.
        PublishError: the table refuses them.
    """
    try:
        table = folder.open()
        if table is None:
            _create(publication, folder)
        else:
            _publish_into(table, publication, folder)
    except CommitFailedError as error:
        raise RacedError from error
    except (DeltaError, OSError) as error:
        message, hint = explain(error)
        raise PublishError(f"Delta refused {_named(publication)}: {message}", hint=hint) from error


def _named(publication: Publication) -> str:
    return f"{publication.dataset.name} ({publication.slice})"


def _create(publication: Publication, folder: Folder) -> None:
    """The first commit makes the table and holds the rows."""
    schema = dict(publication.staged.schema)
    partition_by = publication.dataset.config.partition_by
    properties = table_properties(schema, partition_by)
    adds = _adds(publication, folder, properties, set())
    try:
        create_table_with_add_actions(
            folder.uri,
            types.to_delta(schema),
            adds,
            mode="error",
            partition_by=partition_by,
            configuration=properties,
            storage_options=folder.options,
            commit_properties=record(publication, folder, 0, 0, "create"),
        )
    except DeltaError as error:
        if folder.open() is not None:
            raise RacedError from error
        raise
    _settle(publication, folder, 0, used={add.path for add in adds})


def _publish_into(table: DeltaTable, publication: Publication, folder: Folder) -> None:
    dataset, key = publication.dataset, publication.slice.key
    log = Log(table, folder)
    held = log.states(dataset, [key]).get(key)
    if held and held.state == publication.state:
        discard(publication.staged, folder)
        return
    if held and dataset.config.mode == "append":
        raise PublishError(
            f"{_named(publication)} was already appended by run {held.state.run}; a slice is never appended twice",
            hint="delete its rows and append under another slice, or use `mode: replace`",
        )
    columns = _columns(table, publication, folder)
    if added := [name for name in columns if name not in types.of_table(table)]:
        # Its own commit, which only adds NULLs: a write transaction that widens the schema does not raise the protocol
        # where the new type needs it, and leaves a table that nobody can open.
        properties = CommitProperties(custom_metadata={MARK: publication.state.run}, max_commit_retries=0)
        table.alter.add_columns(types.new_fields(added, columns), commit_properties=properties)
        _publish_into(_reopened(folder), publication, folder)
        return
    used = _commit(table, log, publication, folder, columns)
    _settle(publication, folder, log.version + 1, used)


def _reopened(folder: Folder) -> DeltaTable:
    table = folder.open()
    if table is None:
        raise RacedError
    return table


def _columns(table: DeltaTable, publication: Publication, folder: Folder) -> dict[str, pl.DataType]:
    """The table's columns after this publish; refuses what would not fit."""
    config = publication.dataset.config
    types.refuse_unwritable(table, folder.uri)
    settings = table.metadata()
    if settings.partition_columns != config.partition_by:
        raise PublishError(
            f"{folder.uri} is partitioned by {settings.partition_columns}, the dataset says {config.partition_by}",
            hint="make `partition_by` the same, or drop the table",
        )
    if settings.configuration.get("delta.appendOnly") == "true" and config.mode != "append":
        raise PublishError(
            f"{folder.uri} only takes appends (delta.appendOnly), the dataset's mode is {config.mode}",
            hint="use `mode: append`, or change the table's property",
        )
    return types.merged(types.of_table(table), publication.staged.schema, may_add=config.schema_change == "add")


def _commit(
    table: DeltaTable, log: Log, publication: Publication, folder: Folder, columns: Mapping[str, pl.DataType]
) -> set[str]:
    """The commit of this mode; returns the staged paths that the log now names."""
    config, part, staged = publication.dataset.config, publication.slice, publication.staged
    column = config.partition.column if config.partition else None
    mode: str = config.mode
    bounds = of_slice(part, column, columns.get(column or "")) if mode == "replace" else None
    if mode == "replace" and bounds is None:
        mode = "overwrite"
    version = log.version + 1
    required = {field.name for field in table.schema().fields if not field.nullable}
    adds = _adds(publication, folder, table.metadata().configuration, required)
    removes = _removes(table, bounds) if bounds else []
    properties = record(publication, folder, version, log.clean_since(version, overwrites=mode == "overwrite"), mode)
    if mode != "merge" and removes is not None:
        table.create_write_transaction(
            [*removes, *adds],
            "overwrite" if mode == "overwrite" else "append",
            table.schema(),
            config.partition_by,
            commit_properties=properties,
        )
        return {add.path for add in adds}
    rows = _rows(staged, folder, columns)
    if bounds:
        write_deltalake(table, rows, mode="overwrite", predicate=bounds.sql, commit_properties=properties)
    else:
        _merge(table, rows, publication, properties)
    found = Log(_reopened(folder), folder).states(publication.dataset, [part.key]).get(part.key)
    if found is None or found.state != publication.state:
        # delta-rs commits nothing when no row changes; the state is news all the same.
        table.create_write_transaction([], "append", table.schema(), config.partition_by, commit_properties=properties)
    return set()


def _adds(
    publication: Publication, folder: Folder, properties: Mapping[str, str | None], required: set[str]
) -> list[AddAction]:
    schema = publication.staged.schema
    for column in publication.dataset.config.partition_by:
        if type(schema.get(column)) not in types.HIVE_TYPES:
            raise DataError(
                f'cannot partition by "{column}" of type {schema.get(column)}',
                hint="partition by a column of type String, Date, Boolean or a signed integer",
            )
    files = [file for file in publication.staged.files if file.rows]
    try:
        folder.sync(folder.path_of(file.path) for file in files)
        return [add_action(file, folder, schema, properties, required) for file in files]
    except FileNotFoundError as error:
        raise PublishError(
            f"{_named(publication)}: the staged file {error.filename} is gone", hint="its rows must be computed again"
        ) from error


def _removes(table: DeltaTable, bounds: Bounds) -> list[RemoveAction] | None:
    """The files that hold the slice and nothing else; None when one holds more, or may."""
    files = pl.DataFrame(table.get_add_actions())
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


def _rows(staged: Staged, folder: Folder, columns: Mapping[str, pl.DataType]) -> pa.RecordBatchReader:
    """The staged rows with all columns of the table, in its order."""
    rows = (
        replace(staged, storage=folder.options)
        .scan()
        .select(
            pl.col(name) if name in staged.schema else pl.lit(None, dtype).alias(name)
            for name, dtype in columns.items()
        )
    )
    return pa.RecordBatchReader.from_stream(rows.collect_batches(lazy=True))


def _merge(
    table: DeltaTable, rows: pa.RecordBatchReader, publication: Publication, properties: CommitProperties
) -> None:
    config = publication.dataset.config
    same = " AND ".join(f"target.{identifier(name)} = source.{identifier(name)}" for name in config.key)
    newer = None
    if config.order_by:
        order = identifier(config.order_by)
        newer = f"source.{order} >= target.{order} OR target.{order} IS NULL"
    merger = table.merge(rows, same, source_alias="source", target_alias="target", commit_properties=properties)
    merger.when_matched_update_all(predicate=newer).when_not_matched_insert_all().execute()


def _settle(publication: Publication, folder: Folder, version: int, used: set[str]) -> None:
    """Make the commit outlast a power loss, and drop staged files that it did not need."""
    commit = read_commit(folder, version)
    rewritten = {unquote(path) for path in commit.added} - used if commit else ()
    folder.sync([folder.log_entry(version), *map(folder.within, rewritten)])
    folder.remove(
        folder.path_of(file.path) for file in publication.staged.files if folder.relative(file.path) not in used
    )


def discard(staged: Staged, folder: Folder) -> None:
    """Remove staged files that no entry of the log names, not even one that a later entry removed again."""
    table = folder.open()
    current = "\n".join(table.file_uris()).encode() if table else b""
    # One name stands in every partition folder of a staging; such files are published together or not at all.
    names = {PurePosixPath(file.path).name.encode() for file in staged.files}
    for text in (current, *folder.log_texts()):
        names = {name for name in names if name not in text}
    paths = [folder.path_of(file.path) for file in staged.files]
    folder.remove(path for path in paths if PurePosixPath(path).name.encode() in names)
