"""What `flowpipe new` adds to a project: checked as a whole in a copy, before a byte of the project changes."""

from __future__ import annotations

import json
import keyword
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flowpipe import assembly, conffile, loading, scaffold, schemas
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration
from flowpipe.errors import ConfigError, Problem, UsageError
from flowpipe.modules import ProjectCode
from flowpipe.scaffold import TextFile

_CATALOG = "conf/catalog.yml"
_PLAIN = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./%-]*")
_WIDTH = 118


@dataclass(frozen=True)
class Addition:
    """New files, in an order in which the project is whole after each, and new datasets of the catalog."""

    files: tuple[TextFile, ...] = ()
    datasets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profile: str | None = None
    """The profile that it is checked with."""


def add(found: Configuration, addition: Addition) -> Iterator[str]:
    """Make it part of the project; what was done, in words.

    Raises:
        UsageError: files are in the way, or the catalog cannot be added to.
        ConfigError: all that would be wrong with the project.
    """
    text = _catalog(found.root, addition.datasets) if addition.datasets else None
    _check(found.root, addition, text)
    if text is not None:
        scaffold.exchange(found.root / _CATALOG, text)
        yield f"added {', '.join(addition.datasets)} to {_CATALOG}"
    made = scaffold.write(found.root, addition.files, hint="choose another name")
    yield from (f"made {path}" for path in made)


def name_problems(flag: str, name: str) -> Iterator[Problem]:
    """What is wrong with a name that functions or files will have."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or keyword.iskeyword(name):
        hint = "a name is letters, digits and _, begins with no digit, and is no word of Python's"
        yield Problem(f'{flag}: "{name}" is not a name', None, hint)


def existing(found: Configuration, files: tuple[TextFile, ...]) -> Iterator[Problem]:
    """The files that are there already, and are others."""
    for path in scaffold.in_the_way(found.root, files):
        yield Problem(f"there is already {path}", None, "choose another name, or change that file")


def _catalog(root: Path, datasets: Mapping[str, Mapping[str, Any]]) -> str:
    """The catalog's text with entries at its end, so that comments and form of what is there stay.

    Raises:
        UsageError: what was read back is not what was meant.
    """
    place = root / _CATALOG
    before = place.read_bytes().decode("utf-8") if place.exists() else schemas.first_line("catalog") + "\n"
    entries = "".join(entry(name, keys) for name, keys in datasets.items())
    text = before if before.endswith("\n") or not before else before + "\n"
    text += entries.replace("\n", "\r\n") if "\r\n" in text else entries
    old, new = (conffile.parse(each.lstrip("\ufeff"), _CATALOG, resolve=False) for each in (before, text))
    if new.problems or new.data != (old.data or {}) | {name: dict(keys) for name, keys in datasets.items()}:
        hint = f"add it by hand: {entries.strip()}"
        raise UsageError(f"nothing can be added at the end of {_CATALOG}, which is not a list of names", hint=hint)
    return text


def _check(root: Path, addition: Addition, catalog: str | None) -> None:
    """The check of the project as it would be.

    Raises:
        ConfigError: all that would be wrong with it.
    """
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("conf", "pipelines"):
            if (root / name).is_dir():
                shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        changed = {file.path: file.text for file in addition.files} | ({_CATALOG: catalog} if catalog else {})
        for path, text in changed.items():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_bytes(text.encode())
        try:
            would_be = loading.load_valid(copy, profile=addition.profile, resolve=False)
            assembly.bound(would_be, Catalog(would_be), ProjectCode(copy / "pipelines"))
        except ConfigError as error:
            raise ConfigError(_as_now(problem, root, changed) for problem in error.problems) from None


def _as_now(problem: Problem, root: Path, changed: Mapping[str, str]) -> Problem:
    """A problem without its place, where that is in what was not written."""
    place = problem.where
    if place is None or place.file not in changed:
        return problem
    now = root / place.file
    is_there = now.exists() and (place.line or 0) <= now.read_bytes().count(b"\n")
    return problem if is_there else replace(problem, where=None)


def entry(name: str, keys: Mapping[str, Any]) -> str:
    r"""A mapping under its name as YAML: on one line where that is short.

    >>> entry("visits", {"store": "raw", "path": "visits/*.csv"})
    'visits: {store: raw, path: "visits/*.csv"}\n'
    """
    line = f"{name}: {flow(keys)}\n"
    if len(line) <= _WIDTH:
        return line
    return f"{name}:\n" + "".join(f"  {key}: {flow(value)}\n" for key, value in keys.items())


def flow(value: Any) -> str:
    """A value as YAML on one line.

    >>> flow({"key": ["id", "1"], "every": "month", "on": True})
    '{key: [id, "1"], every: month, on: true}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and conffile.scalar(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
