"""What made an output's slice, as hashes that are the same in every process and on every supported Python.

A value's hash is a tree: a composite hashes the digests of its members under a tag that names its type. What has no
canonical form has no hash, and a step that depends on it always runs: running needlessly is a cost, skipping wrongly a
bug.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flowpipe import tabular
from flowpipe.tabular import Of, digest

Parts = Mapping[str, str]
"""What made a slice, by name.

The names are `code.MODULE`, `params.NAME`, `config.NAME`, `reads.DATASET`, `options.DATASET`, `contract.DATASET`,
`settings.DATASET`, `input.PARAMETER`, `values.NODE`, `node`, `partitions`, `schema` and `write.SETTING`.
Parameters, settings and read versions are JSON text, so that a plan can show them; the rest are hashes.
"""

_SUBJECTS = {
    "code": "code of {}",
    "values": "value of {}",
    "options": "options of {}",
    "contract": "schema of {}",
    "settings": "settings of {}",
    "input": "dataset of {}",
    "write": "{}",
}
_SHOWN = 40
_DIGEST = re.compile(r'"?[0-9a-f]{16,}"?')


def of_code(source: str) -> str:
    r"""The hash of what a module's source does: comments, formatting and docstrings do not count.

    Raises:
        SyntaxError: the source is not Python.

    >>> of_code("x = 1  # one") == of_code('"Doc."\nx  =  1')
    True
    """
    with warnings.catch_warnings():
        # Importing the module shows them already, with the file's name.
        warnings.simplefilter("ignore")
        tree = ast.parse(source.removeprefix("\ufeff"))
    found = hashlib.sha256()
    for token in _tokens(tree):
        found.update(token.encode() + b"\0")
    return found.hexdigest()


def of_parts(parts: Parts) -> str:
    """The fingerprint of an output's slice: one hash over all its parts.

    >>> of_parts({"a": "1", "b": "2"}) == of_parts({"b": "2", "a": "1"})
    True
    """
    return hashlib.sha256(json.dumps(sorted(parts.items())).encode()).hexdigest()


def difference(old: Parts, new: Parts) -> tuple[str, ...]:
    """What changed between two fingerprints, in words for a plan.

    >>> difference({"params.late": "15", "reads.a": "12"}, {"params.late": "20", "reads.b": "3"})
    ('params.late changed 15 -> 20', 'reads no longer a', 'now reads b')
    """
    return tuple(
        _change(name, old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)
    )


def of_value(value: object) -> str | None:
    """The hash of a node's value; None when its type has no canonical form, or the value contains itself.

    Equal content hashes equal whatever the order of a set or mapping, the payload of a NaN, the chunks of a frame or
    what lies under its nulls. Types count: `1`, `1.0`, `True` and `np.int64(1)` differ, and so do `0.0` and `-0.0`.
    Lazy frames are collected, and what Polars raises then is not caught.

    >>> of_value({"a": 1, "b": {2, 3}}) == of_value({"b": {3, 2}, "a": 1})
    True
    >>> of_value(print) is None
    True
    """
    try:
        return _digest(value, frozenset()).hex()
    except (RecursionError, TypeError, ValueError, NotImplementedError):
        # The last two are also what Arrow raises for a type that it cannot convert.
        return None


def _change(name: str, old: str | None, new: str | None) -> str:
    kind, _, rest = name.partition(".")
    if kind == "reads":
        if old is None:
            return f"now reads {rest}"
        if new is None:
            return f"reads no longer {rest}"
        old, new = old.strip('"'), new.strip('"')
        return f"{rest}: version {old} -> {new}" if _is_short(old, new) else f"{rest}: version changed"
    subject = _SUBJECTS.get(kind, name).format(rest)
    if old is None or new is None:
        return f"{subject} {'added' if old is None else 'removed'}"
    return f"{subject} changed {old} -> {new}" if _is_short(old, new) else f"{subject} changed"


def _is_short(*texts: str) -> bool:
    return all(len(text) <= _SHOWN and not _DIGEST.fullmatch(text) for text in texts)


def _tokens(tree: ast.AST) -> Iterator[str]:
    # `ast.dump` differs between Python versions (3.13 leaves out empty lists, 3.12.1 puts empty texts into f-strings),
    # and recursion fails on long sums, hence a walk of our own with a stack.
    stack: list[object] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, ast.Constant):
            yield f"{type(item.value).__name__} {_literal(item.value)}"
        elif isinstance(item, ast.AST):
            yield type(item).__name__
            stack.append(")")
            for name, child in reversed(list(ast.iter_fields(item))):
                members = _without_noise(item, name, child)
                if members is not None and members != []:
                    stack += [members, name]
        elif isinstance(item, list):
            stack += ["]", *reversed(item), "["]
        else:
            # A name, or None and int as they occur in fields.
            yield ascii(item)


def _literal(value: object) -> str:
    # Very large numbers have no decimal text; what `repr` escapes depends on the Unicode of the Python.
    return hex(value) if type(value) is int else ascii(value)


def _without_noise(node: ast.AST, field: str, value: object) -> object:
    if field == "type_ignores":
        return None
    if isinstance(node, ast.JoinedStr) and isinstance(value, list):
        return [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
    if field == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return value


def _zone(zone: tzinfo | None) -> str:
    if zone is None or type(zone) is timezone or (type(zone) is ZoneInfo and zone.key):
        return repr(zone)
    raise TypeError(zone)


def _bits(value: float) -> bytes:
    return struct.pack(">d", math.nan if math.isnan(value) else value)


def _text(value: object) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


def _clock(value: time | datetime) -> bytes:
    # Zones of one offset differ in what arithmetic makes of them.
    return f"{value.replace(tzinfo=None).isoformat()} {value.fold} {_zone(value.tzinfo)}".encode()


# By exact type: a subclass may carry more than its parent shows.
_LEAVES: Mapping[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"",
    bool: _text,
    int: lambda value: hex(value).encode(),
    float: _bits,
    str: _text,
    bytes: bytes,
    Decimal: lambda value: repr(value.as_tuple()).encode(),
    date: _text,
    time: _clock,
    datetime: _clock,
    timedelta: lambda value: f"{value.days} {value.seconds} {value.microseconds}".encode(),
    timezone: lambda value: _zone(value).encode(),
    ZoneInfo: lambda value: _zone(value).encode(),
    UUID: lambda value: value.bytes,
}


_CONTAINERS: Mapping[type, Callable[[Any, Of], bytes]] = {
    list: lambda value, of: digest("list", map(of, value)),
    tuple: lambda value, of: digest("tuple", map(of, value)),
    set: lambda value, of: digest("set", sorted(map(of, value))),
    frozenset: lambda value, of: digest("frozenset", sorted(map(of, value))),
    dict: lambda value, of: digest("dict", sorted(of(key) + of(member) for key, member in value.items())),
}

_LIBRARIES: Mapping[str, Callable[[Any, Of], bytes]] = {
    "numpy": tabular.of_numpy,
    "pandas": tabular.of_pandas,
    "polars": tabular.of_polars,
    "pyarrow": tabular.of_pyarrow,
}


def _digest(value: Any, above: frozenset[int]) -> bytes:
    kind = type(value)
    if kind in _LEAVES:
        return digest(kind.__name__, [_LEAVES[kind](value)])
    if id(value) in above:
        raise TypeError("a value that contains itself")
    inside = above | {id(value)}
    encode = _CONTAINERS.get(kind) or _LIBRARIES.get(kind.__module__.partition(".")[0], _instance)
    return encode(value, lambda member: _digest(member, inside))


def _instance(value: Any, of: Of) -> bytes:
    from pydantic import BaseModel

    kind = type(value)
    # Without its packages: project modules live below one that is named by their content, comments included.
    name = f"{kind.__module__.rpartition('.')[2]}.{kind.__qualname__}"
    if isinstance(value, PurePath):
        return digest("path", [_text(value)])
    if isinstance(value, Enum):
        return digest("enum", map(of, (name, value.name, value.value)))
    if isinstance(value, BaseModel):
        fields = {field: getattr(value, field) for field in kind.model_fields}
        extra = (value.model_fields_set, value.__pydantic_extra__, value.__pydantic_private__)
        return digest("model", map(of, (name, fields, *extra)))
    # A parent such as `dict` or `int` holds content that is no field.
    plain = all(parent is object or parent.__module__ != "builtins" for parent in kind.__mro__)
    if plain and dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if set(getattr(value, "__dict__", ())) <= set(fields):
            return digest("dataclass", map(of, (name, fields)))
    raise TypeError(f"{name} has no canonical form")
