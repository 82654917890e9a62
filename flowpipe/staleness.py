"""Whether one output's slice is stale, and why: its fingerprint held against what its store says; opens nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from flowpipe import fingerprint
from flowpipe.adapters import Dataset, Held
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

    `parts` are the parts of its fingerprint, where all are known.
    """

    write: Write
    action: Action
    reasons: tuple[str, ...]
    parts: Mapping[str, str] | None = None


def choose(
    step: tuple[Bound, Slice],
    write: Write,
    held: Held,
    versions: Mapping[str, Version],
    *,
    digests: Mapping[str, str | None] | None,
    now: datetime,
    force: bool = False,
) -> Choice:
    """Whether one output's slice is stale, and why; pure.

    `versions` are those of the datasets read, by name; `digests` the hashes of dataset-free nodes' values, by node, or
    None while they are not known.
    """
    bound, part = step
    state = held.state
    closed = part.window is not None and part.window.end <= now
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
    if write.dataset.config.mode == "append" and held.changed is None:
        return Choice(write, "skip", ("appended once", *changes), parts)
    stale = ("forced",) if force else (held.changed,) if held.changed else changes
    stale = stale or _always(bound, write, versions, digests or {}, closed)
    if stale:
        return Choice(write, "run", stale, parts)
    if not_yet:
        free = sorted(name.removeprefix("values.") for name in not_yet if name.startswith("values."))
        reasons = (
            *(f"after {name}" for name in dict.fromkeys(waits.values())),
            *(f"asks {name} first" for name in free),
        )
        return Choice(write, "ask", reasons, parts)
    return Choice(write, "skip", ("up to date",), parts)


def parts_of(
    bound: Bound, write: Write, versions: Mapping[str, Version], digests: Mapping[str, str | None]
) -> dict[str, str]:
    """The parts of an output's fingerprint, by name. Secrets, URLs and library versions are never among them."""
    above = bound.graph.upstream([write.node])
    parts = {f"code.{module}": code for module, code in bound.code.items()}
    for section, values in (("params", bound.config.params), ("config", bound.config.config)):
        names = (values.keys() if section == "config" else above & values.keys()) - bound.secret_params
        parts |= {f"{section}.{name}": _text(values[name]) for name in sorted(names)}
    for read in _triggers(bound, write):
        name = read.dataset.name
        version = versions[name]
        if version.text is not None and version.after is None:
            parts[f"reads.{name}"] = version.text
        if read.dataset.config.options:
            parts[f"options.{name}"] = hashlib.sha256(_text(read.dataset.config.options).encode()).hexdigest()
        if read.schema_code:
            parts[f"contract.{name}"] = read.schema_code
    parts |= {f"values.{node}": digest for node, digest in digests.items() if digest is not None}
    if write.schema_code:
        parts["schema"] = write.schema_code
    return parts | settings(write.dataset)


def settings(dataset: Dataset) -> dict[str, str]:
    """The settings of a dataset that decide which rows it holds, by name; defaults are left out."""
    left_out = {"store", "path", "table", "query", "options", "schema_", "was", "writers"}
    chosen = dataset.config.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
    return {f"write.{name}": _text(value) for name, value in sorted(chosen.items())}


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


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
