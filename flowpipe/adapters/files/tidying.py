"""What dead runs leave beside a dataset's files, and how it is removed; what is young or decided stays."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from flowpipe import partition
from flowpipe.adapters import Upkeep
from flowpipe.adapters.files import objects
from flowpipe.adapters.files.folder import STAGED, Folder, Found

_S3 = ("s3://", "s3a://")


def tidy(folder: Folder, template: str, upkeep: Upkeep) -> list[str]:
    """Remove the orphans of one dataset; what was done (or would be), a line each."""
    before = (datetime.now(UTC) - upkeep.retention).timestamp()
    beside = posixpath.join(posixpath.dirname(partition.glob(template)), "*")
    old = [file for file in folder.glob(beside) if (file.changed or before) < before]
    staged = [file for file in old if _is_orphan(folder, template, file, upkeep)]
    sidecars = [file for file in old if _is_widowed(folder, template, file)]
    uploads = list(_uploads(folder, template, before))
    if not upkeep.dry_run:
        for file in (*staged, *sidecars):
            folder.remove(file.path)
        for upload in uploads:
            folder.fs.call_s3("abort_multipart_upload", **upload)
    verb = "would be" if upkeep.dry_run else "were"
    told = {
        "staged files of dead runs": (len(staged), "removed"),
        "sidecars of files that are gone": (len(sidecars), "removed"),
        "uploads that were never completed": (len(uploads), "aborted"),
    }
    return [f"{number:,} {what} {verb} {done}" for what, (number, done) in told.items() if number]


def _is_orphan(folder: Folder, template: str, file: Found, upkeep: Upkeep) -> bool:
    target, staged, _ = file.path.rpartition(STAGED)
    named = bool(staged) and _is_of(template, objects.data_of(target) or target)
    return named and folder.absolute(file.path) not in upkeep.live


def _is_widowed(folder: Folder, template: str, file: Found) -> bool:
    target = objects.data_of(file.path)
    return target is not None and _is_of(template, target) and folder.info(target) is None


def _is_of(template: str, path: str) -> bool:
    """Whether a path is one of the dataset's; its windows need not be told apart for that."""
    if not partition.has_placeholder(template):
        return path == template
    return partition.key_in(template, path, "day") is not None or partition.key_in(template, path, None) is not None


def _uploads(folder: Folder, template: str, before: float) -> Iterator[dict[str, Any]]:
    """Old multipart uploads of the dataset's objects, as S3 wants them named."""
    if not folder.url.startswith(_S3):
        return
    bucket, _, root = folder.absolute("").partition("/")
    prefix = root + partition.glob(template).partition("*")[0]
    page: dict[str, Any] = {"IsTruncated": True}
    while page.get("IsTruncated"):
        markers = {name: page[f"Next{name}"] for name in ("KeyMarker", "UploadIdMarker") if page.get(f"Next{name}")}
        page = folder.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **markers)
        for upload in page.get("Uploads") or []:
            path = upload["Key"].removeprefix(root)
            if upload["Initiated"].timestamp() < before and _is_of(template, objects.data_of(path) or path):
                yield {"Bucket": bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
