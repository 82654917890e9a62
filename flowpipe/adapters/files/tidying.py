"""What dead runs leave beside a dataset's files, and how it is removed; what is young or decided stays."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flowpipe import partition
from flowpipe.adapters import Dataset
from flowpipe.adapters.abilities import Upkeep
from flowpipe.adapters.files import layout, objects
from flowpipe.adapters.files.folder import STAGED, Folder, Found

_S3 = ("s3://", "s3a://")


@dataclass(frozen=True)
class Tidying:
    """The orphans of one dataset in its folder."""

    folder: Folder
    dataset: Dataset
    upkeep: Upkeep

    def run(self) -> list[str]:
        """Remove them; what was done (or would be), a line each."""
        beside = posixpath.join(posixpath.dirname(partition.glob(self._template)), "*")
        old = [file for file in self.folder.glob(beside) if file.changed is not None and file.changed < self._before]
        staged = [file for file in old if self._is_left_over(file)]
        sidecars = [file for file in old if self._is_widowed(file)]
        uploads = list(self._uploads()) if self.folder.url.startswith(_S3) else []
        if not self.upkeep.dry_run:
            for file in (*staged, *sidecars):
                self.folder.remove(file.path)
            for upload in uploads:
                self.folder.fs.call_s3("abort_multipart_upload", **upload)
        lines = {
            "staged file{} of dead runs": (len(staged), "removed"),
            "sidecar{} of files that are gone": (len(sidecars), "removed"),
            "upload{} that never ended": (len(uploads), "aborted"),
        }
        return [self._told(number, what, done) for what, (number, done) in lines.items() if number]

    def _told(self, number: int, what: str, done: str) -> str:
        were = "would be" if self.upkeep.dry_run else "was" if number == 1 else "were"
        return f"{number:,} {what.format('' if number == 1 else 's')} {were} {done}"

    @property
    def _before(self) -> float:
        return (datetime.now(UTC) - self.upkeep.retention).timestamp()

    @property
    def _template(self) -> str:
        return layout.template(self.dataset)

    def _is_left_over(self, file: Found) -> bool:
        target, staged, _ = file.path.rpartition(STAGED)
        named = bool(staged) and self._is_ours(objects.data_of(target) or target)
        return named and self.folder.absolute(file.path) not in self.upkeep.live

    def _is_widowed(self, file: Found) -> bool:
        target = objects.data_of(file.path)
        return target is not None and self._is_ours(target) and self.folder.info(target) is None

    def _is_ours(self, path: str) -> bool:
        """Whether a path is one of the dataset's: other people's files are left alone."""
        if not partition.has_placeholder(self._template):
            return path == self._template
        grain = self.dataset.config.partition
        return partition.key_in(self._template, path, grain.every if grain else None) is not None

    def _uploads(self) -> Iterator[dict[str, Any]]:
        """Old multipart uploads of the dataset's objects, as S3 wants them named."""
        bucket, _, root = self.folder.absolute("").partition("/")
        prefix = root + partition.glob(self._template).partition("*")[0]
        page: dict[str, Any] = {"IsTruncated": True}
        while page.get("IsTruncated"):
            markers = {name: page[f"Next{name}"] for name in ("KeyMarker", "UploadIdMarker") if page.get(f"Next{name}")}
            page = self.folder.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **markers)
            for upload in page.get("Uploads") or []:
                path = upload["Key"].removeprefix(root)
                ours = self._is_ours(objects.data_of(path) or path)
                if ours and upload["Initiated"].timestamp() < self._before:
                    yield {"Bucket": bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
