"""How a pipeline's graph is bound by name to params and datasets, and everything that can be wrong with that."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Any

from flowpipe import fingerprint, hooks, reuse, settings
from flowpipe.adapters import Dataset
from flowpipe.audit import Audit, compile_schema
from flowpipe.bound import GIVEN, Bound, Read, Write
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration, coerce
from flowpipe.errors import FlowpipeError, Problem, Where, unknown
from flowpipe.frames import kind_of
from flowpipe.modules import ProjectCode
from flowpipe.partition import Window
from flowpipe.pipeline import Pipeline
from flowpipe.pipelinefile import PipelineConfig

_ADD_DATASET = "add it to conf/catalog.yml"


@dataclass
class Binder:
    """Binds one pipeline; `problems` gathers everything that is wrong with it."""

    name: str
    configuration: Configuration
    catalog: Catalog
    code: ProjectCode
    graph: Pipeline
    written: frozenset[str]
    problems: list[Problem] = field(default_factory=list)
    used_params: set[str] = field(default_factory=set)

    def bind(self) -> Bound:
        """The bound pipeline; only to be used when `problems` stayed empty."""
        config = self.configuration.pipelines[self.name]
        params, reads = self._inputs(config)
        writes = tuple(self._writes(config))
        self._unknown_names(config)
        self._increments(config, reads)
        for node in self.graph.nodes.values():
            if kind_of(node.annotation) == "reader":
                self._read_once(node.name, self.graph.consumers(node.name), node.where)
        settled = settings.settle(self.name, self.configuration, self.graph.nodes, self.code)
        self.problems += settled.problems
        watching, problems = hooks.bind(self.name, self.configuration, self.code, self.graph.validated)
        self.problems += problems
        code = {
            module: fingerprint.of_code(self.code.source(module))
            for module in sorted({m for top in config.modules for m in (top, *self.code.imports(top))})
        }
        shown_params, shown_config = self._masked(config.params, "params"), self._masked(config.config, "config")
        bound = Bound(
            self.name,
            config,
            self.graph,
            params,
            shown_params,
            shown_config,
            reads,
            writes,
            code,
            settled.nodes,
            settled.notes,
            reuse.kept(self.graph.nodes, config),
            watching,
        )
        self.problems += reuse.problems(bound, partial(self.configuration.where, "pipelines", self.name))
        return bound

    def _masked(self, value: Any, *path: str | int) -> Any:
        """A value of the pipeline's YAML with `***` in the place of every secret in it."""
        if isinstance(value, dict):
            return {name: self._masked(member, *path, name) for name, member in value.items()}
        if isinstance(value, list):
            return [self._masked(member, *path, number) for number, member in enumerate(value)]
        return "***" if self.configuration.is_secret("pipelines", self.name, *path) else value

    def _inputs(self, config: PipelineConfig) -> tuple[dict[str, Any], dict[str, Read]]:
        params: dict[str, Any] = {}
        reads: dict[str, Read] = {}
        for entry in self.graph.inputs.values():
            name = entry.name
            dataset = config.reads[name].dataset if name in config.reads else name
            sources = [
                source
                for source, there in (
                    ("a param", name in config.params),
                    ("a config value", name in config.config),
                    ("a dataset", name in config.reads or name in self.catalog),
                    (f"the run's own `{name}`", name in GIVEN),
                )
                if there
            ]
            node = self.graph.nodes[entry.used_by[0]]
            if len(sources) > 1:
                self.used_params.add(name)
                text = f'"{name}" of node {node.name} is {" and ".join(sources)}'
                self.problems.append(Problem(text, node.where, "rename one of them"))
            elif name in config.params:
                self.used_params.add(name)
                self._param(name, config.params[name], entry.annotation, params)
            elif name in config.config:
                params[name] = config.config[name]
            elif name in GIVEN:
                self._given(name, entry.annotation, config, entry.optional)
            elif dataset in self.catalog:
                read = self._read(name, dataset, entry.annotation, entry.used_by, config)
                if read:
                    reads[name] = read
            elif not entry.optional and name not in config.reads and name not in self.configuration.flawed:
                known = {*self.graph.nodes, *config.params, *self._datasets, *GIVEN} - {node.name}
                add = f"add it to conf/catalog.yml, or to params: in conf/pipelines/{self.name}.yml"
                self.problems.append(unknown(f"input of node {node.name}:", name, known, node.where, add=add))
        return params, reads

    @property
    def _datasets(self) -> frozenset[str]:
        """Every dataset that is configured, also wrongly."""
        return self.configuration.flawed.union(self.catalog.names)

    def _param(self, name: str, value: Any, annotation: Any, params: dict[str, Any]) -> None:
        if not self.configuration.is_resolved("pipelines", self.name, "params", name):
            return
        try:
            params[name] = coerce(value, annotation)
        except ValueError as error:
            where = self.configuration.where("pipelines", self.name, "params", name)
            secret = self.configuration.is_secret("pipelines", self.name, "params", name)
            text = f"is no {getattr(annotation, '__name__', annotation)}" if secret else str(error)
            self.problems.append(Problem(f"param {name}: {text}", where, "write a value of the annotated type"))

    def _given(self, name: str, annotation: Any, config: PipelineConfig, optional: bool) -> None:
        node = self.graph.nodes[self.graph.inputs[name].used_by[0]]
        if name == "partition" and config.partitions is None and not optional:
            text = f"node {node.name} asks for `partition`, but pipeline {self.name} has no partitions"
            hint = f"add `partitions: {{every: month, start: 2024-01}}` to conf/pipelines/{self.name}.yml"
            self.problems.append(Problem(text, node.where, hint))
        allowed = (Window, date, datetime, str) if name == "partition" else (date, datetime, str)
        if annotation not in allowed and annotation is not inspect.Parameter.empty:
            names = ", ".join(kind.__name__ for kind in allowed)
            text = f"`{name}` of node {node.name} is annotated {getattr(annotation, '__name__', annotation)}"
            self.problems.append(Problem(text, node.where, f"annotate it with one of: {names}"))

    def _read(
        self, name: str, dataset: str, annotation: Any, used_by: tuple[str, ...], config: PipelineConfig
    ) -> Read | None:
        found = self.catalog.dataset(dataset)
        kind = kind_of(annotation)
        node = self.graph.nodes[used_by[0]]
        if kind is None:
            shown = getattr(annotation, "__name__", annotation)
            text = f"node {node.name} reads dataset {dataset} as {shown}, which is no frame"
            hint = "annotate it pl.LazyFrame, pl.DataFrame, pd.DataFrame, pa.Table, pa.RecordBatchReader or a relation"
            self.problems.append(Problem(text, node.where, hint))
            return None
        if kind == "reader":
            self._read_once(name, used_by, node.where)
        self._read_grain(found, config)
        if dataset not in self.written:
            self.problems += self.catalog.dataset_problems(found, written=False)
        asked = config.reads.get(name)
        settings = (asked.trigger, asked.watermark) if asked else (True, None)
        if dataset in self.written or found.config.schema_ is None:
            return Read(name, found, kind, *settings)
        return Read(name, found, kind, *settings, *self._audit(found))

    def _read_once(self, name: str, used_by: tuple[str, ...], where: Where) -> None:
        if len(used_by) > 1:
            text = f"the stream {name} can be read once, but nodes {', '.join(used_by)} read it"
            self.problems.append(Problem(text, where, "annotate it pa.Table or pl.LazyFrame"))

    def _read_grain(self, dataset: Dataset, config: PipelineConfig) -> None:
        grain, windows = dataset.config.partition, config.partitions
        if grain is None or windows is None:
            return
        order = ("day", "month", "year")
        if order.index(windows.every) < order.index(grain.every) and grain.column is None:
            where = self.configuration.where("pipelines", self.name, "partitions")
            text = f"pipeline {self.name} runs by {windows.every}, but dataset {dataset.name} is kept by {grain.every}"
            hint = f"give the dataset `partition: {{every: {grain.every}, column: COLUMN}}` to cut it by rows"
            self.problems.append(Problem(text, where, hint))

    def _writes(self, config: PipelineConfig) -> Iterator[Write]:
        for node_name, dataset_name in config.writes.items():
            where = self.configuration.where_written(self.name, node_name)
            if node_name not in self.graph.nodes:
                self.problems.append(unknown("node", node_name, self.graph.nodes, where))
            if dataset_name not in self._datasets and (node_name in self.graph.nodes or node_name != dataset_name):
                self.problems.append(unknown("dataset", dataset_name, self._datasets, where, add=_ADD_DATASET))
            if node_name not in self.graph.nodes or dataset_name not in self.catalog:
                continue
            node, dataset = self.graph.nodes[node_name], self.catalog.dataset(dataset_name)
            if source := node.within or (node.name if node.expands else None):
                text = f"node {node_name} is written, but there is one for each item of {source}"
                self.problems.append(Problem(text, node.where, "write the node that collects it"))
                continue
            kind = kind_of(node.annotation)
            if kind is None:
                shown = getattr(node.annotation, "__name__", node.annotation)
                text = f"node {node_name} is written to dataset {dataset_name}, but returns {shown}"
                self.problems.append(Problem(text, node.where, "return a frame, such as pl.LazyFrame"))
                continue
            self.problems += self.catalog.dataset_problems(dataset, written=True)
            self.problems += self._write_grain(dataset, config)
            audit, schema_code = self._audit(dataset)
            yield Write(node_name, dataset, kind, audit, schema_code)

    def _write_grain(self, dataset: Dataset, config: PipelineConfig) -> Iterator[Problem]:
        grain, windows, mode = dataset.config.partition, config.partitions, dataset.config.mode
        where = self.configuration.where("catalog", dataset.name, "mode")
        head = f"dataset {dataset.name}: mode {mode}"
        add = f"add `partitions:` to conf/pipelines/{self.name}.yml"
        if mode == "overwrite" and windows is not None:
            text = f"{head} would overwrite the whole with each {windows.every} of pipeline {self.name}"
            yield Problem(text, where, "use mode replace with `partition:`, append or merge")
        elif mode == "append" and windows is None and not any(read.watermark for read in config.reads.values()):
            hint = f"{add}, or a `watermark:` to a read"
            yield Problem(f"{head} needs slices, so that nothing is appended twice", where, hint)
        elif mode == "replace" and windows is None:
            yield Problem(f"{head} replaces one window at a time, but pipeline {self.name} has none", where, add)
        elif (
            mode in {"replace", "append"}
            and grain
            and windows
            and (grain.every, grain.timezone)
            != (
                windows.every,
                windows.timezone,
            )
        ):
            text = f"{head} is kept by {grain.every} ({grain.timezone})"
            hint = f"pipeline {self.name} runs by {windows.every} ({windows.timezone}); make the two the same"
            yield Problem(text, where, hint)

    def _increments(self, config: PipelineConfig, reads: Mapping[str, Read]) -> None:
        """A pipeline that loads only new rows does so of one read, as a whole, and adds them to what is there."""
        asked = [read for read in reads.values() if read.watermark]
        for number, read in enumerate(asked):
            where = self.configuration.where("pipelines", self.name, "reads", read.parameter, "watermark")
            head, hint = f"pipeline {self.name}: the watermark of {read.parameter}", None
            if number:
                hint = "load the other by a pipeline of its own"
                self.problems.append(Problem(f"{head} is the second", where, hint))
            elif not read.trigger:
                self.problems.append(Problem(f"{head} needs `trigger: true`", where, "take `trigger:` out"))
            elif config.partitions:
                hint = "take one of them out"
                self.problems.append(Problem(f"{head} and `partitions:` exclude each other", where, hint))
            elif any(other is not read and other.dataset.name == read.dataset.name for other in reads.values()):
                hint = "read it once, or under another name"
                self.problems.append(Problem(f"{head} is of a dataset that is read twice", where, hint))
        for node, name in config.writes.items() if asked else ():
            settings = self.catalog.dataset(name).config if name in self.catalog else None
            where = self.configuration.where_written(self.name, node)
            if settings and settings.path:
                text = f"dataset {name}: new rows cannot be added to files, which are replaced whole"
                self.problems.append(Problem(text, where, "write it to a delta, duckdb or postgres store"))
            elif settings and settings.mode in {"overwrite", "replace"}:
                text = f"dataset {name}: mode {settings.mode} would leave only the rows above the watermark"
                self.problems.append(Problem(text, where, "use mode append, merge or snapshot"))
            elif settings and settings.missing != "keep":
                text = f"dataset {name}: a key that is not among the new rows is not missing"
                self.problems.append(Problem(text, where, "use `missing: keep`, or read without a watermark"))

    def _audit(self, dataset: Dataset) -> tuple[Audit, str | None]:
        reference = dataset.config.schema_
        if reference is None:
            return Audit(), None
        where = self.configuration.where("catalog", dataset.name, "schema")
        try:
            audit = compile_schema(self.code.load_object(reference), on_invalid=dataset.config.on_invalid)
        except FlowpipeError as error:
            self.problems += [Problem(p.message, p.where or where, p.hint) for p in error.problems]
            return Audit(), None
        module = reference.partition(":")[0]
        sources = [self.code.source(name) for name in sorted({module, *self.code.imports(module)})]
        code = fingerprint.of_parts({str(i): fingerprint.of_code(text) for i, text in enumerate(sources)})
        return audit, f"{reference} {code}"

    def _unknown_names(self, config: PipelineConfig) -> None:
        for section, names, kind, known in (
            ("nodes", config.nodes, "node", self.graph.nodes),
            ("reads", config.reads, "parameter", self.graph.inputs),
        ):
            for name in names:
                if name not in known:
                    where = self.configuration.where_key("pipelines", self.name, section, name)
                    self.problems.append(unknown(kind, name, known, where))
        for name, read in config.reads.items():
            if read.dataset not in self._datasets:
                where = self.configuration.where("pipelines", self.name, "reads", name)
                self.problems.append(unknown("dataset", read.dataset, self._datasets, where, add=_ADD_DATASET))
