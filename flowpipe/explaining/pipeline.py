"""A pipeline: its modules, what goes in and comes out, its slices, and what of it is stale."""

from __future__ import annotations

from flowpipe.bound import Bound
from flowpipe.explaining.surroundings import Surroundings, every_choice, listed, pairs, place
from flowpipe.facts import Explanation, known
from flowpipe.staleness import as_text
from flowpipe.terminal import counted


def explain(bound: Bound, around: Surroundings) -> Explanation:
    """All that is to be known of a pipeline."""
    config, where = bound.config, around.configuration.where
    slices = [str(part) for part in bound.slices(around.now)]
    grain = config.partitions
    windows = f"every {grain.every}, {counted(len(slices), 'slice')}: {listed(slices)}" if grain and slices else None
    retry = config.retry.model_dump(mode="json", exclude_defaults=True)
    return Explanation(
        "pipeline",
        bound.name,
        known(
            [
                ("configured", f"conf/pipelines/{bound.name}.yml"),
                ("modules", [_module(bound, module) for module in config.modules]),
                (
                    "params",
                    [
                        f"{name} = {as_text(value)}{place(where('pipelines', bound.name, 'params', name))}"
                        for name, value in bound.shown_params.items()
                    ],
                ),
                ("config", [f"{name} = {as_text(value)}" for name, value in bound.shown_config.items()]),
                ("nodes", counted(len(bound.graph.nodes), "node")),
                ("reads", [_read(bound, name, around) for name in bound.reads]),
                ("writes", [f"{write.dataset.name}, mode: {write.dataset.config.mode}" for write in bound.writes]),
                ("partitions", windows or ("no window has closed yet" if grain else "none: it runs as a whole")),
                ("retry", pairs(retry) or None),
                ("timeout", f"{config.timeout} for each step" if config.timeout else None),
                ("next run", around.next_run(every_choice, bound)),
            ]
        ),
    )


def _module(bound: Bound, module: str) -> str:
    files = {node.where.file for node in bound.graph.nodes.values() if node.module == module}
    return f"{module}  {', '.join(sorted(files))}" if files else module


def _read(bound: Bound, name: str, around: Surroundings) -> str:
    read = bound.reads[name]
    makers = [other.name for other in around.bounds.values() for write in other.writes if write.dataset == read.dataset]
    told = f"{read.dataset.name}, " + (
        f"made by pipeline {', '.join(makers)}" if makers else f"from store {read.dataset.config.store}"
    )
    return told + ("" if read.trigger else ", trigger: false")
