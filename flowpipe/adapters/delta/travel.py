"""What a table was before: the commits that its log still tells, and whether an old version can still be read."""

from __future__ import annotations

from collections.abc import Iterator

from deltalake import DeltaTable

from flowpipe.adapters.abilities import Version
from flowpipe.adapters.delta import schema
from flowpipe.adapters.delta.folder import Folder
from flowpipe.adapters.delta.log import Log
from flowpipe.errors import UsageError


def versions(log: Log) -> Iterator[Version]:
    """The versions that changed rows, from the newest to the first whose entry was not cleaned up."""
    for number in range(log.version, -1, -1):
        commit = log.commit(number)
        if commit is None:
            return
        if commit.changes:
            yield Version(str(number), commit.at, commit.run, commit.operation)


def opened(name: str, folder: Folder, version: str) -> DeltaTable:
    """The table as of a version.

    Raises:
        UsageError: there is no such version, or its files are gone.
        DataError: Polars cannot read the table.
    """
    newest = folder.open()
    if newest is None:
        raise UsageError(f"{name} has no versions: there is no table at {folder.uri}", hint="run its pipeline first")
    if not version.isdecimal() or int(version) > newest.version():
        hint = f"its versions are whole numbers, the newest is {newest.version()}"
        raise UsageError(f'{name} has no version "{version}"', hint=hint)
    head = f"version {version} of {name} can no longer be read"
    hint = "`flowpipe maintain` keeps old versions for its --retention; choose a newer one"
    if folder.read(folder.log_entry(int(version))) is None:
        raise UsageError(f"{head}: its entry is no longer in the log", hint=hint)
    table = folder.open(int(version))
    assert table is not None, "there is a newer version of it"
    schema.refuse_unreadable(table, folder.uri)
    if lost := folder.lost(table):
        raise UsageError(f"{head}: {lost}", hint=hint)
    return table
