"""Which nodes run once per item of a fan-out, and what is wrong with how a graph fans out and collects.

A node of Hamilton's that gives `Parallelizable[T]` expands to items; what is made of an item runs once for each, up to
a node that takes it as `Collect[T]`, all items together. Hamilton defines no fan-out within another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

from flowpipe.errors import Problem, Where


def expands(node: Any) -> bool:
    """Whether a node of Hamilton's gives the items of a fan-out."""
    return str(node.node_role.name) == "EXPAND"


def collected(node: Any) -> str | None:
    """The input that a node of Hamilton's gets for all items."""
    return str(node.collect_dependency) if node.node_role.name == "COLLECT" else None


def within(nodes: Mapping[str, Any]) -> dict[str, str]:
    """The expanding node, by the nodes that run once for each of its items; of a graph without problems."""
    return {name: next(iter(owners)) for name, owners in _owners(nodes).items() if owners}


def problems(nodes: Mapping[str, Any], where: Callable[[Any], Where]) -> Iterator[Problem]:
    """What is wrong with the fan-outs of a graph without circles."""
    owners = _owners(nodes)
    kept = _collected_above(nodes)
    for name, node in nodes.items():
        above, place = owners[name], where(node) if not node.user_defined else None
        if expands(node) and above:
            text = f"node {name} expands within the fan-out of {min(above)}, which Hamilton does not define"
            yield Problem(text, place, "expand to all combinations in one node")
        elif len(above) > 1:
            yield Problem(f"node {name} is made of items of {' and '.join(sorted(above))}", place, "collect one first")
        elif above and name not in kept:
            hint = "annotate the parameter that takes it Collect[...]"
            yield Problem(f"node {name} is made for each item of {min(above)}, but not collected", place, hint)
        elif expands(node) and name not in kept:
            hint = "give a node below it a parameter annotated Collect[...]"
            yield Problem(f"node {name} is Parallelizable, but nothing that is made of it is collected", place, hint)
        source = collected(node)
        if source and not owners[source] and not expands(nodes[source]):
            hint = "annotate what it takes as it is, without Collect"
            yield Problem(f"node {name} collects {source}, which is not made of a Parallelizable", place, hint)


def _owners(nodes: Mapping[str, Any]) -> dict[str, set[str]]:
    order = TopologicalSorter({name: tuple(node.input_types) for name, node in nodes.items()}).static_order()
    owners: dict[str, set[str]] = {}
    for name in order:
        node = nodes[name]
        taken = [need for need in node.input_types if need != collected(node)]
        owners[name] = {need for need in taken if expands(nodes[need])}.union(*(owners[need] for need in taken))
    return owners


def _collected_above(nodes: Mapping[str, Any]) -> set[str]:
    """What is collected, and all that it is made of."""
    todo = [source for node in nodes.values() if (source := collected(node))]
    seen = set(todo)
    while todo:
        new = set(nodes[todo.pop()].input_types) - seen
        seen |= new
        todo += new
    return seen
