"""A dataset: its place, its maker, its readers, its columns, what is published of it, why it would be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from flowpipe.adapters import Adapter, Dataset, Missing
from flowpipe.bound import Bound, Write
from flowpipe.errors import FlowpipeError
from flowpipe.explaining.surroundings import Surroundings, choice_of, listed, moment, place
from flowpipe.facts import Explanation, known
from flowpipe.grid import type_name
from flowpipe.partition import WHOLE
from flowpipe.terminal import counted, rows


def explain(name: str, around: Surroundings) -> Explanation:
    """All that is to be known of a dataset of the catalog."""
    config = around.catalog.dataset(name).config
    bounds = around.bounds.values()
    makers = [(bound, write) for bound in bounds for write in bound.writes if write.dataset.name == name]
    store = around.configuration.stores[config.store].adapter
    where = f"table {config.table}" if config.table else config.path or "a query"
    grain = config.partition
    slices = f"one slice per {grain.every}" + (f" of {grain.column}" if grain.column else "") if grain else None
    return Explanation(
        "dataset",
        name,
        known(
            [
                ("stored", f"store {config.store} ({store}), {where}"),
                ("catalog", str(around.configuration.where_key("catalog", name))),
                ("made by", _makers(makers, around) or "no pipeline: it is only read"),
                ("read by", _readers(name, makers, around) or "no pipeline"),
                ("mode", config.mode if makers else None),
                ("key", ", ".join(config.key) or None),
                ("partition", slices),
                ("schema", f"{config.schema_}, on_invalid: {config.on_invalid}" if config.schema_ else None),
                ("columns", _columns(name, makers, around)),
                *(("published", _published(bound, write, around)) for bound, write in makers),
                *(("next run", around.next_run(choice_of(name), bound)) for bound, _ in makers),
            ]
        ),
    )


def _makers(makers: list[tuple[Bound, Write]], around: Surroundings) -> list[str]:
    return [
        f"node {write.node} of pipeline {bound.name}{place(bound.graph.nodes[write.node].where)}"
        f"{place(around.configuration.where_written(bound.name, write.node))}"
        for bound, write in makers
    ]


def _readers(name: str, makers: list[tuple[Bound, Write]], around: Surroundings) -> list[str]:
    found = []
    for bound in around.bounds.values():
        for read in bound.reads.values():
            if read.dataset.name == name and (nodes := bound.graph.consumers(read.parameter)):
                as_what = f" as {read.parameter}" if read.parameter != name else ""
                found.append(f"{_nodes(nodes)} of pipeline {bound.name}{as_what}")
    for bound, write in makers:
        if nodes := bound.graph.consumers(write.node):
            found.append(f"{_nodes(nodes)} of pipeline {bound.name} itself, as it is made")
    return found


def _nodes(names: Sequence[str]) -> str:
    return f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names)}"


def _columns(name: str, makers: list[tuple[Bound, Write]], around: Surroundings) -> list[str]:
    """Those that are stored now, else those that the schema declares."""
    dataset = around.catalog.dataset(name)
    why = "not there yet"
    try:
        adapter = around.catalog.adapter(dataset)
        if now := adapter.schema(dataset):
            return _aligned({column: type_name(dtype) for column, dtype in now.items()})
        if not makers:
            return _guessed(adapter, dataset)
    except Missing as missing:
        near = f", the nearest that is there: {missing.near}" if missing.near else ""
        why = f"not there: {missing.location}{near}"
    except FlowpipeError as error:
        why = f"the store cannot be asked: {around.told(error)}"
    schemas = [write.audit.schema for _, write in makers if write.audit.schema is not None]
    declared = {column: each.dtype for schema in schemas for column, each in schema.columns.items()}
    said = {column: type_name(dtype.type) if dtype else str(dtype) for column, dtype in declared.items()}
    return [f"{why}; the schema says:", *_aligned(said)] if said else [why]


def _guessed(adapter: Adapter, dataset: Dataset) -> list[str]:
    """The columns of text, which has no types but those that are found when it is read.

    Raises:
        Missing: there is nothing to read.
    """
    pin = adapter.pin(dataset, WHOLE)
    try:
        with TemporaryDirectory() as spool:
            found = adapter.read(dataset, WHOLE, pin, Path(spool)).collect_schema()
    except Exception as error:  # noqa: BLE001 - whatever a reader says of text that it cannot read
        return [f"cannot be read: {str(error).strip().partition(chr(10))[0]}"]
    return _aligned({column: type_name(dtype) for column, dtype in found.items()})


def _aligned(columns: Mapping[str, str]) -> list[str]:
    wide = max(map(len, columns), default=0)
    return [f"{name:<{wide}}  {dtype}" for name, dtype in columns.items()]


def _published(bound: Bound, write: Write, around: Surroundings) -> list[str]:
    """Which slices are there, and which publish was the last."""
    slices = bound.slices(around.now)
    try:
        held = around.catalog.adapter(write.dataset).held(write.dataset, slices)
    except FlowpipeError as error:
        return [f"the store cannot be asked: {around.told(error)}"]
    found = {part: held[part.key] for part in slices}
    states = {part: each.state for part, each in found.items() if each.state is not None}
    if not states:
        return ["never"]
    part, last = max(reversed(states.items()), key=lambda item: item[1].published_at)
    told = [f"{moment(datetime.fromisoformat(last.published_at), around.now)} by run {last.run}"]
    if slices != (WHOLE,):
        told[0] += f", slice {part}"
        told.append(f"{len(states)} of {counted(len(slices), 'slice')}, {rows(sum(s.rows for s in states.values()))}")
    else:
        told.append(rows(last.rows))
    for change in dict.fromkeys(each.changed for each in found.values() if each.changed):
        changed = [str(part) for part, each in found.items() if each.changed == change]
        told.append(f"changed since: {change}" + (f" ({listed(changed)})" if slices != (WHOLE,) else ""))
    return told
