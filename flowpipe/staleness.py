"""Whether one output's slice is stale, and why: its fingerprint held against what its store says; opens nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from flowpipe import fingerprint
from flowpipe.adapters import Dataset, Held, State
from flowpipe.bound import Bound, Read, Write
from flowpipe.partition import Slice

Action = Literal["run", "skip", "ask"]


@dataclass(frozen=True)
class Version:
    """The version of one read; `after` names the step that is to publish a new one first."""

    text: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Choice:
    """What happens to one output and why; `ask` is decided when its step starts.

    `parts` are the parts of its fingerprint, where all are known; `onto` is the state that its new rows are added to,
    where only the rows above a watermark are read.
    """

    write: Write
    action: Action
    reasons: tuple[str, ...]
    parts: Mapping[str, str] | None = None
    onto: State | None = None


def choose(
    step: tuple[Bound, Slice],
    write: Write,
    held: Held,
    versions: Mapping[str, Version],
    *,
    digests: Mapping[str, str | None] | None,
    force: bool = False,
) -> Choice:
    """Whether one output's slice is stale, and why; pure.

    `versions` are those of the datasets read, by name; `digests` the hashes of dataset-free nodes' values, by node, or
    None while they are not known.
    """
    bound, part = step
    state = held.state
    # Asked once more when its window has ended: what was published before that may have been a first guess.
    closed = part.window is not None and state is not None and _moment(state.published_at) >= part.window.end
    if digests is None:
        digests = _remembered(bound, write, held, closed)
    parts = parts_of(bound, write, versions, digests or {})
    if state is None:
        return Choice(write, "run", (held.changed or "never published",), parts)
    waits = {name: version.after for name, version in versions.items() if version.after}
    not_yet = {f"reads.{name}" for name in waits}
    not_yet |= {f"values.{node}" for node in bound.free_values(write)} if digests is None else set()
    before = {name: text for name, text in state.parts.items() if name not in not_yet}
    changes = fingerprint.difference(before, parts)
    onto = state if bound.increment and held.changed is None else None
    if write.dataset.config.mode == "append" and held.changed is None:
        new = f"reads.{bound.increment.dataset.name}" if bound.increment else ""
        if new not in not_yet and before.get(new) == parts.get(new):
            return Choice(write, "skip", ("appended once", *changes), parts)
        force = False  # what is there would be doubled
    stale = ("forced",) if force else (held.changed,) if held.changed else changes
    stale = stale or _always(bound, write, versions, digests or {}, closed)
    if stale:
        return Choice(write, "run", stale, parts, None if force else onto)
    if not_yet:
        free = sorted(name.removeprefix("values.") for name in not_yet if name.startswith("values."))
        reasons = [f"after {name}" for name in dict.fromkeys(waits.values())] + [f"asks {name} first" for name in free]
        return Choice(write, "ask", tuple(reasons), parts)
    return Choice(write, "skip", ("up to date",), parts)


def parts_of(
    bound: Bound, write: Write, versions: Mapping[str, Version], digests: Mapping[str, str | None]
) -> dict[str, str]:
    """The parts of an output's fingerprint, by name. Secrets, URLs and library versions are never among them."""
    parts = own_parts(bound, write.node)
    for read in bound.datasets_under(write):
        parts |= _reading(read)
    for read in _triggers(bound, write):
        version = versions[read.dataset.name]
        if version.text is not None and version.after is None:
            parts[f"reads.{read.dataset.name}"] = version.text
    parts |= {f"values.{node}": digest for node, digest in digests.items() if digest is not None}
    if write.schema_code:
        parts["schema"] = write.schema_code
    parts["node"] = as_text(write.node)
    if bound.config.partitions:
        parts["partitions"] = f"{bound.config.partitions.every} {bound.config.partitions.timezone}"
    return parts | _options(write.dataset) | settings(write.dataset)


def own_parts(bound: Bound, node: str) -> dict[str, str]:
    """What a pipeline itself puts into the value of a node: code, params and config, by name."""
    above = bound.graph.upstream([node])
    parts = {f"code.{module}": code for module, code in bound.code.items()}
    parts |= {f"params.{name}": as_text(bound.shown_params[name]) for name in sorted(above & bound.shown_params.keys())}
    return parts | {f"config.{name}": as_text(value) for name, value in bound.shown_config.items()}


def settings(dataset: Dataset) -> dict[str, str]:
    """The settings of a dataset that decide which rows it holds, by name; defaults are left out."""
    left_out = {"store", "path", "table", "query", "options", "schema_", "was"}
    chosen = dataset.config.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
    return {f"write.{name}": as_text(value) for name, value in sorted(chosen.items())}


def _reading(read: Read) -> dict[str, str]:
    """How the rows of a read are made of what its store holds."""
    name, config = read.dataset.name, read.dataset.config
    parts = {f"input.{read.parameter}": as_text(name)} if read.parameter != name else {}
    wanted = {"partition", "format"} | ({"on_invalid", "max_invalid"} if read.contract else set())
    chosen = config.model_dump(mode="json", include=wanted, exclude_defaults=True)
    parts |= {f"settings.{name}": as_text(chosen)} if chosen else {}
    parts |= {f"contract.{name}": read.schema_code} if read.schema_code else {}
    return parts | _options(read.dataset)


def _options(dataset: Dataset) -> dict[str, str]:
    """The options of a dataset's format, hashed."""
    options = dataset.config.options
    return {f"options.{dataset.name}": hashlib.sha256(as_text(options).encode()).hexdigest()} if options else {}


def _triggers(bound: Bound, write: Write) -> list[Read]:
    own = {other.dataset.name for other in bound.writes}
    return [read for read in bound.datasets_under(write) if read.trigger and read.dataset.name not in own]


def _remembered(bound: Bound, write: Write, held: Held, closed: bool) -> Mapping[str, str | None] | None:
    """Values known without asking: none are needed, or a closed window that was published is not asked again."""
    nodes = bound.free_values(write)
    if not nodes:
        return {}
    if closed and held.state is not None:
        return {node: held.state.parts.get(f"values.{node}") for node in nodes}
    return None


def _always(
    bound: Bound, write: Write, versions: Mapping[str, Version], digests: Mapping[str, str | None], closed: bool
) -> tuple[str, ...]:
    """Why an output runs although nothing is known to have changed."""
    above = bound.graph.upstream([write.node])
    reasons = ["always: true"] if bound.config.always else []
    reasons += [
        f"node {name}: always: true" for name, node in bound.config.nodes.items() if node.always and name in above
    ]
    for read in _triggers(bound, write):
        version = versions[read.dataset.name]
        if version.text is None and version.after is None:
            reasons.append(f"{read.dataset.name} has no version")
    if not closed:
        reasons += [f"the value of {node} cannot be compared" for node, digest in digests.items() if digest is None]
        reasons += ["run_time is read"] if "run_time" in above & bound.graph.inputs.keys() else []
    return tuple(reasons)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def as_text(value: Any) -> str:
    """A value of YAML as the text that goes into a fingerprint."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
