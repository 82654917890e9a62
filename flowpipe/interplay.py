"""What shows only between the pipelines of a project: who writes what, params that nobody asks for, their order."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable

from flowpipe.bound import GIVEN, Bound
from flowpipe.config import Configuration
from flowpipe.errors import Problem, unknown


def shared_writes(configuration: Configuration) -> Iterable[Problem]:
    """Datasets that are written twice, and tables or paths that two written datasets share."""
    writers: dict[str, list[tuple[str, str]]] = {}
    homes: dict[tuple[str, str], str] = {}
    for name, settings in configuration.pipelines.items():
        for node, dataset in settings.writes.items():
            writers.setdefault(dataset, []).append((name, node))
    for dataset, found in writers.items():
        entry = configuration.catalog.get(dataset)
        if len(found) > 1:
            name, node = found[-1]
            text = f"dataset {dataset} is written by {' and '.join(f'{p} (node {n})' for p, n in found)}"
            yield Problem(text, configuration.where_written(name, node), "let one node write it")
        home = entry and (entry.table or entry.path)
        if entry and home:
            other = homes.setdefault((entry.store, home), dataset)
            if other != dataset:
                text = f'datasets {other} and {dataset} are both written to "{home}" of store {entry.store}'
                yield Problem(text, configuration.where_key("catalog", dataset), "give each a place of its own")


def unused_params(
    configuration: Configuration, bound: dict[str, Bound], used: set[tuple[str, str]]
) -> Iterable[Problem]:
    """Params that no pipeline they are given to asks for."""
    declared: dict[tuple[str, object], list[str]] = {}
    for name, settings in configuration.pipelines.items():
        for param in settings.params:
            key = (param, configuration.where_key("pipelines", name, "params", param))
            declared.setdefault(key, []).append(name)
    for (param, _), names in declared.items():
        if not any((name, param) in used for name in names):
            readers = [bound[name] for name in names if name in bound]
            known = {entry for reader in readers for entry in reader.graph.inputs.keys() - reader.reads - {*GIVEN}}
            yield unknown("param", param, known, configuration.where_key("pipelines", names[0], "params", param))


def ordered(configuration: Configuration, bound: dict[str, Bound]) -> tuple[list[str], list[Problem]]:
    """Pipelines in dependency order: what one writes another reads."""
    makers = {write.dataset.name: name for name, entry in bound.items() for write in entry.writes}
    before = {
        name: {makers[read.dataset.name] for read in entry.reads.values() if read.dataset.name in makers} - {name}
        for name, entry in bound.items()
    }
    try:
        return list(graphlib.TopologicalSorter(before).static_order()), []
    except graphlib.CycleError as error:
        circle = list(reversed(error.args[1]))
        text = f"pipelines read each other's datasets in a circle: {' -> '.join(circle)}"
        where = configuration.where("pipelines", circle[0])
        return list(bound), [Problem(text, where, "let one of them read a dataset that the others do not write")]
