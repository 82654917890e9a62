"""The datasets of the catalog, each with the adapter of its store; adapters are made when first asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from flowpipe import adapters, breaker, verbs
from flowpipe.adapters import Adapter, Dataset
from flowpipe.config import Configuration, StoreConfig, validate_options
from flowpipe.datasets import DatasetConfig, PartitionBy
from flowpipe.errors import ConfigError, Problem, unknown
from flowpipe.extras import install_line

REJECTED = "__rejected"


class Catalog:
    """Datasets by name, and the adapters of the profile's stores."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._open: dict[str, Adapter] = {}
        self._breakers = breaker.of_stores(configuration)
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._configuration.catalog)

    @property
    def stores(self) -> tuple[str, ...]:
        return tuple(self._configuration.stores)

    def __contains__(self, name: str) -> bool:
        return name in self._configuration.catalog

    def dataset(self, name: str) -> Dataset:
        """A dataset by its name, or by that of the rejected rows of one."""
        if name.endswith(REJECTED):
            return rejected(self.dataset(name.removesuffix(REJECTED)))
        return Dataset(name, self._configuration.catalog[name])

    def adapter(self, dataset: Dataset) -> Adapter:
        """The adapter that keeps a dataset; one per store.

        Raises:
            ConfigError: the store's adapter is unknown or its options are wrong.
        """
        return self.store(dataset.config.store)

    def store(self, store: str) -> Adapter:
        """The adapter of a store by its name.

        Raises:
            ConfigError: the store's adapter is unknown or its options are wrong.
        """
        with self._lock:
            if store not in self._open:
                self._open[store] = self._make(store, self._configuration.stores[store])
            return self._open[store]

    @cached_property
    def store_problems(self) -> tuple[Problem, ...]:
        """What is wrong with the stores' adapters and their options."""
        found: list[Problem] = []
        for name, config in self._configuration.stores.items():
            try:
                self._options(name, config)
            except ConfigError as error:
                found += error.problems
        return tuple(found)

    def dataset_problems(self, dataset: Dataset, *, written: bool) -> Iterator[Problem]:
        """What is wrong with a dataset's own configuration, as its adapter sees it; opens nothing."""
        if self.store_problems:
            return
        for path, message, hint in self.adapter(dataset).check(dataset, written=written):
            where = self._configuration.where("catalog", dataset.name, *path)
            yield Problem(f"dataset {dataset.name}: {message}", where, hint)

    def begin(self) -> None:
        """The begin of a run: stores that have a breaker look what becomes of them in it."""
        for each in self._breakers.values():
            each.begin()

    def settle(self, *, well: bool) -> None:
        """The end of a run: stores that have a breaker keep in mind what it was to them; `well`: nothing failed."""
        for each in self._breakers.values():
            each.settle(well=well)

    def close(self) -> None:
        """Close every adapter that was opened."""
        for adapter in self._open.values():
            adapter.close()
        self._open.clear()

    def _make(self, store: str, config: StoreConfig) -> Adapter:
        kind = self._class(store, config)
        if store in self._breakers:
            kind = self._breakers[store].watched(kind)
        kind = verbs.placed(kind, self._configuration.where_key("stores", store))
        made: Adapter = kind(self._options(store, config), self._configuration.root)
        return made

    def _options(self, store: str, config: StoreConfig) -> Any:
        options: Mapping[str, Any] = config.model_extra or {}
        return validate_options(self._class(store, config).Options, options, self._configuration, "stores", store)

    def _class(self, store: str, config: StoreConfig) -> Any:
        points = adapters.installed()
        if config.adapter not in points:
            where = self._configuration.where("stores", store, "adapter")
            raise ConfigError([unknown("adapter", config.adapter, points, where)])
        try:
            return points[config.adapter].load()
        except ImportError as error:
            where = self._configuration.where("stores", store, "adapter")
            text = f'adapter "{config.adapter}" cannot be loaded: {error}'
            raise ConfigError([Problem(text, where, install_line(points[config.adapter]))]) from error


def rejected(dataset: Dataset) -> Dataset:
    """The dataset that keeps the rejected rows of another: `slice`, `run`, `checks`, `row` (JSON), all text.

    It stands in the same store and is replaced slice by slice.
    """
    config = dataset.config
    name = f"{dataset.name}{REJECTED}"
    own = DatasetConfig(
        store=config.store,
        path=f"{name}/{{partition}}.parquet" if config.path else None,
        table=f"{config.table}{REJECTED}" if config.table else None,
        mode="replace",
        # A window means nothing here: rows are told apart by `slice`, files by their names.
        partition=PartitionBy(every="day", column="slice") if config.table else None,
        partition_by=["slice"] if config.table else [],
        allow_empty=True,
        was=f"{config.was}{REJECTED}" if config.was else None,
    )
    return replace(dataset, name=name, config=own)
