"""Which nodes of which pipelines people mean by `late`, `+late`, `late+`: the grammar of dbt's node selection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from flowpipe.bound import Bound
from flowpipe.errors import Problem, UsageError, unknown

_METHOD = re.compile(r"(\+?)([^\W\d]\w*)(\+?)")

_Found = tuple[str, str]  # pipeline, name


@dataclass(frozen=True)
class Pick:
    """Nodes of one pipeline, and datasets that it reads, each after what it is made of."""

    bound: Bound
    names: tuple[str, ...]


def is_node(text: str) -> bool:
    """Whether a value of `--to` can only be a node: windows begin with a digit.

    >>> is_node("late_flights"), is_node("2013-02")
    (True, False)
    """
    return not text[:1].isdigit()


def pick(select: Sequence[str], bounds: Sequence[Bound]) -> list[Pick]:
    """The nodes that are selected, pipeline by pipeline.

    Each text holds selections with spaces between them, of which all count; one with commas means what all its parts
    have in common. A part is `node`, `node+` (it and what is made of it), `+node` (what it is made of, and it) or
    `+node+`. `node` may also be a dataset that is read, where no pipeline has such a node.

    Raises:
        UsageError: there is no such node, it is in several pipelines, or nothing is selected; all of it is named.
    """
    problems: list[Problem] = []
    found: set[_Found] = set()
    for selection in (one for text in ([select] if isinstance(select, str) else select) for one in text.split()):
        parts = [_part(part, bounds, problems) for part in selection.split(",")]
        common = set.intersection(*parts)
        if all(parts) and not common:
            hint = "a comma means what both have in common; write a space between those that you want all of"
            problems.append(Problem(f'no node is selected by "{selection}"', None, hint))
        found |= common
    if not found and not problems:
        problems.append(Problem("no node is selected", None, "name one: --select NODE"))
    if problems:
        raise UsageError.of(problems)
    picks = [Pick(bound, tuple(name for name in _order(bound) if (bound.name, name) in found)) for bound in bounds]
    return [one for one in picks if one.names]


def _part(text: str, bounds: Sequence[Bound], problems: list[Problem]) -> set[_Found]:
    matched = _METHOD.fullmatch(text)
    if matched is None:
        hint = "write node, node+ (and what is made of it), +node (and what it is made of) or +node+"
        problems.append(Problem(f'selection "{text}" is not understood', None, hint))
        return set()
    up, name, down = matched.groups()
    owners = [bound for bound in bounds if name in bound.graph.nodes] or [
        bound for bound in bounds if name in bound.reads
    ]
    if not owners:
        problems.append(
            unknown("node", name, {node for bound in bounds for node in (*bound.graph.nodes, *bound.reads)})
        )
        return set()
    if len(owners) > 1:
        pipelines = ", ".join(bound.name for bound in owners)
        hint = f"name the one: flowpipe run {owners[0].name} --select {name}"
        problems.append(Problem(f"node {name} is in several pipelines: {pipelines}", None, hint))
        return set()
    (owner,) = owners
    nodes = owner.graph.nodes
    around = {*(_below(owner, name) if down else ()), *(owner.graph.upstream([name]) & nodes.keys() if up else ())}
    # Of what is made for each item of a fan-out there is no one value.
    return {(owner.name, name)} | {(owner.name, each) for each in around if not nodes[each].within}


def _below(bound: Bound, name: str) -> Iterator[str]:
    """What is made of a node or an input."""
    seen = {name}
    todo = [name]
    while todo:
        new = set(bound.graph.consumers(todo.pop())) - seen
        seen |= new
        todo += new
        yield from new


def _order(bound: Bound) -> Iterable[str]:
    return TopologicalSorter({name: node.inputs for name, node in bound.graph.nodes.items()}).static_order()
