"""A node: its function, what goes in and from where, who needs it, how it is run, and how its last run went."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from flowpipe.bound import GIVEN, Bound
from flowpipe.errors import FlowpipeError
from flowpipe.executors import ONE_CPU
from flowpipe.explaining.surroundings import Surroundings, choice_of, moment, pairs, place
from flowpipe.facts import Explanation, known
from flowpipe.frames import kind_of
from flowpipe.graph import type_name
from flowpipe.pipeline import Node
from flowpipe.staleness import as_text
from flowpipe.terminal import rows, seconds, size


def explain(bound: Bound, name: str, around: Surroundings) -> Explanation:
    """All that is to be known of a node of a pipeline."""
    node = bound.graph.nodes[name]
    writes = [write for write in bound.writes if write.node == name]
    return Explanation(
        "node",
        name,
        known(
            [
                ("pipeline", bound.name),
                ("function", str(node.where)),
                ("signature", _signature(bound, node, around)),
                ("says", [line for line in inspect.cleandoc(node.doc).splitlines() if line] if node.doc else None),
                ("takes", [_taken(bound, parameter, around) for parameter in node.inputs]),
                ("runs", _fan_out(node)),
                ("used by", ", ".join(bound.graph.consumers(name)) or None),
                (
                    "written as",
                    [f"dataset {write.dataset.name}, mode: {write.dataset.config.mode}" for write in writes],
                ),
                ("settings", list(_settings(bound, name))),
                ("last run", _last_run(bound, name, around)),
                *(("next run", around.next_run(choice_of(write.dataset.name), bound)) for write in writes),
            ]
        ),
    )


def _signature(bound: Bound, node: Node, around: Surroundings) -> str:
    kinds = {name: entry.annotation for name, entry in bound.graph.inputs.items()}
    kinds |= {name: other.annotation for name, other in bound.graph.nodes.items()}
    taken = (f"{name}: {type_name(kinds[name], around.code)}" for name in node.inputs if name in kinds)
    return f"{node.name}({', '.join(taken)}) -> {type_name(node.annotation, around.code)}"


def _taken(bound: Bound, name: str, around: Surroundings) -> str:
    """From where a parameter comes."""
    where = around.configuration.where
    if name in bound.graph.nodes:
        return f"{name}: node{place(bound.graph.nodes[name].where)}"
    if read := bound.reads.get(name):
        above = f", rows above its watermark {read.watermark}" if read.watermark else ""
        source = f"dataset {read.dataset.name} of store {read.dataset.config.store}{above}"
        return f"{name}: {source}{place(around.configuration.where_key('catalog', read.dataset.name))}"
    if name in GIVEN:
        return f"{name}: the window of the step" if name == "partition" else f"{name}: when the run began"
    for section, values in (("params", bound.shown_params), ("config", bound.shown_config)):
        if name in values:
            value = f"{section.removesuffix('s')} = {as_text(values[name])}"
            return f"{name}: {value}{place(where('pipelines', bound.name, section, name))}"
    return f"{name}: its default, {bound.graph.inputs[name].default!r}"


def _fan_out(node: Node) -> str | None:
    if node.expands:
        return "once; it gives the items of a fan-out"
    if node.within:
        return f"once for each item of {node.within}"
    return f"once, with {node.collects} of all items" if node.collects else None


def _settings(bound: Bound, name: str) -> Iterator[str]:
    """How it is run, where that is not the default."""
    settings = bound.settings[name]
    if settings.retry.config.attempts > 1:
        said = settings.retry.config.model_dump(mode="json", exclude_defaults=True)
        yield f"retry: {pairs(said)}"
    if settings.timeout is not None:
        yield f"timeout: {seconds(settings.timeout)} for each attempt"
    if settings.takes != ONE_CPU:
        takes = settings.takes
        told = {"cpus": f"{takes.cpus:g}", "memory": takes.memory and size(takes.memory), "gpus": takes.gpus}
        yield f"resources: {pairs({name: amount for name, amount in told.items() if amount})}"
    if name in bound.checkpoints:
        yield "checkpoint: its frame is kept, a run that finds it does not compute it again"
    if name in bound.config.nodes and bound.config.nodes[name].always:
        yield "always: true"


def _last_run(bound: Bound, name: str, around: Surroundings) -> str | None:
    try:
        found = around.ledger.last_of_node(bound.name, name)
    except FlowpipeError as error:
        return f"cannot be told: {around.told(error)}"
    if found is None:
        return "never, as far as the ledger tells"
    run, part, row = found
    part = "" if part == "all" else f" {part}"
    count = f", {rows(row.rows)}" if row.rows is not None else ""
    took = f", took {seconds(row.seconds)}" if row.seconds is not None else ""
    if kind_of(bound.graph.nodes[name].annotation) == "lazy":
        took = ", lazy: its rows are computed where they are written"
    return f"{moment(row.started_at, around.now)} in run {run}{part}: {row.outcome or 'running'}{count}{took}"
