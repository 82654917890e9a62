"""An error of rows that could not be computed, told with its node and what the rows are made of.

A lazy frame fails only where its rows are needed, with those of the nodes before it, so what is told leads to these.
"""

from __future__ import annotations

import re

from flowpipe.errors import NodeError, nearest
from flowpipe.frames import kind_of
from flowpipe.pipeline import Pipeline

_COLUMN = re.compile(r'unable to find column "(?P<name>.*?)"; valid columns: \[(?P<known>.*)\]')
_OPERATION = re.compile(r"^\s*\[1\] '(\w+)'$|in the following expression:\n\s*(.{1,80})$", re.MULTILINE)
# What Polars adds to an error of the system, and how it shortens a path.
_ASIDE = re.compile(r" \(os error \d+\)| \(set POLARS_VERBOSE=1 to see full path\)")
_FULL = re.compile("No space left on device|File too large|Disk quota exceeded")
_MOST = 3


def blamed(what: str, name: str, error: Exception, graph: Pipeline) -> NodeError:
    """What failed when its rows were computed: `what` is "node" or "input", `name` its name in the graph."""
    node = graph.nodes.get(name)
    where = node.where if node else None
    reason = _reason(error)
    if full := _FULL.search(reason):
        text = f"{what} {name}: its rows cannot be written: {full[0]}"
        return NodeError(text, where=where, hint="make room where the store is, and for .flowpipe/, then run again")
    if isinstance(error, OSError):
        text = f"{what} {name}: a file cannot be read or written: {reason}"
        return NodeError(text, where=where, hint="is it there, may it be read or written, and is there room for it?")
    text = f"{what} {name} failed when its rows were computed: {type(error).__name__}: {reason}"
    return NodeError(text, where=where, hint=_hint(name, error, graph))


def _reason(error: Exception) -> str:
    said = _ASIDE.sub("", str(error)).strip()
    first = said.partition("\n")[0][:300]
    operation = _OPERATION.search(said)
    return f"{first} (in {operation[1] or operation[2]})" if operation else first


def _hint(name: str, error: Exception, graph: Pipeline) -> str:
    match = _COLUMN.search(str(error))
    close = match and nearest(match["name"], re.findall('"(.*?)"', match["known"]))
    meant = f'did you mean "{close}"? ' if close else ""
    if lazy := _lazy_before(name, graph):
        told = ", ".join(f"{each} ({graph.nodes[each].where})" for each in lazy[:_MOST])
        return f"{meant}its rows are made with {told}; see which fails: flowpipe run --select {lazy[0]}"
    inputs = [each for each in (graph.nodes[name].inputs if name in graph.nodes else ()) if _is_frame(each, graph)]
    if inputs:
        return f"{meant}look at what it is made of: flowpipe run --select {inputs[0]}"
    return f"{meant}run again with --debug to see the traceback"


def _lazy_before(name: str, graph: Pipeline) -> list[str]:
    """The nodes that give lazy frames of which a node's rows are made, the nearest first."""
    found: list[str] = []
    todo = [name]
    while todo:
        node = graph.nodes.get(todo.pop(0))
        lazy = [each for each in (node.inputs if node else ()) if each in graph.nodes]
        lazy = [each for each in lazy if kind_of(graph.nodes[each].annotation) == "lazy" and each not in found]
        found += lazy
        todo += lazy
    return found


def _is_frame(name: str, graph: Pipeline) -> bool:
    entry = graph.nodes.get(name) or graph.inputs.get(name)
    return entry is not None and kind_of(entry.annotation) is not None
