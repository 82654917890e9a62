"""When hooks are called: in the driver, once per node and computation, whatever runs the nodes.

A hook only watches: one that fails is told of in one line, and is not called again in this run. An instance serves one
step at a time; a step that runs beside another has instances of its own.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowpipe import blocks
from flowpipe.executors import Gathered, NodeProgress, NodeStart, Remote
from flowpipe.executors.task import NodesFailed
from flowpipe.hooks import Hook, modules

# Hamilton's graph, the wanted nodes, and what is given: inputs and overrides.
Computation = tuple[Any, Sequence[str], Mapping[str, Any], Mapping[str, Any]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Elsewhere:
    """What a hook sees in the place of a value that stayed on a worker.

    >>> Elsewhere(1200)
    <a value that stayed on its worker: 1,200 rows>
    """

    rows: int | None = None

    def __repr__(self) -> str:
        rows = f": {self.rows:,} rows" if self.rows is not None else ""
        return f"<a value that stayed on its worker{rows}>"


@dataclass
class _Instance:
    hook: Hook
    adapters: Any  # Hamilton's LifecycleAdapterSet of this one
    graph: Any = None  # the last that it was told of


class HookPool:
    """The instances of a run's hooks; `redact` takes secrets out of what is told of one that fails."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._lock = threading.Lock()
        self._free: list[tuple[_Instance, ...]] = []
        self._silenced: set[Hook] = set()

    def make(self, lists: Iterable[tuple[Hook, ...]]) -> None:
        """Make every hook of these lists once, before anything runs.

        Raises:
            ConfigError: a constructor refuses.
        """
        for hooks in filter(None, lists):
            self.give(self.take(hooks))

    def of(self, hooks: tuple[Hook, ...], run_id: str) -> Firing:
        """The hooks of one step; `run_id` is what they know it by."""
        return Firing(self, hooks, run_id)

    def take(self, hooks: tuple[Hook, ...]) -> tuple[_Instance, ...]:
        """Instances that nobody uses; new ones where there are none.

        Raises:
            ConfigError: a constructor refuses.
        """
        with self._lock:
            for number, instances in enumerate(self._free):
                if tuple(each.hook for each in instances) == hooks:
                    return self._free.pop(number)
        return tuple(_Instance(hook, _adapters(hook)) for hook in hooks)

    def give(self, instances: tuple[_Instance, ...]) -> None:
        """Take back what `take` gave."""
        with self._lock:
            self._free.append(instances)

    def call(self, instance: _Instance, method: str, arguments: Mapping[str, Any]) -> None:
        """Call a method of a hook, if it has it and has not failed before."""
        hook = instance.hook
        if hook in self._silenced:
            return
        try:
            instance.adapters.call_all_lifecycle_hooks_sync(method, **arguments)
        except Exception as error:  # noqa: BLE001 - whatever an observer raises, what it watches goes on
            with self._lock:
                is_news = hook not in self._silenced
                self._silenced.add(hook)
            if is_news:
                cause = next(iter(str(error).splitlines()), "")
                text = f"hook {hook.name} failed in {method} and is silent from now on: {type(error).__name__}: {cause}"
                _log.warning("%s", self._redact(text))


class Firing:
    """The hooks of one step while it computes."""

    def __init__(self, pool: HookPool, hooks: tuple[Hook, ...], run_id: str) -> None:
        self._pool = pool
        self._hooks = hooks
        self._run_id = run_id
        self._instances: tuple[_Instance, ...] = ()
        self._graph: Any = None
        self._arguments: dict[str, dict[str, Any]] = {}

    def around(self, computation: Computation, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Compute nodes; what hooks set of context variables holds until that ends."""
        if not self._hooks:
            return compute()
        self._graph = computation[0]
        self._instances = self._pool.take(self._hooks)
        try:
            return contextvars.copy_context().run(self._watched, computation, compute)
        finally:
            self._arguments.clear()
            self._pool.give(self._instances)

    def told(self, progress: Callable[[NodeProgress], None]) -> Callable[[NodeProgress], None]:
        """What tells the hooks of nodes, too."""

        def both(event: NodeProgress) -> None:
            progress(event)
            self.node(event)

        return both if self._hooks else progress

    def node(self, event: NodeProgress) -> None:
        """Tell the hooks that a node starts or ends; an item of a fan-out is a task of its own."""
        name, _, item = event.node.partition("[")
        node = self._graph.nodes[name]
        task = event.node if item else None
        if isinstance(event, NodeStart):
            arguments = {name: _seen(value) for name, value in event.arguments.items()}
            self._arguments[event.node] = arguments
            if task:
                self._task(("pre_task_submission", "pre_task_execute"), node, task, inputs=arguments, overrides={})
            self._fire("pre_node_execute", node_=node, kwargs=arguments, task_id=task)
            return
        arguments, value = self._arguments.pop(event.node), _seen(event.value)
        ended = {"success": event.outcome == "done", "error": event.error}
        self._fire("post_node_execute", node_=node, kwargs=arguments, task_id=task, result=value, **ended)
        if task:
            self._task(("post_task_execute",), node, task, results={name: value}, **ended)
            self._task(("post_task_return",), node, task, result={name: value}, **ended)

    def _watched(self, computation: Computation, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        graph, wanted, inputs, overrides = computation
        own = {name: value for name, value in inputs.items() if name not in graph.config}
        self._introduce()
        self._fire("pre_graph_execute", graph=graph, final_vars=list(wanted), inputs=own, overrides=dict(overrides))
        error: BaseException | None = None
        results: dict[str, Any] | None = None
        try:
            results = compute()
        except Exception as raised:
            error = raised.failures[0].error if isinstance(raised, NodesFailed) else raised
            raise
        finally:
            ended = {"success": results is not None, "error": error, "results": results}
            self._fire("post_graph_execute", graph=graph, **ended)
        return results

    def _introduce(self) -> None:
        """Tell each instance once of a graph."""
        graph = self._graph
        for instance in self._instances:
            if instance.graph is not graph:
                instance.graph = graph
                arguments = {"graph": graph, "modules": modules(graph), "config": dict(graph.config)}
                self._pool.call(instance, "post_graph_construct", arguments)

    def _task(self, methods: Sequence[str], node: Any, task: str, **arguments: Any) -> None:
        from hamilton.execution.grouping import NodeGroupPurpose

        arguments |= {"spawning_task_id": self._within[node.name], "purpose": NodeGroupPurpose.EXECUTE_BLOCK}
        for method in methods:
            self._fire(method, task_id=task, nodes=[node], **arguments)

    @functools.cached_property
    def _within(self) -> dict[str, str]:
        return blocks.within(self._graph.nodes)

    def _fire(self, method: str, **arguments: Any) -> None:
        for instance in self._instances:
            self._pool.call(instance, method, {"run_id": self._run_id, **arguments})


NO_HOOKS = HookPool(str).of((), "")


class _Forgiving(dict[str, float]):
    def __delitem__(self, key: str) -> None:
        self.pop(key, None)


def _adapters(hook: Hook) -> Any:
    from hamilton.lifecycle.base import LifecycleAdapterSet
    from hamilton.lifecycle.default import PrintLn

    made = hook.make()
    if isinstance(made, PrintLn):
        # It keeps the start of an item by task and node, and deletes it by node: a KeyError in Hamilton 1.90.
        made.timer_dict = _Forgiving()
    return LifecycleAdapterSet(made)


def _seen(value: Any) -> Any:
    """A value as hooks see it: as it is where it is in the driver."""
    if isinstance(value, Remote):
        return Elsewhere(value.rows)
    return [_seen(each) for each in value.values] if isinstance(value, Gathered) else value
