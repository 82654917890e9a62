"""One attempt to publish: which Delta commit makes the staged rows of slices visible.

Add actions name the staged files as they are, those of several slices in one commit. Only where a slice shares a file
with other rows, where old rows decide, and where a table has rules of its own, does delta-rs write anew what the staged
files hold. Every commit stands on the version it was decided on: no silent rebase.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from flowpipe.adapters import Publication, Staged, refuse_append
from flowpipe.adapters.delta import schema as types
from flowpipe.adapters.delta.actions import added, files_of, removed
from flowpipe.adapters.delta.bounds import Bounds, of_slice
from flowpipe.adapters.delta.files import table_properties
from flowpipe.adapters.delta.folder import Folder
from flowpipe.adapters.delta.log import MARK, Log, read_commit, record
from flowpipe.adapters.delta.rewrite import Rewrite
from flowpipe.errors import DataError, PublishError
from flowpipe.objectstore import explain

_BROKEN = re.compile(r"(\d+) rows failed validation check")


class RacedError(Exception):
    """Somebody else committed first: look again, decide again."""


def publish_once(publications: Sequence[Publication], folder: Folder) -> None:
    """Publish slices of one dataset, or find that it is done.

    Raises:
        RacedError: try again.
        DataError: the rows do not fit the table.
        PublishError: the table refuses them.
    """
    left, table = list(publications), None
    try:
        while left:
            table = folder.open()
            done = _create(left[0], folder) if table is None else _publish_into(table, left, folder)
            left = [one for one in left if all(one is not other for other in done)]
    except CommitFailedError as error:
        raise RacedError from error
    except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
        message, hint = explain(error)
        if table is not None and (found := _BROKEN.search(message)):
            raise DataError(
                f"{_named(left[0])}: {found[1]} rows break a rule of the table: {'; '.join(types.rules(table))}",
                hint="nothing was published; keep such rows out, for instance by the dataset's schema",
            ) from error
        raise PublishError(f"Delta refused {_named(left[0])}: {message}", hint=hint) from error


def _named(publication: Publication) -> str:
    return f"{publication.dataset.name} ({publication.slice})"


def _create(publication: Publication, folder: Folder) -> list[Publication]:
    """The first commit makes the table, and holds the rows where they are what will be in it."""
    config, schema = publication.dataset.config, dict(publication.staged.schema)
    properties = table_properties(schema, config.partition_by)
    # Rows that delete, and several moments of one key, are worked out against a table.
    direct = config.delete_when is None and config.mode != "snapshot"
    adds = added([publication], folder, properties, set()) if direct else []
    commit = CommitProperties(custom_metadata={MARK: publication.state.run}, max_commit_retries=0)
    folder.sync(folder.within(each.path) for each in adds)
    try:
        create_table_with_add_actions(
            folder.uri,
            types.to_delta(schema),
            adds,
            mode="error",
            partition_by=config.partition_by,
            configuration=properties,
            storage_options=folder.options,
            commit_properties=record([publication], folder, 0, 0, "create") if direct else commit,
        )
    except (DeltaError, OSError) as error:
        if folder.open() is not None:
            raise RacedError from error
        raise
    if not direct:
        return []
    _settle([publication], folder, 0, used={add.path for add in adds})
    return [publication]


def _publish_into(table: DeltaTable, publications: Sequence[Publication], folder: Folder) -> list[Publication]:
    """Publish the first, and in the same commit all that can go with it; returns what is done."""
    log = Log(table, folder)
    done = _done(log, publications, folder)
    if done:
        return done
    first = publications[0]
    columns = _columns(table, first, folder)
    new = [name for name in columns if name not in types.of_table(table)]
    if new and first.dataset.config.schema_change != "replace":
        # Its own commit, which only adds NULLs: a write transaction that widens the schema does not raise the
        # protocol where the new type needs it, and leaves a table that nobody can open.
        properties = CommitProperties(custom_metadata={MARK: first.state.run}, max_commit_retries=0)
        table.alter.add_columns(types.new_fields(new, columns), commit_properties=properties)
        return []
    return _commit(table, log, publications, folder, columns)


def _done(log: Log, publications: Sequence[Publication], folder: Folder) -> list[Publication]:
    """What is published already; its staged files go if the log does not name them."""
    dataset = publications[0].dataset
    held = log.states(dataset, [one.slice.key for one in publications])
    done = []
    for one in publications:
        if one.slice.key not in held:
            continue
        state = held[one.slice.key].state
        if state == one.state:
            discard(one.staged, folder)
            done.append(one)
        else:
            refuse_append(one, state)
    return done


def _columns(table: DeltaTable, publication: Publication, folder: Folder) -> dict[str, pl.DataType]:
    """The table's columns after this publish; refuses what would not fit."""
    config = publication.dataset.config
    types.refuse_unwritable(table, folder.uri, config.mode)
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
    if config.schema_change == "replace":
        return dict(publication.staged.schema)
    now, staged = types.of_table(table), publication.staged.schema
    computed = {name: now[name] for name in types.generated(table) if name not in staged}
    return types.merged(now, {**staged, **computed}, may_add=config.schema_change == "add")


def _commit(
    table: DeltaTable,
    log: Log,
    publications: Sequence[Publication],
    folder: Folder,
    columns: Mapping[str, pl.DataType],
) -> list[Publication]:
    """The commit of this mode: whole files of as many slices as can be, else one slice written anew."""
    config = publications[0].dataset.config
    bounds = [_bounds(one, columns) for one in publications]
    overwrites = config.mode == "overwrite" or (config.mode == "replace" and bounds[0] is None)
    version = log.version + 1
    whole = {} if _is_rewritten(table, publications[0], columns) else _whole(table, publications, bounds, columns)
    batch = [one for number, one in enumerate(publications) if number in whole] or [publications[0]]
    mode = "overwrite" if overwrites else config.mode
    required = {field.name for field in table.schema().fields if not field.nullable}
    adds = added(batch, folder, table.metadata().configuration, required) if whole else []
    folder.sync(folder.within(each.path) for each in adds)
    properties = record(batch, folder, version, log.clean_since(version, overwrites=overwrites), mode)
    if whole:
        actions: list[AddAction | RemoveAction] = [*(each for removes in whole.values() for each in removes), *adds]
        kind = "overwrite" if overwrites else "append"
        table.create_write_transaction(actions, kind, table.schema(), config.partition_by, commit_properties=properties)
    else:
        Rewrite(table, batch[0], folder, columns, bounds[0], properties).commit()
        _keep_state(log, batch[0], folder, properties)
    _settle(batch, folder, version, {add.path for add in adds})
    return batch


def _bounds(publication: Publication, columns: Mapping[str, pl.DataType]) -> Bounds | None:
    """The rows of the table that this publish takes the place of; None: all, or none for being of the slice."""
    config = publication.dataset.config
    if config.mode != "replace" and config.missing != "delete":
        return None
    column = config.partition.column if config.partition else None
    return of_slice(publication.slice, column, columns.get(column or ""))


def _is_rewritten(table: DeltaTable, publication: Publication, columns: Mapping[str, pl.DataType]) -> bool:
    """Whether delta-rs must look at every row, whatever files the table has."""
    config = publication.dataset.config
    if config.mode in ("merge", "snapshot") or types.rules(table):
        return True
    return config.schema_change == "replace" and columns != types.of_table(table)


def _whole(
    table: DeltaTable,
    publications: Sequence[Publication],
    bounds: Sequence[Bounds | None],
    columns: Mapping[str, pl.DataType],
) -> dict[int, list[RemoveAction]]:
    """What each publication removes, by its place, where whole files go: as many as one commit can take."""
    if publications[0].dataset.config.mode == "append":
        found: dict[int, list[RemoveAction]] = {number: [] for number, _ in enumerate(publications)}
    elif bounds[0] is None:
        return {0: []}
    else:
        files = files_of(table)
        removes = {number: removed(files, each) for number, each in enumerate(bounds) if each is not None}
        found = {number: each for number, each in removes.items() if each is not None}
        if 0 not in found:
            return {}
    seen: set[str] = set()
    for number in list(found):
        # A slice that comes twice, or with other columns, has its own turn.
        key, schema = publications[number].slice.key, publications[number].staged.schema
        if key in seen or not schema.keys() <= columns.keys() or schema != publications[0].staged.schema:
            del found[number]
        seen.add(key)
    return found


def _keep_state(log: Log, publication: Publication, folder: Folder, properties: CommitProperties) -> None:
    """delta-rs commits nothing when no row changes; the state is news all the same."""
    table, key = log.table, publication.slice.key
    table.update_incremental()
    found = Log(table, folder).states(publication.dataset, [key]).get(key)
    if found is not None and found.state == publication.state:
        return
    if table.version() != log.version:
        raise RacedError
    partition_by = publication.dataset.config.partition_by
    table.create_write_transaction([], "append", table.schema(), partition_by, commit_properties=properties)


def _settle(publications: Sequence[Publication], folder: Folder, version: int, used: set[str]) -> None:
    """Make the commit outlast a power loss, and drop staged files that it did not need."""
    commit = read_commit(folder, version)
    rewritten = {unquote(path) for path in commit.added} - used if commit else ()
    folder.sync([folder.log_entry(version), *map(folder.within, rewritten)])
    folder.sync_checkpoint(version)
    files = [file for one in publications for file in one.staged.files]
    folder.remove(folder.path_of(file.path) for file in files if folder.relative(file.path) not in used)


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
