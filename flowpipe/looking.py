"""Datasets that somebody looks at: found by their names, read lazily, whatever a run is doing; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from flowpipe import loading, memory, partition
from flowpipe.adapters import Adapter, Dataset, Missing
from flowpipe.adapters.abilities import Selective
from flowpipe.catalog import REJECTED, Catalog
from flowpipe.config import Configuration
from flowpipe.errors import ConfigError, DataError, FlowpipeError, UsageError, redact, unexpected, unknown
from flowpipe.partition import WHOLE, Slice
from flowpipe.roots import find_root
from flowpipe.stop import Stop


@dataclass(frozen=True)
class Look:
    """The datasets of a project with one profile; `scratch` is a folder for copies, outside of the project."""

    configuration: Configuration
    catalog: Catalog
    scratch: Path

    def source(self, name: str, window: str | None = None) -> Source:
        """A dataset by its name (of rejected rows `NAME__rejected`), or one partition of it.

        Raises:
            UsageError: there is no such dataset or partition.
            ConfigError: its configuration is wrong.
        """
        own = name.removesuffix(REJECTED)
        if own in self.configuration.flawed:
            raise ConfigError(self.configuration.problems)
        if own not in self.catalog:
            raise UsageError.of([unknown("dataset", name, self.catalog.names)])
        if wrong := list(self.catalog.dataset_problems(self.catalog.dataset(own), written=False)):
            raise ConfigError(wrong)
        dataset = self.catalog.dataset(name)
        part = WHOLE if window is None else self._slice(dataset, window)
        return Source(dataset, part, self.catalog.adapter(dataset), self)

    def named(self, name: str) -> Source | None:
        """A dataset as SQL names it, in which capitals do not count; None: there is none."""
        own = [known for known in self.catalog.names if name.removesuffix(REJECTED).lower() == known.lower()]
        if not own:
            return None
        exact = name if name.removesuffix(REJECTED) in own else own[0] + name[len(own[0]) :]
        return self.source(exact)

    def _slice(self, dataset: Dataset, window: str) -> Slice:
        if dataset.name.endswith(REJECTED):
            return partition.of_key(window)  # they are kept by the slice of the step that rejected them
        grain = dataset.config.partition
        if grain is None:
            hint = "leave --partition out; `--sql` can select rows"
            raise UsageError(f"dataset {dataset.name} has no partitions", hint=hint)
        try:
            return partition.of_window(partition.parse(window, grain.every, grain.timezone))
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            raise UsageError(f"--partition: {message}", hint=hint) from None


@dataclass(frozen=True)
class Source:
    """The rows of a dataset or of one partition of it, which are read whenever somebody asks for them."""

    dataset: Dataset
    part: Slice
    adapter: Adapter
    look: Look

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns and types.

        Raises:
            UsageError: there is nothing yet.
            DataError: what is there cannot be read.
        """
        if isinstance(self.adapter, Selective):
            return self.frame(rows=0).collect_schema()
        return self._whole.collect_schema()

    def frame(self, columns: Sequence[str] | None = None, rows: int | None = None) -> pl.LazyFrame:
        """Some columns (None: all) and the first rows (None: all).

        Raises:
            UsageError, DataError: as `schema`.
        """
        if isinstance(self.adapter, Selective):
            with self._told():
                return self.adapter.some(self.dataset, self.part, self.look.scratch, columns, rows)
        frame = self._whole if columns is None else self._whole.select(columns)
        return frame if rows is None else frame.head(rows)

    @cached_property
    def _whole(self) -> pl.LazyFrame:
        with self._told():
            pin = self.adapter.pin(self.dataset, self.part)
            frame = self.adapter.read(self.dataset, self.part, pin, self.look.scratch)
            frame.collect_schema()  # so that a damaged file is told of here
            return frame

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Missing as missing:
            raise self._missing(missing) from missing
        except (OSError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
            raise unreadable(error, f"dataset {self.title}") from error

    @property
    def title(self) -> str:
        """The dataset's name, and the partition's."""
        return self.dataset.name if self.part.kind == "whole" else f"{self.dataset.name} {self.part}"

    @property
    def place(self) -> str:
        """Where it is, in words."""
        store = self.dataset.config.store
        return f"store {store}, {self.look.configuration.stores[store].adapter}"

    def _missing(self, missing: Missing) -> UsageError:
        configuration, own = self.look.configuration, self.dataset.name.removesuffix(REJECTED)
        text = f'{missing.location} (store "{self.dataset.config.store}")'
        if own != self.dataset.name:
            kept = configuration.catalog[own].on_invalid == "quarantine"
            hint = "none was rejected yet" if kept else f"`on_invalid: quarantine` of dataset {own} keeps them"
            return UsageError(f"there are no rejected rows of {own}: no {text}", hint=hint)
        where = configuration.where_key("catalog", own)
        writers = [name for name, pipeline in configuration.pipelines.items() if own in pipeline.writes.values()]
        if writers:
            command = f"flowpipe run {writers[0]}"
            if self.part.window and configuration.pipelines[writers[0]].partitions:
                command += f" --partition {self.part}"
            if configuration.profile != configuration.project.profile:
                command += f" --profile {configuration.profile}"
            hint = f"pipeline {writers[0]} writes it: {command}"
            return UsageError(f"dataset {self.title} is not there yet: {text}", where=where, hint=hint)
        near = f"the nearest that is there: {missing.near}" if missing.near else None
        hint = near or "no pipeline writes it: put it there, or mend its place in the catalog"
        return UsageError(f"dataset {self.title} is not there: {text}", where=where, hint=hint)


def unreadable(error: Exception, what: str) -> DataError:
    """The words for rows that are there, but cannot be read."""
    reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    hint = "mend the data, or the dataset's `format:` and `options:`"
    return DataError(f"{what} cannot be read: {reason}", hint=hint)


def project(path: Path, profile: str | None) -> AbstractContextManager[Look]:
    """The same as `opened`, of the project at or above a path; none of its code is loaded.

    Raises:
        UsageError: there is no project.
        ConfigError: the catalog or the profile cannot be read.
    """
    configuration = loading.load_valid(find_root(path), profile=profile)
    return opened(configuration, Catalog(configuration))


@contextmanager
def opened(configuration: Configuration, catalog: Catalog) -> Iterator[Look]:
    """A look for as long as the block takes, without a lock; its adapters are closed afterwards.

    Raises:
        FlowpipeError: what went wrong in the block, without secrets; Interrupted for a signal.
    """
    stop = Stop()
    with TemporaryDirectory(prefix="flowpipe-", ignore_cleanup_errors=True) as folder:
        spill = Path(folder) if configuration.memory_budget is None else memory.own_spill()
        try:
            with stop.listening(), memory.bounded(configuration.memory_budget, spill):
                yield Look(configuration, catalog, Path(folder))
        except Exception as error:
            told = stop.interrupted or _told(error)
            told.hide(partial(redact, secrets=configuration.secrets))
            if told is error:
                raise
            raise told from error
        finally:
            catalog.close()


def _told(error: Exception) -> FlowpipeError:
    if isinstance(error, FlowpipeError):
        return error
    if isinstance(error, OSError | pl.exceptions.PolarsError):
        return unreadable(error, "a row")
    return unexpected(error)
