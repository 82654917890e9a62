"""How a table is tidied while its rows stay as they are: compaction, old versions, orphans, states, checkpoints."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath

import polars as pl
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from flowpipe.adapters.abilities import Upkeep
from flowpipe.adapters.delta.actions import files_of
from flowpipe.adapters.delta.folder import Folder, checkpoint_name
from flowpipe.adapters.delta.log import read_commit
from flowpipe.adapters.delta.transactions import checkpoint_of, transactions
from flowpipe.errors import PublishError
from flowpipe.objectstore import explain

# Files of rows as flowpipe stages them and as delta-rs, Spark and others name them.
_DATA = re.compile(r"(flowpipe|part)-[^/\"]*\.parquet")


def tidy(table: DeltaTable, folder: Folder, upkeep: Upkeep, file_bytes: int) -> Iterator[str]:
    """Do what can be done, a line each.

    Raises:
        PublishError: the table was written meanwhile, or delta-rs refuses.
    """
    removed = "would remove" if upkeep.dry_run else "removed"
    try:
        yield from _compacted(table, folder, upkeep, file_bytes)
        if old := _vacuumed(table, upkeep):
            yield f"{removed} {_many(old, 'file')} of old versions"
        if orphans := _orphans(table, folder, upkeep):
            yield f"{removed} {_many(orphans, 'file')} that no version names"
        if states := _forgotten(table, folder, upkeep):
            yield f"{removed} {_many(states, 'state')} of slices published anew since"
        if not upkeep.dry_run:
            folder.remove([*orphans, *states])
            yield from _checkpointed(table, folder)
    except CommitFailedError as error:
        raise PublishError(f"{folder.uri} was written meanwhile", hint="run the same command again") from error
    except (DeltaError, OSError) as error:
        message, hint = explain(error)
        raise PublishError(f"cannot tidy {folder.uri}: {message}", hint=hint) from error


def _compacted(table: DeltaTable, folder: Folder, upkeep: Upkeep, file_bytes: int) -> Iterator[str]:
    files = files_of(table)
    small = files.filter(pl.col("size_bytes") < file_bytes)
    by = ["partition"] if "partition" in files.columns and files["partition"].dtype == pl.Struct else []
    number = small.filter(pl.len().over(by) > 1).height if by else small.height
    if number < 2:
        return
    if upkeep.dry_run:
        yield f"would compact {number:,} small files"
        return
    done = table.optimize.compact(target_size=file_bytes, commit_properties=CommitProperties(max_commit_retries=0))
    if done["numFilesRemoved"]:
        table.update_incremental()
        version = table.version()
        commit = read_commit(folder, version)
        folder.sync([*map(folder.within, commit.added if commit else ()), folder.log_entry(version)])
        yield f"compacted {done['numFilesRemoved']:,} small files into {done['numFilesAdded']:,}"


def _vacuumed(table: DeltaTable, upkeep: Upkeep) -> list[str]:
    hours = math.ceil(upkeep.retention.total_seconds() / 3600)
    gone = table.vacuum(retention_hours=hours, dry_run=True, enforce_retention_duration=False)
    if gone and not upkeep.dry_run:
        table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False)
        table.update_incremental()
    return gone


def _orphans(table: DeltaTable, folder: Folder, upkeep: Upkeep) -> list[str]:
    """Old files of rows that no entry of the log names, not even as removed: killed runs and writers left them."""
    live = {folder.path_of(path) for path in upkeep.live}
    old = [
        path
        for path, changed in folder.find()
        if _DATA.fullmatch(PurePosixPath(path).name) and path not in live and _is_old(changed, upkeep)
    ]
    if not old:
        return []
    texts = ["\n".join(table.file_uris()), *(text.decode(errors="replace") for text in folder.log_texts())]
    checkpoint = checkpoint_of(folder, table.version())
    if checkpoint is not None:
        removed = checkpoint.select(pl.col("remove").struct.field("path").alias("path")).drop_nulls().collect()
        texts.append("\n".join(removed["path"]))
    named = {match[0] for text in texts for match in _DATA.finditer(text)}
    return [path for path in old if PurePosixPath(path).name not in named]


def _forgotten(table: DeltaTable, folder: Folder, upkeep: Upkeep) -> list[str]:
    """Old files of states that no transaction names any more."""
    known = transactions(folder, table.version())
    if known is None:
        return []
    names = {f"{number:016x}.json" for number in known.values() if number >= 0}
    return [
        path
        for path, changed in folder.find("_flowpipe")
        if PurePosixPath(path).name not in names and _is_old(changed, upkeep)
    ]


def _checkpointed(table: DeltaTable, folder: Folder) -> Iterator[str]:
    table.update_incremental()
    version = table.version()
    if folder.exists(folder.within("_delta_log", checkpoint_name(version))):
        return
    table.create_checkpoint()
    folder.sync_checkpoint(version)
    table.cleanup_metadata()
    yield f"wrote a checkpoint at version {version}"


def _many(found: list[str], what: str) -> str:
    return f"{len(found):,} {what}{'' if len(found) == 1 else 's'}"


def _is_old(changed: datetime, upkeep: Upkeep) -> bool:
    return changed <= datetime.now(UTC) - upkeep.retention
