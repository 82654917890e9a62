"""A project's configuration with temporary stores, state and executor in the place of its own: tests touch nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowpipe import adapters, loading
from flowpipe.adapters.abilities import Replaceable
from flowpipe.config import Configuration, ExecutorConfig, StoreConfig
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import ConfigError, Problem

_REPLACED = ("stores", "executor")


def load(root: Path, folder: Path, *, profile: str | None = None, sets: Sequence[str] = ()) -> Configuration:
    """A project with every store of its profile replaced by an empty one below `folder`.

    `${...}` of stores need not be known. The executor is `sync`, unless a flag asks for another one. A dataset that a
    query gives is a table instead, of its own name.

    Raises:
        ConfigError: files cannot be read, or nothing can stand in for a store.
    """
    try:
        found = loading.load_valid(root, profile=profile, sets=sets)
    except ConfigError:
        # Once more for what is wrong without all that need not be known.
        found = loading.load_valid(root, profile=profile, sets=sets, resolve=False)
    stores = dict(found.stores)
    problems: list[Problem] = []
    for name, config in found.stores.items():
        try:
            stores[name] = stand_in(name, config, folder / "stores" / name, found)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError([*_certain(found), *problems])
    asked = any(flag.startswith("executor.") for flag in sets)
    return replace(
        found,
        root=folder,
        sources=root,
        stores=stores,
        executor=found.executor if asked else ExecutorConfig(type="sync"),
        catalog={name: _fitting(name, each, found.stores, stores) for name, each in found.catalog.items()},
        problems=tuple(_certain(found)),
    )


def stand_in(name: str, config: StoreConfig, folder: Path, configuration: Configuration) -> StoreConfig:
    """What takes the place of one store; the store itself where its adapter is not known, which a check tells.

    Raises:
        ConfigError: its adapter says nothing of tests.
    """
    points = adapters.installed()
    try:
        kind: Any = points[config.adapter].load()
    except (KeyError, ImportError):
        return config
    if not isinstance(kind, Replaceable):
        where = configuration.where("stores", name, "adapter")
        text = f'store {name}: the adapter "{config.adapter}" does not say what stands in for it in tests'
        hint = f'let another one: sets=["stores.{name}.adapter=duckdb"]; its author can give it `temporary(folder)`'
        raise ConfigError([Problem(text, where, hint)])
    folder.mkdir(parents=True, exist_ok=True)
    return StoreConfig.model_validate({"adapter": config.adapter, **kind.temporary(folder)})


def _certain(found: Configuration) -> Iterator[Problem]:
    """What is wrong, without what could not be looked up of that which is replaced."""
    document = found.document
    places = {document.where(path) for path in document.unresolved if path[:1] and path[0] in _REPLACED}
    return (problem for problem in found.problems if problem.where not in places)


def _fitting(
    name: str, dataset: DatasetConfig, real: Mapping[str, StoreConfig], temporary: Mapping[str, StoreConfig]
) -> DatasetConfig:
    """A dataset as its temporary store takes it."""
    changes: dict[str, Any] = {}
    if dataset.query:
        # What a foreign database would compute is what a test gives; the query may be of another dialect.
        changes |= {"query": None, "table": name}
        if dataset.partition and not dataset.partition.column:
            changes["partition"] = None
    if real[dataset.store].adapter != temporary[dataset.store].adapter:
        changes |= {"swap": False, "after_publish": []}
    return dataset.model_copy(update=changes)
