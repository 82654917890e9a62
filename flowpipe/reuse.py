"""What a node's frame is made of, as one fingerprint under which it may be kept and read back; opens nothing.

Reading back a wrong frame is worse than computing one again: whatever cannot be compared means that there is no
fingerprint, and what is compared is more than what makes an output stale (also reads that are no trigger, the whole
configuration of each dataset, the versions of flowpipe and Polars).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

from flowpipe import fingerprint
from flowpipe.adapters import Dataset
from flowpipe.bound import Bound, Write
from flowpipe.errors import Problem, Where
from flowpipe.frames import kind_of
from flowpipe.partition import Slice
from flowpipe.pipeline import Node
from flowpipe.pipelinefile import PipelineConfig
from flowpipe.staleness import as_text, own_parts

FORMAT = "1"
_TAGS = {"true": True, "false": False}


class Incomparable(Exception):
    """Something that decides a node's value cannot be told from another of its kind."""


def key_of(
    bound: Bound,
    node: str,
    part: Slice,
    *,
    versions: Mapping[str, str | None],
    digests: Mapping[str, str],
    tables: Mapping[str, str],
) -> str:
    """The fingerprint of a node's value in one step.

    Args:
        bound: its pipeline.
        node: its name.
        part: the step's slice.
        versions: those of the datasets that are there to be read, by name.
        digests: the hashes of the values of dataset-free nodes, by node.
        tables: for datasets written above it, by name, what their stores do to the rows that are handed on.

    Raises:
        Incomparable: it has none.
    """
    if reasons := [*_never(bound, node), *_secrets(bound, node)]:
        raise Incomparable(reasons[0])
    parts = own_parts(bound, node)
    for read in bound.reads_above(node):
        text = versions.get(read.dataset.name, "absent")
        if text is None:
            raise Incomparable(f"{read.dataset.name} has no version")
        parts[f"reads.{read.parameter}"] = as_text([read.dataset.name, text, _settings(read.dataset), read.schema_code])
    for free in bound.free_above(node):
        if free not in digests:
            raise Incomparable(f"the value of {free} cannot be compared")
        parts[f"values.{free}"] = digests[free]
    for write in written_above(bound, node):
        name = write.dataset.name
        parts[f"audited.{write.node}"] = as_text([name, _settings(write.dataset), write.schema_code, tables[name]])
    windows = bound.config.partitions
    parts["slice"] = as_text([part.kind, part.key, windows and [windows.every, windows.timezone]])
    parts["node"] = as_text([bound.name, node])
    parts["made by"] = as_text([FORMAT, version("flowpipe-etl"), version("polars")])
    return fingerprint.of_parts(parts)


def written_above(bound: Bound, node: str) -> tuple[Write, ...]:
    """The written nodes whose audited rows a node is made of."""
    above = bound.graph.upstream([node]) - {node}
    return tuple(write for write in bound.writes if write.node in above)


def kept(nodes: Mapping[str, Node], config: PipelineConfig) -> frozenset[str]:
    """The nodes whose frames are to be kept: `checkpoint: true` in YAML, or else a tag in the code."""
    asked = {name: node.tags.get("checkpoint") == "true" for name, node in nodes.items()}
    asked |= {
        name: node.checkpoint for name, node in config.nodes.items() if node.checkpoint is not None and name in nodes
    }
    return frozenset(name for name, wanted in asked.items() if wanted)


def problems(bound: Bound, locate: Callable[..., Where | None]) -> Iterator[Problem]:
    """Nodes whose frames cannot be kept; `locate` finds a key of the pipeline's YAML."""
    for name, node in bound.graph.nodes.items():
        tag = node.tags.get("checkpoint")
        if tag is not None and tag not in _TAGS:
            text = f"checkpoint: node {name} is tagged {tag!r}"
            yield Problem(text, node.where, 'write @tag(checkpoint="true") or "false"')
    for name in sorted(bound.checkpoints):
        node, own = bound.graph.nodes[name], bound.config.nodes.get(name)
        where = locate("nodes", name, "checkpoint") if own and own.checkpoint else node.where
        reason, hint = _cannot(bound, node)
        if reason:
            yield Problem(f"checkpoint: {reason}", where, hint)


def _cannot(bound: Bound, node: Node) -> tuple[str | None, str]:
    if node.within or node.expands:
        return f"node {node.name} is made for each item of a fan-out", "keep the node that collects them"
    if kind_of(node.annotation) is None:
        shown = getattr(node.annotation, "__name__", node.annotation)
        return f"node {node.name} is annotated {shown}; only frames can be kept", "keep a node that returns a frame"
    if not bound.reads_above(node.name):
        text = f"node {node.name} is made of no dataset, so its value is asked anew in every run"
        return text, "keep a node below it that reads a dataset"
    return next(((text, "keep a node above that") for text in _never(bound, node.name)), (None, ""))


def _never(bound: Bound, node: str) -> Iterator[str]:
    """Why the value of a node is another in every run."""
    above = bound.graph.upstream([node])
    if bound.config.always:
        yield f"node {node} is of a pipeline that is `always: true`"
    for name, own in bound.config.nodes.items():
        if own.always and name in above:
            yield f"node {node} is made of node {name}, which is `always: true`"
    if "run_time" in above & bound.graph.inputs.keys():
        yield f"node {node} is made with run_time, which no two runs share"
    for read in bound.reads_above(node):
        if read.watermark:
            yield f"node {node} is made of the new rows of {read.dataset.name}, which are others at any moment"
    for write in written_above(bound, node):
        if write.dataset.config.mode == "snapshot":
            yield f"node {node} is made of the snapshot {write.dataset.name}, whose rows say when they were seen"


def _secrets(bound: Bound, node: str) -> Iterator[str]:
    """What came through `${...}`: it is in no fingerprint, so that nothing tells one value from another."""
    above = bound.graph.upstream([node])
    for name in sorted(above & bound.shown_params.keys()):
        if bound.shown_params[name] != bound.config.params[name]:
            yield f"the param {name} came through ${{...}}, so that it is in no fingerprint"
    for name, shown in bound.shown_config.items():
        if shown != bound.config.config[name]:
            yield f"the config value {name} came through ${{...}}, so that it is in no fingerprint"


def _settings(dataset: Dataset) -> str:
    return hashlib.sha256(as_text(dataset.config.model_dump(mode="json")).encode()).hexdigest()
