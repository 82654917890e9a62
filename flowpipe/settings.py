"""How each node is run: what YAML, tags and the pipeline say, merged and checked.

A node's YAML stands over its function's tags, these over the pipeline. A decorator that makes several nodes of one
function gives its tags, and the name that YAML uses, to the last of them: what is said of a node holds also for the
nodes of its function that it is made of, which do the work.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowpipe import executors
from flowpipe.conffile import parse
from flowpipe.config import Configuration
from flowpipe.errors import FlowpipeError, Problem, Where
from flowpipe.executors import Resources
from flowpipe.executors.retry import Policy, errors_named
from flowpipe.executors.task import Settings
from flowpipe.fields import duration, size
from flowpipe.frames import kind_of
from flowpipe.modules import ProjectCode
from flowpipe.pipeline import Node
from flowpipe.pipelinefile import PipelineConfig
from flowpipe.running import NodeConfig, ResourcesConfig, RetryConfig, laid_over
from flowpipe.validation import MalformedError, check

_EXAMPLES = {"retry": "attempts: 3, wait: 2s", "timeout": "30s", "resources": "cpus: 2, memory: 4GB"}


@dataclass(frozen=True)
class Settled:
    """The settings of every node, what is wrong with them, and what their user should know."""

    nodes: Mapping[str, Settings]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]


def settle(pipeline: str, configuration: Configuration, nodes: Mapping[str, Node], code: ProjectCode) -> Settled:
    """The settings of a pipeline's nodes; only to be used when there are no `problems`."""
    return _Settling(pipeline, configuration, nodes, code).settled()


@dataclass
class _Settling:
    pipeline: str
    configuration: Configuration
    nodes: Mapping[str, Node]
    code: ProjectCode
    problems: list[Problem] = field(default_factory=list)

    def settled(self) -> Settled:
        config = self.configuration.pipelines[self.pipeline]
        tags = {node.name: tagged for node in self.nodes.values() if (tagged := self._tagged(node))}
        yaml = {name: said for name, said in config.nodes.items() if name in self.nodes}
        self._check_errors(config, tags)
        everywhere = NodeConfig(retry=config.retry)
        result = dict.fromkeys(self.nodes, self._settings(everywhere))
        layers = self._with_parts(tags), self._with_parts(yaml)
        for name in {**layers[0], **layers[1]}:
            result[name] = self._settings(
                functools.reduce(laid_over, (said[name] for said in layers if name in said), everywhere)
            )
        prospect = executors.prospect(self.configuration.executor, self.configuration)
        notes: tuple[Problem, ...] = ()
        if prospect:
            for name in {**tags, **yaml}:
                self.problems += self._beyond(name, result[name].takes, prospect)
            timed = [name for name in {**tags, **yaml} if result[name].timeout is not None]
            notes = tuple(self._notes(config, timed, prospect))
        return Settled(result, tuple(self.problems), notes)

    def _tagged(self, node: Node) -> NodeConfig | None:
        """What the tags of a node say."""
        said: dict[str, Any] = {}
        for name, example in _EXAMPLES.items():
            if name not in node.tags:
                continue
            head, hint = f"tag {name} of node {node.name}", f'write it as in YAML, like @tag({name}="{example}")'
            text = node.tags[name]
            if not isinstance(text, str):
                self.problems.append(Problem(f"{head} is not text", node.where, hint))
                continue
            is_inside = ":" in text and not text.lstrip().startswith("{")
            document = parse(f"{{{text}}}" if is_inside else text, "", resolve=False)
            value, flaws = check(NodeConfig, {name: document.data})
            for problem in document.problems:
                self.problems.append(Problem(f"{head}: {problem.message}", node.where, hint))
            for flaw in flaws if not document.problems else ():
                own = flaw.hint if len(flaw.path) > 1 else None
                self.problems.append(Problem(f"{head}: {flaw.message}", node.where, own or hint))
            if value is not None:
                said[name] = getattr(value, name)
        return NodeConfig(**said) if said else None

    def _with_parts(self, said: Mapping[str, NodeConfig]) -> dict[str, NodeConfig]:
        """What is said of nodes, also for the nodes of the same function that they are made of."""
        result = dict(said)
        todo = list(said)
        while todo:
            node = self.nodes[todo.pop(0)]
            parts = [name for name in node.inputs if name in self.nodes and self.nodes[name].where == node.where]
            new = [name for name in parts if name not in result]
            result |= dict.fromkeys(new, result[node.name])
            todo += new
        return result

    def _settings(self, run: NodeConfig) -> Settings:
        resources = run.resources or ResourcesConfig()
        memory = size(resources.memory) if resources.memory else 0
        return Settings(
            Policy(run.retry or RetryConfig(), self.code),
            duration(run.timeout).total_seconds() if run.timeout else None,
            Resources(resources.cpus, memory, resources.gpus),
        )

    def _check_errors(self, config: PipelineConfig, tags: Mapping[str, NodeConfig]) -> None:
        """Exceptions that are named must exist, or nothing would ever be tried again."""
        paths: dict[tuple[str, ...], RetryConfig] = {("retry",): config.retry}
        paths |= {("nodes", name, "retry"): said.retry for name, said in config.nodes.items() if said.retry}
        for path, retry in paths.items():
            for key in ("errors", "not_errors"):
                for number, name in enumerate(getattr(retry, key)):
                    place = ("pipelines", self.pipeline, *path, key, number)
                    if self.configuration.is_resolved(*place):
                        self._check_error(name, self.configuration.where(*place))
        for node, said in tags.items():
            for name in (*said.retry.errors, *said.retry.not_errors) if said.retry else ():
                self._check_error(name, self.nodes[node].where)

    def _check_error(self, name: str, where: Where | None) -> None:
        try:
            errors_named([name], self.code)
        except MalformedError as error:
            self.problems.append(Problem(str(error), where, error.hint))
        except FlowpipeError as error:
            self.problems += error.problems

    def _where(self, node: str, *path: str) -> Where | None:
        """The place in the node's YAML, if that says something there, or of its function."""
        said: Any = self.configuration.pipelines[self.pipeline].nodes.get(node)
        for key in path:
            if said is None or key not in said.model_fields_set:
                return self.nodes[node].where
            said = getattr(said, key)
        return self.configuration.where("pipelines", self.pipeline, "nodes", node, *path)

    def _beyond(self, node: str, takes: Resources, prospect: executors.Prospect) -> Iterator[Problem]:
        """A node that would wait for ever for what its executor never has."""
        for key, unit, suffix in (("cpus", 1, ""), ("memory", 10**9, "GB"), ("gpus", 1, "")):
            wants, has = getattr(takes, key), getattr(prospect.most, key, None)
            if has is not None and wants > has:
                there = f"executor {prospect.name} has {has / unit:g}{suffix}"
                text = f"node {node} takes {key}: {wants / unit:g}{suffix}, but {there}"
                hint = "lower it, or use an executor that has more"
                yield Problem(text, self._where(node, "resources", key), hint)

    def _notes(self, config: PipelineConfig, timed: list[str], prospect: executors.Prospect) -> Iterator[Problem]:
        """What a timeout means where nothing can be stopped."""
        if prospect.isolated:
            for name in timed:
                if kind_of(self.nodes[name].annotation) == "lazy":
                    text = (
                        f"timeout of node {name}: its rows are computed by the driver, where a query cannot be stopped"
                    )
                    yield Problem(text, self._where(name, "timeout"), "the pipeline's `timeout:` ends all of a step")
            return
        places = {f"node {name}": self._where(name, "timeout") for name in timed}
        if config.timeout:
            places[f"pipeline {self.pipeline}"] = self.configuration.where("pipelines", self.pipeline, "timeout")
        for what, where in places.items():
            text = f"timeout of {what}: on executor {prospect.name} a node cannot be stopped"
            hint = "executor processes, dask or ray ends it"
            yield Problem(f"{text}; {prospect.overdue}" if prospect.overdue else text, where, hint)
