"""How a slice that is one file is pinned, read and published.

Parquet on a disk is staged beside its target and renamed; for object stores it is staged on the disk of this machine.
Other formats are converted from staged Parquet when published.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, TypeVar
from urllib.parse import quote

import polars as pl
from pydantic import BaseModel

from flowpipe import partition, probing
from flowpipe.adapters import Dataset, Finding, Held, Missing, Pin, Publication, Staged, StagingPlace, State
from flowpipe.adapters.abilities import Upkeep
from flowpipe.adapters.files import formats, layout, objects, reading, types, urls
from flowpipe.adapters.files.folder import Found, Unreachable
from flowpipe.adapters.files.formats import Format
from flowpipe.adapters.files.options import Options
from flowpipe.adapters.files.places import place_of, temporary
from flowpipe.adapters.files.tidying import Tidying
from flowpipe.errors import DataError, PublishError
from flowpipe.partition import Slice

_In = TypeVar("_In")
_Out = TypeVar("_Out")
_AT_ONCE = 16  # questions to a store that is far away


class Files:
    """One folder or bucket."""

    Options: type[BaseModel] = Options
    temporary: Any = classmethod(temporary)

    def __init__(self, options: BaseModel, root: Path) -> None:
        assert isinstance(options, Options)
        self._url, self._options, self._root = options.url, options.options, root
        self.driver_only = "memory://" in options.url
        self._place = place_of(options.url, options.options, root, durable=options.durability == "fsync")
        self._folder = self._place.folder
        self._guessed: dict[tuple[str, str], Mapping[str, pl.DataType] | None] = {}

    def check(self, dataset: Dataset, *, written: bool) -> Iterable[layout.Finding]:
        """What is wrong with a dataset's configuration here."""
        yield from layout.check(dataset, written=written)
        if written and (finding := urls.read_only(self._url)):
            yield finding

    def pin(self, dataset: Dataset, part: Slice) -> Pin:
        """What published the files that are as flowpipe left them, tags, or sizes and times of the others."""
        form, found = layout.format_of(dataset), self._find(dataset, part)
        versions = [self._version(form, file) for file in found]
        known = [version for version in versions if version is not None]
        token = json.dumps([astuple(file) for file in found])
        if len(known) < len(versions):
            return Pin(None, token)
        paths = [file.path for file in found]
        return Pin(known[0] if len(found) == 1 else _short(list(zip(paths, known, strict=True))), token)

    def read(self, dataset: Dataset, part: Slice, pin: Pin, spool: Path) -> pl.LazyFrame:
        """The rows of exactly the pinned files, scanned where they are or where they were downloaded to.

        Raises:
            DataError: the format's library is not installed, or no column tells a row's window.
        """
        form, files = layout.format_of(dataset), [Found(*fields) for fields in json.loads(pin.token)]
        published = self._published(dataset, files)
        # A file of a few bytes that is not as it was published may as well be torn.
        kept = [
            number
            for number, file in enumerate(files)
            if file.size > (form.empty_bytes if published[number] else min(form.empty_bytes, 0))
        ]
        if not kept:
            return pl.LazyFrame(schema=published[0])
        paths = self._place.scannable(form, [files[number] for number in kept], spool)
        key = (pin.token, str(dataset.config.options))

        def guessed() -> Mapping[str, pl.DataType] | None:
            if key not in self._guessed:
                self._guessed[key] = form.guess(paths, dataset.config.options, self._place.storage)
            return self._guessed[key]

        schemas = [published[number] for number in kept]
        frame = reading.scan(dataset, paths, schemas, guessed, self._place.storage)
        return reading.within_window(frame, dataset, part)

    def fault(self, dataset: Dataset, pin: Pin, spool: Path) -> str | None:
        """The first pinned file that cannot be read or is not like the first one, and why."""
        files = [Found(*fields) for fields in json.loads(pin.token)]
        paths = self._place.scannable(layout.format_of(dataset), files, spool)
        return reading.fault(dataset, [self._folder.shown(file.path) for file in files], paths, self._place.storage)

    def schema(self, dataset: Dataset, part: Slice | None = None) -> Mapping[str, pl.DataType] | None:
        """Columns and types of what is there; text has none but those it was published with."""
        form, part = layout.format_of(dataset), part or partition.WHOLE
        if form.untyped:
            return objects.sidecar_schema(self._folder, layout.path_of(dataset, part))
        try:
            with TemporaryDirectory() as spool:
                return self.read(dataset, part, self.pin(dataset, part), Path(spool)).collect_schema()
        except Missing:
            return None

    def is_empty(self, dataset: Dataset, part: Slice) -> bool:
        """Whether a slice holds no row."""
        try:
            with TemporaryDirectory() as spool:
                rows = self.read(dataset, part, self.pin(dataset, part), Path(spool))
                return rows.head(1).collect().is_empty()
        except Missing:
            return True

    def storable(self, dataset: Dataset, schema: Mapping[str, pl.DataType]) -> Mapping[str, pl.DataType]:
        """The columns as they are: a format takes a type or refuses it.

        Raises:
            DataError: the format cannot hold a column.
        """
        form = layout.format_of(dataset)
        for name, dtype in schema.items():
            if not types.takes(form.name, dtype):
                hint = "cast the column" if form is formats.PARQUET else "cast the column, or write Parquet"
                raise DataError(f'column "{name}" is {dtype}, which {form.name} cannot hold', hint=hint)
        return schema

    def place(self, dataset: Dataset, part: Slice, run: str, scratch: Path, state: State) -> StagingPlace:
        """Parquet beside its target, so that a rename makes it visible; all else in the run's scratch folder."""
        name = f"{dataset.name}-{quote(part.key, safe='')}-{run}"
        if layout.format_of(dataset) is not formats.PARQUET:
            return StagingPlace(str(scratch), name)
        metadata = {objects.METADATA_KEY: objects.to_json(state)}
        if self._place.remote:
            return StagingPlace(str(scratch), f"{name}.parquet", single=True, metadata=metadata)
        target = self._place.staging(layout.path_of(dataset, part), run, scratch)
        return StagingPlace(str(target.parent), target.name, single=True, metadata=metadata)

    def publish(self, publication: Publication) -> None:
        """Make the staged Parquet file visible, or convert and make that visible; then the sidecar.

        Raises:
            DataError: the format has no text for a value.
            PublishError: the staged file is gone, or the store refuses.
        """
        path, wanted = layout.path_of(publication.dataset, publication.slice), publication.state
        shown = self._folder.shown(path)
        try:
            held = self._held(layout.format_of(publication.dataset), path)
            before = None if held.changed else held.state
            if before and (before.fingerprint, before.run) == (wanted.fingerprint, wanted.run):
                return
            if not self.is_staged(publication.staged):
                raise PublishError(f"{shown} cannot be published: its staged file is gone", hint="run with --force")
            self._publish(publication, path)
        except Unreachable as error:
            raise PublishError.of(error.problems) from error
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = str(getattr(error, "strerror", None) or error).splitlines()[0]
            raise PublishError(f"{shown} cannot be published: {reason}", hint="the old file is whole") from error

    def _publish(self, publication: Publication, path: str) -> None:
        form, staged = layout.format_of(publication.dataset), publication.staged
        if form is formats.PARQUET:
            self._place.put(Path(staged.files[0].path), path)
            return
        types.refuse_losses(publication, form.name)
        scratch = Path(staged.files[0].path).parent if staged.files else Path(gettempdir())
        beside = self._place.staging(path, publication.state.run, scratch)
        options = publication.dataset.config.options
        if path.endswith(".gz"):
            options = {"compression": "gzip", **options}
        try:
            try:
                form.sink(staged.scan(), str(beside), options)
            except pl.exceptions.PanicException as error:
                reason = f"dataset {publication.dataset.name} cannot be written as {form.name}: {error}"
                raise DataError(reason, hint="look for dates that no calendar has") from error
            objects.publish_with_sidecar(self._place, beside, path, publication.state, staged.schema)
        finally:
            beside.unlink(missing_ok=True)

    def held(self, dataset: Dataset, parts: Sequence[Slice]) -> Mapping[str, Held]:
        """What Parquet metadata or sidecars say; a file with another dataset's or slice's state was put there."""
        form, names = layout.format_of(dataset), {dataset.name, dataset.config.was}

        def one(part: Slice) -> Held:
            held = self._held(form, layout.path_of(dataset, part))
            strange = held.state and (held.state.dataset not in names or held.state.slice != part.key)
            return Held(None, "the file was replaced") if strange else held

        return dict(zip([part.key for part in parts], self._each(one, parts), strict=True))

    def widens(self, now: pl.DataType, new: pl.DataType) -> bool:  # noqa: ARG002
        """No column changes its type in place."""
        return False

    def is_staged(self, staged: Staged) -> bool:
        """Whether every staged file still is there, and whole: a power cut may have taken its end."""
        return all(_size(Path(file.path)) == file.bytes for file in staged.files)

    def discard(self, staged: Staged) -> None:
        """Remove staged files; a published one has its own name."""
        for file in staged.files:
            Path(file.path).unlink(missing_ok=True)

    def maintain(self, dataset: Dataset, upkeep: Upkeep) -> Sequence[str]:
        """Remove what dead runs left: staged files, sidecars without data, uploads that were never completed."""
        return Tidying(self._folder, dataset, upkeep).run()

    def probe(self, *, written: bool) -> Iterable[Finding]:
        """Whether the folder can be listed, and whether it takes a file."""
        writable = written and urls.read_only(self._url) is None
        return probing.place(self._url, self._options, self._root, written=writable)

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
        paths = list(dict.fromkeys(layout.path_of(dataset, own) for own in slices))
        several = zip(paths, self._each(self._folder.find, paths), strict=True)
        return [file for path, found in several for file in found or self._folder.missing(path)]

    def _version(self, form: Format, file: Found) -> str | None:
        """What goes into fingerprints; None: nothing here tells these bytes from others."""
        held = Held() if self._place.remote else self._held(form, file.path)
        if held.state is None or held.changed:
            return None if file.version is None else _short(file.version)
        # The run, too: the same code and parameters may have published other rows, of an input without a version.
        return _short([held.state.fingerprint, held.state.run])

    def _held(self, form: Format, path: str) -> Held:
        if form is formats.PARQUET:
            return objects.embedded(self._folder, path)
        return objects.held_by_sidecar(self._folder, path)

    def _published(self, dataset: Dataset, files: Sequence[Found]) -> list[Mapping[str, pl.DataType] | None]:
        """The columns of each text file that still is as it was published."""
        if not layout.format_of(dataset).untyped or self._url.startswith("http"):
            return [None for _ in files]
        return self._each(lambda file: objects.sidecar_schema(self._folder, file.path), files)

    def _each(self, ask: Callable[[_In], _Out], things: Sequence[_In]) -> list[_Out]:
        """Ask about several things; a store that is far away about many at once."""
        if not self._place.remote or len(things) < 2:
            return [ask(thing) for thing in things]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(ask, things))


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _short(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
