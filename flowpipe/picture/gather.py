"""The parts of a picture are gathered from what `check` bound: data alone, without secrets; no store is opened."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from flowpipe import graph
from flowpipe.adapters import Dataset
from flowpipe.bound import GIVEN, Bound, Read, Write
from flowpipe.catalog import REJECTED
from flowpipe.config import Configuration
from flowpipe.errors import redact
from flowpipe.modules import ProjectCode
from flowpipe.picture.parts import Edge, Facts, Group, Parts, Vertex
from flowpipe.pipeline import Input, Node


@dataclass(frozen=True)
class Gatherer:
    """Gathers the whole project, or of `chosen` pipelines what they read and write, and who else does.

    The nodes of the `opened` ones are shown; others are one box each.
    """

    bounds: Mapping[str, Bound]
    configuration: Configuration
    code: ProjectCode
    chosen: Collection[str]
    opened: Collection[str]

    def parts(self) -> Parts:
        """All of it."""
        datasets = self._datasets()
        pipelines = [
            bound for bound in self.bounds.values() if not self.chosen or _touched(bound).keys() & datasets.keys()
        ]
        opened = [bound for bound in pipelines if bound.name in self.opened]
        closed = [bound for bound in pipelines if bound.name not in self.opened]
        vertices = [
            *(self._dataset(dataset) for dataset in datasets.values()),
            *(
                self._before(bound, read)
                for bound in pipelines
                for read in _again(bound)
                if read.dataset.name in datasets
            ),
            *(Vertex(f"pipeline:{b.name}", "pipeline", b.name, _counted(b), self._about(b)) for b in closed),
            *(vertex for bound in opened for vertex in self._inside(bound)),
        ]
        edges = dict.fromkeys(edge for bound in pipelines for edge in self._flows(bound, datasets))
        groups = tuple(Group(bound.name, _grain(bound), self._about(bound)) for bound in opened)
        note = f"profile {self.configuration.profile}"
        if not self.chosen:
            note += f" \u00b7 {_many(len(pipelines), 'pipeline')}, {_many(len(datasets), 'dataset')}"
        title = self.configuration.project.name
        if self.chosen:
            title += f": {', '.join(name for name in self.bounds if name in self.chosen)}"
        return Parts(title, note, groups, tuple(vertices), tuple(edges))

    def _datasets(self) -> dict[str, Dataset]:
        found: dict[str, Dataset] = {}
        for bound in self.bounds.values():
            if not self.chosen or bound.name in self.chosen:
                found |= _touched(bound)
        if not self.chosen:
            found |= {n: Dataset(n, c) for n, c in self.configuration.catalog.items() if n not in found}
        return found

    def _dataset(self, dataset: Dataset) -> Vertex:
        store = self.configuration.stores.get(dataset.config.store)
        is_used = dataset.name in self._writes or dataset.name in self._reads
        told = (dataset.config.store, *([store.adapter] if store else []), *([] if is_used else ["unused"]))
        note = " \u00b7 ".join(told)
        return Vertex(f"dataset:{dataset.name}", "dataset", dataset.name, note, self._of_dataset(dataset))

    def _before(self, bound: Bound, read: Read) -> Vertex:
        note = f"as it was before {bound.name}"
        facts = self._of_dataset(read.dataset)
        return Vertex(f"before:{read.dataset.name}", "dataset", read.dataset.name, note, facts)

    def _of_dataset(self, dataset: Dataset) -> Facts:
        config = dataset.config
        writers, readers = self._writes.get(dataset.name, []), self._reads.get(dataset.name, [])
        audits = [write.audit for _, write in writers] + [read.contract for _, read in readers if read.contract]
        columns = next((audit.declared for audit in audits if audit.declared), ())
        kept = f" into {dataset.name}{REJECTED}" if config.on_invalid == "quarantine" else ""
        grain = config.partition
        facts = {
            "store": config.store,
            "path": config.path,
            "table": config.table,
            "query": config.query and " ".join(config.query.split()),
            "mode": config.mode if writers else None,
            "key": ", ".join(config.key),
            "partition": f"{grain.every}{f' by {grain.column}' if grain.column else ''}" if grain else None,
            "schema": config.schema_,
            "invalid rows": f"{config.on_invalid}{kept}" if config.schema_ else None,
            "columns": "\n".join(f"{name} {kind}" for name, kind in columns),
            "written by": _names(writers),
            "read by": _names(readers),
        }
        return self._shown(facts)

    @cached_property
    def _writes(self) -> dict[str, list[tuple[str, Write]]]:
        """By dataset, each pipeline that writes it, and how."""
        found: dict[str, list[tuple[str, Write]]] = {}
        for bound in self.bounds.values():
            for write in bound.writes:
                found.setdefault(write.dataset.name, []).append((bound.name, write))
        return found

    @cached_property
    def _reads(self) -> dict[str, list[tuple[str, Read]]]:
        """By dataset, each pipeline that reads it, and how."""
        found: dict[str, list[tuple[str, Read]]] = {}
        for bound in self.bounds.values():
            for read in bound.reads.values():
                found.setdefault(read.dataset.name, []).append((bound.name, read))
        return found

    def _shown(self, facts: Mapping[str, str | None]) -> Facts:
        hide = partial(redact, secrets=self.configuration.secrets)
        return tuple((name, hide(value)) for name, value in facts.items() if value)

    def _about(self, bound: Bound) -> Facts:
        windows = bound.config.partitions
        span = f"{windows.every} from {windows.start}{f' to {windows.end}' if windows.end else ''}" if windows else None
        return self._shown(
            {
                "modules": ", ".join(bound.config.modules),
                "nodes": str(len(bound.graph.nodes)),
                "partitions": span,
                "reads": ", ".join(dict.fromkeys(read.dataset.name for read in bound.reads.values())),
                "writes": ", ".join(write.dataset.name for write in bound.writes),
            }
        )

    def _inside(self, bound: Bound) -> Iterator[Vertex]:
        for entry in bound.graph.inputs.values():
            if entry.name not in bound.reads:
                yield self._input(bound, entry)
        for node in bound.graph.nodes.values():
            yield self._node(bound, node)

    def _input(self, bound: Bound, entry: Input) -> Vertex:
        facts = {"type": graph.type_name(entry.annotation, self.code), "taken by": ", ".join(entry.used_by)}
        place = f"{bound.name}.{entry.name}"
        if entry.name in GIVEN:
            return Vertex(f"given:{place}", "given", entry.name, "", self._shown(facts), bound.name)
        known = {**bound.shown_config, **bound.shown_params}
        value = _text(known[entry.name]) if entry.name in known else _text(entry.default)
        origin = "param" if entry.name in bound.shown_params else "config" if entry.name in known else "default"
        facts |= {"value": value, "from": origin}
        return Vertex(f"param:{place}", "param", entry.name, " ".join(value.split()), self._shown(facts), bound.name)

    def _node(self, bound: Bound, node: Node) -> Vertex:
        note = (
            f"for each of {node.within}" if node.within else "one for each item" if node.expands
            else f"all of {node.collects}" if node.collects else ""
        )  # fmt: skip
        facts = {
            "about": node.doc.strip().partition("\n")[0],
            "type": graph.type_name(node.annotation, self.code),
            "at": str(node.where),
            "tags": ", ".join(f"{key}={value}" for key, value in node.tags.items()),
            "written to": ", ".join(write.dataset.name for write in bound.writes if write.node == node.name),
        }
        return Vertex(f"node:{bound.name}.{node.name}", "node", node.name, note, self._shown(facts), bound.name)

    def _flows(self, bound: Bound, datasets: Collection[str]) -> Iterator[Edge]:
        """The edges of a pipeline, to and from the datasets that are shown."""
        is_open, again = bound.name in self.opened, {read.dataset.name for read in _again(bound)}
        box = f"pipeline:{bound.name}"
        sources = {
            read.parameter: f"{'before' if read.dataset.name in again else 'dataset'}:{read.dataset.name}"
            for read in bound.reads.values()
            if read.dataset.name in datasets
        }
        if is_open:
            yield from self._inner_flows(bound, sources)
        else:
            yield from (Edge(source, box) for source in sources.values())
        for write in bound.writes:
            if write.dataset.name in datasets:
                yield Edge(f"node:{bound.name}.{write.node}" if is_open else box, f"dataset:{write.dataset.name}")

    def _inner_flows(self, bound: Bound, sources: Mapping[str, str]) -> Iterator[Edge]:
        for node in bound.graph.nodes.values():
            for name in node.inputs:
                target = f"node:{bound.name}.{node.name}"
                if name in sources:
                    yield Edge(sources[name], target, _of_read(bound.reads[name]))
                elif name in bound.graph.nodes:
                    yield Edge(f"node:{bound.name}.{name}", target)
                elif name in bound.graph.inputs:
                    yield Edge(f"{'given' if name in GIVEN else 'param'}:{bound.name}.{name}", target)


def _names(pipelines: Iterable[tuple[str, object]]) -> str:
    return ", ".join(dict.fromkeys(name for name, _ in pipelines))


def _touched(bound: Bound) -> dict[str, Dataset]:
    reads = {read.dataset.name: read.dataset for read in bound.reads.values()}
    return reads | {write.dataset.name: write.dataset for write in bound.writes}


def _again(bound: Bound) -> list[Read]:
    """What a pipeline reads that it writes itself: a picture has it twice, so that it has no circle."""
    written = {write.dataset.name for write in bound.writes}
    return list({r.dataset.name: r for r in bound.reads.values() if r.dataset.name in written}.values())


def _of_read(read: Read) -> str:
    told = [
        *([f"as {read.parameter}"] if read.parameter != read.dataset.name else []),
        *([f"above its greatest {read.watermark}"] if read.watermark else []),
        *([] if read.trigger else ["no trigger"]),
    ]
    return ", ".join(told)


def _many(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _grain(bound: Bound) -> str:
    return f"by {bound.config.partitions.every}" if bound.config.partitions else ""


def _counted(bound: Bound) -> str:
    return " \u00b7 ".join(text for text in (_many(len(bound.graph.nodes), "node"), _grain(bound)) if text)


def _text(value: Any) -> str:
    """A value as YAML writes it; of others only the type, for they may print differently each time."""
    if value is None or isinstance(value, (str, int, float, bool, list, dict)):
        return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return f"a {type(value).__name__}"
