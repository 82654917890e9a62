"""The small durable manifest that decides a step: what it names is published, by this run or by the next one.

Once it is on disk the step is decided. A publish that has happened already changes nothing when it is done again, so
the next run simply publishes all that a manifest names. Losing one loses only work: the state beside the data tells
what each output holds.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flowpipe import partition
from flowpipe.adapters import Dataset, Publication, Staged, StagedFile, State
from flowpipe.catalog import REJECTED, Catalog
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import UsageError, Where
from flowpipe.partition import WHOLE, Slice


@dataclass(frozen=True)
class Intent:
    """A decided step: its publications, in the order in which they become visible."""

    run: str
    pipeline: str
    slice: Slice
    publications: tuple[Publication, ...]


@dataclass(frozen=True)
class Intents:
    """The live manifests of one project and profile, one JSON file each."""

    folder: Path

    def save(self, intent: Intent) -> None:
        """Make a step decided; returns once the manifest would survive a power loss."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(intent)
        aside = path.with_suffix(".tmp")
        with aside.open("w", encoding="utf-8") as file:
            json.dump(_to_json(intent), file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, intent: Intent) -> None:
        """Forget a step whose publications are all visible."""
        self.path(intent).unlink(missing_ok=True)

    def live(self, catalog: Catalog) -> Iterator[Intent]:
        """The manifests of runs that ended before they had published all, oldest first.

        Raises:
            UsageError: a manifest names a dataset or store that the project no longer has.
        """
        for path in sorted(self.folder.glob("*.json")):
            data = json.loads(path.read_text(encoding="utf-8"))
            if gone := _gone(data, catalog):
                raise UsageError(
                    f"a run that was killed had decided to publish {gone}, which is not configured any more",
                    where=Where(str(path)),
                    hint="put it back and run again, or delete this file to give those rows up",
                )
            yield _from_json(data, catalog)

    def path(self, intent: Intent) -> Path:
        """The file of a manifest."""
        return self.folder / f"{intent.run}-{intent.pipeline}-{intent.slice.key.replace('*', 'all')}.json"


def _to_json(intent: Intent) -> dict[str, Any]:
    return {
        "run": intent.run,
        "pipeline": intent.pipeline,
        "slice": _slice_to_json(intent.slice),
        "publications": [
            {
                "dataset": publication.dataset.name,
                # Options may hold secrets: they are taken from the catalog again.
                "config": publication.dataset.config.model_dump(mode="json", by_alias=True, exclude={"options"}),
                "slice": _slice_to_json(publication.slice),
                "files": [asdict(file) for file in publication.staged.files],
                "schema": _schema_to_text(publication.staged),
                "state": asdict(publication.state),
                "onto": publication.onto,
            }
            for publication in intent.publications
        ],
    }


def _gone(data: dict[str, Any], catalog: Catalog) -> str | None:
    """The first dataset or store of a manifest that is not there any more."""
    for entry in data["publications"]:
        name, store = entry["dataset"].removesuffix(REJECTED), entry["config"]["store"]
        if name not in catalog:
            return f"dataset {name}"
        if store not in catalog.stores:
            return f"dataset {name} to store {store}"
    return None


def _from_json(data: dict[str, Any], catalog: Catalog) -> Intent:
    def publication(entry: dict[str, Any]) -> Publication:
        now = catalog.dataset(entry["dataset"])
        config = DatasetConfig.model_validate({**entry["config"], "options": now.config.options})
        staged = Staged(tuple(StagedFile(**file) for file in entry["files"]), _schema_from_text(entry["schema"]))
        part, state = _slice_from_json(entry["slice"]), State(**entry["state"])
        return Publication(Dataset(now.name, config), part, staged, state, entry.get("onto"))

    publications = tuple(publication(entry) for entry in data["publications"])
    return Intent(data["run"], data["pipeline"], _slice_from_json(data["slice"]), publications)


def _slice_to_json(part: Slice) -> dict[str, str]:
    window = part.window
    bounds = {"every": window.every, "timezone": str(window.start.tzinfo)} if window else {}
    return {"key": part.key, "kind": part.kind, **bounds}


def _slice_from_json(data: dict[str, Any]) -> Slice:
    if data["kind"] == "window":
        return partition.of_window(partition.parse(data["key"], data["every"], data["timezone"]))
    return WHOLE if data["kind"] == "whole" else partition.of_key(data["key"])


def _schema_to_text(staged: Staged) -> str:
    buffer = io.BytesIO()
    pl.DataFrame(schema=staged.schema).write_ipc(buffer)
    return base64.b64encode(buffer.getvalue()).decode()


def _schema_from_text(text: str) -> pl.Schema:
    return pl.read_ipc(io.BytesIO(base64.b64decode(text))).schema
