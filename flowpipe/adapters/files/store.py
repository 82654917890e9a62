"""How a slice that is one file is pinned, read and published.

Parquet is staged beside its target and renamed; other formats are converted from staged Parquet when published.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
from pydantic import BaseModel, Field, field_validator

from flowpipe import partition
from flowpipe.adapters import Dataset, Held, Missing, Pin, Publication, Staged, StagingPlace, State
from flowpipe.adapters.files import formats, layout, objects
from flowpipe.adapters.files.folder import Folder, Found
from flowpipe.adapters.files.formats import Format
from flowpipe.errors import DataError, PublishError
from flowpipe.frames import in_window
from flowpipe.partition import Slice
from flowpipe.validation import Model


class Options(Model):
    """Where the files are."""

    url: str = Field(description="a folder; relative to the project")
    options: dict[str, Any] = Field(default_factory=dict, description="fsspec's storage options")

    @field_validator("url")
    @classmethod
    def _local(cls, url: str) -> str:
        scheme = url.partition("://")[0] if "://" in url else "file"
        if scheme != "file":
            raise ValueError(f'the url must be a local folder, not "{scheme}://"')
        return url


class Files:
    """One folder."""

    Options: type[BaseModel] = Options

    def __init__(self, options: BaseModel, root: Path) -> None:
        assert isinstance(options, Options)
        self._folder = Folder(options.url, options.options, root)
        self._guessed: dict[tuple[str, str], Mapping[str, pl.DataType] | None] = {}

    def check(self, dataset: Dataset, *, written: bool) -> Iterable[layout.Finding]:
        """What is wrong with a dataset's configuration here."""
        return layout.check(dataset, written=written)

    def pin(self, dataset: Dataset, part: Slice) -> Pin:
        """What published the files that are as flowpipe left them, sizes and times of the others."""
        form, found = layout.format_of(dataset), self._find(dataset, part)
        versions = [self._version(form, file) for file in found]
        paths = [file.path for file in found]
        version = versions[0] if len(found) == 1 else _short(list(zip(paths, versions, strict=True)))
        return Pin(version, json.dumps([astuple(file) for file in found]))

    def read(self, dataset: Dataset, part: Slice, pin: Pin, spool: Path) -> pl.LazyFrame:  # noqa: ARG002
        """The rows of exactly the pinned files, scanned where they are.

        Raises:
            DataError: the format's library is not installed, or no column tells a row's window.
        """
        form, files = layout.format_of(dataset), [Found(*fields) for fields in json.loads(pin.token)]
        paths = [self._folder.absolute(file.path) for file in files if file.size > form.empty_bytes]
        if not paths:
            return pl.LazyFrame(schema=objects.sidecar_schema(Path(self._folder.absolute(files[0].path))))
        try:
            options = dataset.config.options
            key = (pin.token, str(options))
            if key not in self._guessed:
                self._guessed[key] = form.guess(paths, options)
            frame = form.scan(paths, options, self._guessed[key])
        except ModuleNotFoundError as error:
            raise DataError(f"{dataset.name} needs a library: {error}", hint="pip install fastexcel") from error
        return _within_window(frame, dataset, part)

    def schema(self, dataset: Dataset, part: Slice | None = None) -> Mapping[str, pl.DataType] | None:
        """Columns and types of what is there; text has none but those it was published with."""
        form, part = layout.format_of(dataset), part or partition.WHOLE
        if form.untyped:
            return objects.sidecar_schema(self._target(dataset, part))
        try:
            return self.read(dataset, part, self.pin(dataset, part), Path()).collect_schema()
        except Missing:
            return None

    def is_empty(self, dataset: Dataset, part: Slice) -> bool:
        """Whether a slice holds no row."""
        try:
            rows = self.read(dataset, part, self.pin(dataset, part), Path())
        except Missing:
            return True
        return rows.head(1).collect().is_empty()

    def storable(self, dataset: Dataset, schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:
        """The columns as they are: a format takes a type or refuses it.

        Raises:
            DataError: the format cannot hold a column.
        """
        form = layout.format_of(dataset)
        for name, dtype in schema.items():
            if not form.takes(dtype):
                hint = "cast the column" if form is formats.PARQUET else "cast the column, or write Parquet"
                raise DataError(f'column "{name}" is {dtype}, which {form.name} cannot hold', hint=hint)
        return schema

    def place(self, dataset: Dataset, part: Slice, run: str, scratch: Path, state: State) -> StagingPlace:
        """Parquet beside its target, so that a rename makes it visible; all else in the run's scratch folder."""
        if layout.format_of(dataset) is not formats.PARQUET:
            return StagingPlace(str(scratch), f"{dataset.name}-{quote(part.key, safe='')}-{run}")
        target = self._target(dataset, part)
        self._folder.make(str(target.parent))
        metadata = {objects.METADATA_KEY: objects.to_json(state)}
        return StagingPlace(str(target.parent), f"{target.name}{objects.STAGED}{run}", single=True, metadata=metadata)

    def publish(self, publication: Publication) -> None:
        """Rename the staged Parquet file into its place, or convert and rename; then the sidecar.

        Raises:
            PublishError: the staged file is gone, or the disk refuses.
        """
        form = layout.format_of(publication.dataset)
        target = self._target(publication.dataset, publication.slice)
        held, wanted = _held(form, target), publication.state
        if held.state and not held.changed and _same_run(held.state, wanted):
            return
        shown = self._folder.shown(str(target))
        staged = [Path(file.path) for file in publication.staged.files]
        if not all(path.exists() for path in staged):
            raise PublishError(f"{shown} cannot be published: its staged file is gone", hint="run with --force")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if form is formats.PARQUET:
                objects.make_visible(staged[0], target)
            else:
                _convert(form, publication, target)
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = str(getattr(error, "strerror", None) or error).splitlines()[0]
            raise PublishError(f"{shown} cannot be published: {reason}", hint="the old file is whole") from error

    def held(self, dataset: Dataset, parts: Sequence[Slice]) -> Mapping[str, Held]:
        """What Parquet metadata or sidecars say; a file with another dataset's or slice's state was put there."""
        form, names = layout.format_of(dataset), {dataset.name, dataset.config.was}
        found = {}
        for part in parts:
            held = _held(form, self._target(dataset, part))
            if held.state and (held.state.dataset not in names or held.state.slice != part.key):
                held = Held(None, "the file was replaced")
            found[part.key] = held
        return found

    def widens(self, now: pl.DataType, new: pl.DataType) -> bool:  # noqa: ARG002
        """No column changes its type in place."""
        return False

    def is_staged(self, staged: Staged) -> bool:
        """Whether every staged file still is there."""
        return all(Path(file.path).exists() for file in staged.files)

    def discard(self, staged: Staged) -> None:
        """Remove staged files; a published one has its own name."""
        for file in staged.files:
            Path(file.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held open."""

    def _find(self, dataset: Dataset, part: Slice) -> list[Found]:
        """The files of a slice.

        Raises:
            Missing: a window has no file, or there is none at all.
        """
        template = layout.template(dataset)
        if part.kind == "whole" and partition.has_placeholder(template):
            every = dataset.config.partition.every if dataset.config.partition else None
            pattern = partition.glob(template)
            found = [file for file in self._folder.find(pattern) if partition.key_in(template, file.path, every)]
            return found or self._folder.missing(pattern)
        slices = [partition.of_window(own) for own in layout.windows(dataset, part.window)] if part.window else [part]
        paths = dict.fromkeys(layout.path_of(dataset, own) for own in slices)
        return [file for path in paths for file in self._folder.find(path) or self._folder.missing(path)]

    def _version(self, form: Format, file: Found) -> str:
        held = _held(form, Path(self._folder.absolute(file.path)))
        if held.state is None or held.changed:
            return _short(astuple(file))
        # The run, too: the same code and parameters may have published other rows, of an input without a version.
        return _short([held.state.fingerprint, held.state.run])

    def _target(self, dataset: Dataset, part: Slice) -> Path:
        return Path(self._folder.absolute(layout.path_of(dataset, part)))


def _within_window(frame: pl.LazyFrame, dataset: Dataset, part: Slice) -> pl.LazyFrame:
    """Cut a frame to its window, where its files may hold more than that and a column tells."""
    config, window = dataset.config.partition, part.window
    if window is None or config is None or config.column is None or not layout.holds_more(dataset, window):
        return frame
    dtype = frame.collect_schema().get(config.column)
    if dtype is None:
        raise DataError(f'there is no partition column "{config.column}" in {dataset.name}')
    try:
        return frame.filter(in_window(config.column, dtype, window))
    except TypeError as error:
        hint = "text holds no dates: set `options: {try_parse_dates: true}` or `schema_overrides:`"
        raise DataError(f"{dataset.name}: {error}", hint=hint) from error


def _held(form: Format, target: Path) -> Held:
    return objects.embedded(target) if form is formats.PARQUET else objects.sidecar_of(target)


def _same_run(held: State, wanted: State) -> bool:
    return (held.fingerprint, held.run) == (wanted.fingerprint, wanted.run)


def _convert(form: Format, publication: Publication, target: Path) -> None:
    beside = target.with_name(f"{target.name}{objects.STAGED}{publication.state.run}")
    options = publication.dataset.config.options
    if target.name.endswith(".gz"):
        options = {"compression": "gzip", **options}
    try:
        form.sink(publication.staged.scan(), str(beside), options)
        objects.make_visible(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    objects.write_sidecar(target, publication.state, publication.staged.schema)


def _short(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
