"""A pipeline's graph as the rest of flowpipe knows it: inputs, nodes, who needs whom, and how nodes are computed."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from flowpipe import blocks, graph
from flowpipe.errors import ConfigError, FlowpipeError, NodeError, Problem, Where, unknown
from flowpipe.executors import ClusterLost, NodeProgress
from flowpipe.executors.scheduler import Scheduler
from flowpipe.executors.task import Failure, NodesFailed, NodeTimeout, Settings, Task, Watch
from flowpipe.firing import NO_HOOKS, Firing
from flowpipe.hooks import Hook, invalid
from flowpipe.modules import ProjectCode
from flowpipe.pipelinefile import PipelineConfig

# What a value must be where a number is annotated: NumPy's numbers are as good as Python's.
_NUMBERS: dict[type, type] = {int: numbers.Integral, float: numbers.Real, complex: numbers.Complex, bool: object}


@dataclass(frozen=True)
class Input:
    """A parameter that no node computes.

    It is `optional` when every function that takes it has a default. `variants` are functions that would compute it
    for other values of `config:`.
    """

    name: str
    annotation: Any
    optional: bool
    default: Any
    used_by: tuple[str, ...]
    variants: tuple[Where, ...] = ()


@dataclass(frozen=True)
class Node:
    """A node of the graph; `where` is the user's function, `module` the one that holds it.

    One that `expands` gives the items of a fan-out; what is `within` it runs once per item; `collects` is the input
    that a node gets for all items. `says` is the function's docstring.
    """

    name: str
    annotation: Any
    where: Where
    module: str
    inputs: tuple[str, ...]
    tags: Mapping[str, Any]
    expands: bool = False
    within: str | None = None
    collects: str | None = None
    doc: str = ""


@dataclass(frozen=True)
class Pipeline:
    """One pipeline's graph."""

    name: str
    inputs: Mapping[str, Input]
    nodes: Mapping[str, Node]
    _graph: Any = field(repr=False)
    _code: ProjectCode = field(repr=False)

    def upstream(self, names: Iterable[str], given: AbstractSet[str] = frozenset()) -> frozenset[str]:
        """The nodes and inputs that names depend on, and the names; what is given depends on nothing."""
        seen = set(names)
        todo = list(seen)
        while todo:
            name = todo.pop()
            if name in self.nodes and name not in given:
                new = set(self.nodes[name].inputs) - seen
                seen |= new
                todo.extend(new)
        return frozenset(seen)

    def consumers(self, name: str) -> tuple[str, ...]:
        """The nodes that take a node or an input."""
        return self._consumers.get(name, ())

    def compute(
        self,
        wanted: Sequence[str],
        inputs: Mapping[str, Any],
        *,
        scheduler: Scheduler,
        settings: Mapping[str, Settings],
        progress: Callable[[NodeProgress], None],
        overrides: Mapping[str, Any] | None = None,
        handed_on: Mapping[str, Callable[[Any], Any]] | None = None,
        check_stop: Callable[[], None] = lambda: None,
        until: float | None = None,
        hooks: Firing = NO_HOOKS,
    ) -> dict[str, Any]:
        """Compute nodes and what they need; the wanted values by name.

        Args:
            wanted: nodes or inputs.
            inputs: values of inputs; an optional one may be left out.
            scheduler: where the functions run.
            settings: how a node is run.
            progress: told of every node that starts and ends, in this thread.
            overrides: values of nodes, which are not computed then.
            handed_on: called in this thread with a node's value; its consumers get what it returns.
            check_stop: called between nodes, and at `until` on the monotonic clock; raises to stop.
            until: see there.
            hooks: the user's, called in this thread, too.

        Raises:
            ConfigError: an input is missing or unknown, or there is no such node.
            NodeError: a node failed; nothing was started since, and what ran has ended.
            FlowpipeError: what a node, `handed_on` or `check_stop` raised.
            Interrupted: Ctrl-C.
        """
        overrides, handed_on = overrides or {}, handed_on or {}
        told = hooks.told(progress)
        watch = Watch(check_stop, lambda name, value: handed_on[name](value), told, handed_on.keys(), until)
        needed, computation = self.upstream(wanted, overrides.keys()), (self._graph, wanted, inputs, overrides)
        self._check_names(wanted, needed, inputs, overrides)

        def run(given: Mapping[str, Any]) -> dict[str, Any]:
            tasks = [
                self._task(name, given, settings[name]) for name in self.nodes if name in needed and name not in given
            ]
            return scheduler.run(tasks, given, wanted, watch)

        try:
            return hooks.around(computation, lambda: graph.execute(*computation, run))
        except NodesFailed as failed:
            raise self._explained(failed.failures) from failed.failures[0].error

    def validated(self, hook: Hook) -> Iterator[Problem]:
        """What a hook that validates graphs says of this one."""
        return invalid(hook, self._graph, lambda node: self.nodes[node.name].where if node.name in self.nodes else None)

    @functools.cached_property
    def _consumers(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for name in node.inputs:
                found.setdefault(name, []).append(node.name)
        return {name: tuple(users) for name, users in found.items()}

    @functools.cached_property
    def _expected(self) -> dict[str, type]:
        return {name: kind for name, node in self.nodes.items() for kind in _checkable(node.annotation)}

    def _check_names(
        self, wanted: Sequence[str], needed: frozenset[str], inputs: Mapping[str, Any], overrides: Mapping[str, Any]
    ) -> None:
        problems = [
            unknown("node", name, self.nodes)
            for name in (*wanted, *overrides)
            if name not in {**self.nodes, **self.inputs}
        ]
        for name in (*wanted, *overrides):
            if name in self.nodes and (node := self.nodes[name]).within:
                text = f"node {name} is made for each item of {node.within}"
                problems.append(Problem(text, node.where, "ask for the node that collects it"))
        problems += [unknown("input", name, self.inputs) for name in inputs if name not in self.inputs]
        for name in sorted(needed & self.inputs.keys()):
            entry = self.inputs[name]
            if not entry.optional and name not in {*inputs, *overrides, *self._graph.config}:
                where = self.nodes[entry.used_by[0]].where
                problems.append(Problem(f"input {name} of node {entry.used_by[0]} is not given", where))
        if problems:
            raise ConfigError(problems)

    def _task(self, name: str, given: Mapping[str, Any], settings: Settings) -> Task:
        node = self.nodes[name]
        needs = {need: need for need in node.inputs if need in given or need in self.nodes}
        function = self._graph.nodes[name].callable
        if node.expands:
            function = functools.partial(_listed, function)
        elif kind := self._expected.get(name):
            function = functools.partial(_checked, function, kind)
        return Task(name, function, needs, settings, node.expands, node.within, node.collects)

    def _explained(self, failures: Sequence[Failure]) -> FlowpipeError:
        first, *others = failures
        node = self.nodes[first.node.partition("[")[0]]
        if isinstance(first.error, FlowpipeError):
            return first.error if isinstance(first.error, ClusterLost) else first.error.at(node.where)
        if isinstance(first.error, WrongType):
            return self._of_wrong_type(node, first.error)
        item = f" for item {first.item} of {node.within}" if first.item else ""
        times = f" after {first.attempts} attempts" if first.attempts > 1 else ""
        there = f" on {first.worker}" if first.worker else ""
        lines = [f"node {first.node} failed{item}{times}{there}: {self._cause(first.error, 3)}"]
        place = self._code.raised_at(first.error)
        lines += [f"  at {place[0]}: {place[1]}"] if place else []
        lines += [f"  node {other.node} failed as well: {self._cause(other.error, 1)}" for other in others[:2]]
        hint = "run again with --debug to see the traceback"
        if isinstance(first.error, NodeTimeout):
            hint = f"give it more time: nodes: {{{node.name}: {{timeout: ...}}}} in conf/pipelines/{self.name}.yml"
        return NodeError("\n".join(lines), where=node.where, hint=hint)

    def _of_wrong_type(self, node: Node, error: WrongType) -> NodeError:
        gives = "None" if error.given is type(None) else graph.type_name(error.given, self._code)
        return NodeError(
            f"node {node.name} gives {gives}, but is annotated {graph.type_name(node.annotation, self._code)}",
            where=node.where,
            hint="return such a value on every path, or correct the annotation",
        )

    def _cause(self, error: BaseException, most: int) -> str:
        lines = [line[:200] for line in self._code.public_text(str(error)).strip().splitlines() if line.strip()]
        return ": ".join((type(error).__name__, "\n    ".join(lines[:most]))) if lines else type(error).__name__


class WrongType(TypeError):
    """A node gave a value that is not of its annotation."""

    def __init__(self, given: type) -> None:
        super().__init__(given)
        self.given = given


def _checked(function: Callable[..., Any], kind: type, /, **arguments: Any) -> Any:
    """Call a node's function on a worker, where its value is looked at before it stays there."""
    value = function(**arguments)
    if not isinstance(value, kind):
        raise WrongType(type(value))
    return value


def _listed(function: Callable[..., Any], /, **arguments: Any) -> list[Any]:
    """Call the function of a node that expands, a generator maybe, on a worker."""
    return list(function(**arguments))


def load(name: str, code: ProjectCode, config: PipelineConfig, locate: graph.Locate = lambda *_: None) -> Pipeline:
    """The graph of a pipeline's modules.

    Args:
        name: the pipeline's.
        code: the project's Python.
        config: the pipeline's YAML.
        locate: the place of a value in that YAML, such as `("modules", 0)`.

    Raises:
        ConfigError: all that is wrong with the modules and functions, at their files and lines.
    """
    made = graph.build(config.modules, code, config.config, locate)
    within = blocks.within(made.nodes)
    nodes = {
        node.name: _node(node, code, within.get(node.name)) for node in made.nodes.values() if not node.user_defined
    }
    variants = graph.variants(config.modules, code)
    inputs = {
        node.name: _input(node, variants.get(node.name, ()))
        for node in made.nodes.values()
        if node.user_defined and node.depended_on_by
    }
    return Pipeline(name, inputs, nodes, made, code)


def _node(node: Any, code: ProjectCode, within: str | None) -> Node:
    function = graph.function_of(node)
    tags = {key: value for key, value in node.tags.items() if key != "module"}
    module = code.public_text(function.__module__)
    return Node(
        node.name,
        node.type,
        code.where(function),
        module,
        tuple(node.input_types),
        tags,
        blocks.expands(node),
        within,
        blocks.collected(node),
        str(node.documentation or ""),
    )


def _input(node: Any, variants: tuple[Where, ...]) -> Input:
    users = sorted(node.depended_on_by, key=lambda user: str(user.name))
    optional = not any(user.requires(node.name) for user in users)
    defaults = [
        user.default_parameter_values[node.name] for user in users if node.name in user.default_parameter_values
    ]
    default = defaults[0] if optional and defaults else None
    return Input(node.name, node.type, optional, default, tuple(user.name for user in users), variants)


def _checkable(annotation: Any) -> Iterator[type]:
    """The class that a value of this annotation is an instance of, if that is cheap to say."""
    if isinstance(annotation, type):
        try:
            isinstance(None, annotation)
        except TypeError:  # Any, protocols and typed dictionaries
            return
        yield _NUMBERS.get(annotation, annotation)
