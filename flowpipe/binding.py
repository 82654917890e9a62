"""A pipeline's graph bound by name to params and datasets: what it reads and writes, and what is wrong with that."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from flowpipe import fingerprint, partition
from flowpipe.adapters import Dataset
from flowpipe.audit import Audit, compile_schema
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration, DatasetConfig, PipelineConfig, coerce
from flowpipe.errors import FlowpipeError, Problem, unknown
from flowpipe.frames import Kind, kind_of
from flowpipe.modules import ProjectCode
from flowpipe.partition import WHOLE, Slice, Window
from flowpipe.pipeline import Pipeline

GIVEN = ("partition", "run_time")


@dataclass(frozen=True)
class Read:
    """A parameter that a dataset feeds; `contract` audits its rows when no pipeline of the project writes it."""

    parameter: str
    dataset: Dataset
    kind: Kind
    trigger: bool = True
    contract: Audit | None = None
    schema_code: str | None = None


@dataclass(frozen=True)
class Write:
    """A node whose frame is published as a dataset."""

    node: str
    dataset: Dataset
    kind: Kind
    audit: Audit
    schema_code: str | None = None


@dataclass(frozen=True)
class Bound:
    """One pipeline, ready to be planned and run."""

    name: str
    config: PipelineConfig
    graph: Pipeline
    params: Mapping[str, Any]
    secret_params: frozenset[str]
    reads: Mapping[str, Read]
    writes: tuple[Write, ...]
    code: Mapping[str, str]

    def slices(self, now: datetime) -> tuple[Slice, ...]:
        """Every slice the pipeline has at `now`, in order: its closed windows, or the whole."""
        windows = self.config.partitions
        if windows is None:
            return (WHOLE,)
        first = partition.parse(windows.start, windows.every, windows.timezone)
        last = (
            partition.parse(windows.end, windows.every, windows.timezone)
            if windows.end is not None
            else partition.last_closed(now, windows.every, windows.timezone)
        )
        return tuple(partition.of_window(window) for window in partition.between(first, last))

    def given(self, part: Slice, run_time: datetime) -> dict[str, Any]:
        """Values for the parameters `partition` and `run_time`, as their annotations ask."""
        values: dict[str, Any] = {}
        for name in GIVEN:
            entry = self.graph.inputs.get(name)
            if entry is not None and not (entry.optional and part.window is None):
                values[name] = _as_annotated(part if name == "partition" else run_time, entry.annotation)
        return values

    def free_values(self, write: Write) -> frozenset[str]:
        """Nodes under a write that depend on no dataset and feed nodes that do, or are written themselves."""
        above = self.graph.upstream([write.node])
        free = {name for name in above & self.graph.nodes.keys() if not self._reads_under(name)}
        return frozenset(
            name
            for name in free
            if name == write.node or any(user in above and user not in free for user in self.graph.consumers(name))
        )

    def datasets_under(self, write: Write) -> tuple[Read, ...]:
        """The reads a write depends on, in the order of their names."""
        return tuple(self.reads[name] for name in sorted(self._reads_under(write.node)))

    def _reads_under(self, node: str) -> frozenset[str]:
        return self.graph.upstream([node]) & self.reads.keys()


def read_slice(dataset: DatasetConfig, part: Slice) -> Slice:
    """The slice of a dataset that a step reads: its window where the dataset has windows, else all of it."""
    return part if part.window is not None and dataset.partition is not None else WHOLE


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
        secret = {name for name in params if self.configuration.is_secret("pipelines", self.name, "params", name)}
        code = {
            module: fingerprint.of_code(self.code.source(module))
            for module in sorted({m for top in config.modules for m in (top, *self.code.imports(top))})
        }
        return Bound(self.name, config, self.graph, params, frozenset(secret), reads, writes, code)

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
            elif not entry.optional and name not in config.reads:
                known = {*self.graph.nodes, *config.params, *self.catalog.names, *GIVEN} - {node.name}
                self.problems.append(unknown(f"input of node {node.name}:", name, known, node.where))
        return params, reads

    def _param(self, name: str, value: Any, annotation: Any, params: dict[str, Any]) -> None:
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
        if kind == "reader" and len(used_by) > 1:
            text = f"the stream {name} can be read once, but nodes {', '.join(used_by)} read it"
            self.problems.append(Problem(text, node.where, "annotate it pa.Table or pl.LazyFrame"))
        self._read_grain(found, config)
        if dataset not in self.written:
            self.problems += self.catalog.dataset_problems(found, written=False)
        trigger = config.reads[name].trigger if name in config.reads else True
        if dataset in self.written or found.config.schema_ is None:
            return Read(name, found, kind, trigger)
        return Read(name, found, kind, trigger, *self._audit(found))

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
            where = self.configuration.where("pipelines", self.name, "writes", node_name)
            if node_name not in self.graph.nodes:
                self.problems.append(unknown("node", node_name, self.graph.nodes, where))
            if dataset_name not in self.catalog:
                self.problems.append(unknown("dataset", dataset_name, self.catalog.names, where))
            if node_name not in self.graph.nodes or dataset_name not in self.catalog:
                continue
            node, dataset = self.graph.nodes[node_name], self.catalog.dataset(dataset_name)
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
        if dataset.config.query is not None:
            yield Problem(f"dataset {dataset.name} is a query and cannot be written", where, "give it a `table:`")
        elif mode == "overwrite" and windows is not None:
            text = f"{head} would overwrite the whole with each {windows.every} of pipeline {self.name}"
            yield Problem(text, where, "use mode replace with `partition:`, append or merge")
        elif mode == "append" and windows is None:
            yield Problem(f"{head} needs slices, so that nothing is appended twice", where, add)
        elif mode == "replace" and windows is None:
            yield Problem(f"{head} replaces one window at a time, but pipeline {self.name} has none", where, add)
        elif (
            mode == "replace"
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
            if read.dataset not in self.catalog:
                where = self.configuration.where("pipelines", self.name, "reads", name)
                self.problems.append(unknown("dataset", read.dataset, self.catalog.names, where))


def _as_annotated(value: Slice | datetime, annotation: Any) -> Any:
    moment = value.window.start if isinstance(value, Slice) and value.window else value
    if annotation is Window and isinstance(value, Slice):
        return value.window
    if annotation is str:
        return str(value) if isinstance(value, Slice) else value.isoformat()
    if annotation is date and isinstance(moment, datetime):
        return moment.date()
    return moment
