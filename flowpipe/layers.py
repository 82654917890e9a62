"""How documents are laid over one another: mappings merge, lists and scalars replace, the upper one wins.

A mapping whose `adapter` or `type` changes replaces whole. The place of a value is that of the document that won.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from flowpipe.conffile import Document, KeyPath

_T = TypeVar("_T")


def layered(*documents: Document | None) -> Document:
    """Documents over one another, the weakest first; those that are None are left out."""
    result = Document("")
    for document in documents:
        if document is not None:
            result = merge(result, document)
    return result


def merge(lower: Document, upper: Document) -> Document:
    """The upper document over the lower one; a root that is no mapping replaces the lower one whole.

    The kind (`adapter`, `type`) of the two roots is not compared: there they may be names that users chose.
    """
    replaced: set[KeyPath] = set()
    data = upper.data
    if isinstance(lower.data, dict) and isinstance(upper.data, dict):
        data = _merged(lower.data, upper.data, (), replaced)
    else:
        replaced.add(())

    def survives(path: KeyPath) -> bool:
        return not any(path[:length] in replaced for length in range(len(path) + 1))

    def both(below: Mapping[KeyPath, _T], above: Mapping[KeyPath, _T]) -> dict[KeyPath, _T]:
        return {path: place for path, place in below.items() if survives(path)} | dict(above)

    return Document(
        upper.file,
        data,
        both(lower.keys, upper.keys),
        both(lower.values, upper.values),
        lower.secrets | upper.secrets,
        frozenset(filter(survives, lower.secret_paths)) | upper.secret_paths,
        frozenset(filter(survives, lower.unresolved)) | upper.unresolved,
    )


def at(document: Document, *path: str) -> Document | None:
    """The part of a document at a path, as a document; None when there is nothing."""
    data = document.data
    for part in path:
        if not isinstance(data, dict) or part not in data:
            return None
        data = data[part]
    size = len(path)
    return replace(
        document,
        data=data,
        keys={inner[size:]: place for inner, place in document.keys.items() if inner[:size] == path},
        values={inner[size:]: place for inner, place in document.values.items() if inner[:size] == path},
        secret_paths=frozenset(inner[size:] for inner in document.secret_paths if inner[:size] == path),
        unresolved=frozenset(inner[size:] for inner in document.unresolved if inner[:size] == path),
        problems=(),
    )


def join(documents: Mapping[str, Document]) -> Document:
    """Documents side by side, each under its name."""
    items = documents.items()
    return Document(
        "",
        {name: each.data for name, each in items},
        {(name, *path): place for name, each in items for path, place in each.keys.items()},
        {(name, *path): place for name, each in items for path, place in each.values.items()},
        frozenset().union(*(each.secrets for each in documents.values())),
        frozenset((name, *path) for name, each in items for path in each.secret_paths),
        frozenset((name, *path) for name, each in items for path in each.unresolved),
    )


def under(document: Document, *path: str) -> Document:
    """A document moved to a path of a larger one."""
    for name in reversed(path):
        document = join({name: document})
    return document


def value(document: Document, path: KeyPath) -> Any:
    """The plain value at a path; None when there is nothing."""
    found = document.data
    for part in path:
        inside = part in found if isinstance(found, dict) else isinstance(found, list) and part in range(len(found))
        if not inside:
            return None
        found = found[part]
    return found


def _merged(
    lower: Mapping[str, Any], upper: Mapping[str, Any], path: KeyPath, replaced: set[KeyPath]
) -> dict[str, Any]:
    result = dict(lower)
    for key, value in upper.items():
        old, inner = lower.get(key), (*path, key)
        if isinstance(old, dict) and isinstance(value, dict) and not _differ_in_kind(old, value):
            result[key] = _merged(old, value, inner, replaced)
        else:
            result[key] = value
            replaced.add(inner)
    return result


def _differ_in_kind(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> bool:
    kinds = [(lower.get(key), upper.get(key)) for key in ("adapter", "type")]
    return any(isinstance(old, str) and isinstance(new, str) and old != new for old, new in kinds)
