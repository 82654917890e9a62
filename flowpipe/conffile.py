"""YAML with positions: one file becomes plain values, and every key and value knows its line and column.

Scalars are read as YAML 1.2's core schema reads them (`on`, `no`, `12:30`, `1_000`, `2013-01` are text), only the core
tags are known, and interpolations in texts are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from flowpipe.errors import ConfigError, Problem, Where
from flowpipe.interpolation import interpolate
from flowpipe.yamlfaults import syntax_problem

try:
    from yaml import CSafeLoader as YamlLoader
except ImportError:  # a PyYAML built without libyaml is ten times slower and gives the same nodes
    from yaml import SafeLoader as YamlLoader  # type: ignore[assignment]  # the two share the interface used here

KeyPath = tuple[str | int, ...]

_MAX_NODES = 100_000
_MAX_DEPTH = 100
_TAG = "tag:yaml.org,2002:"
_STR = _TAG + "str"
_CORE_TAGS: Mapping[type[yaml.Node], frozenset[str]] = {
    yaml.ScalarNode: frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str")),
    yaml.SequenceNode: frozenset([_TAG + "seq"]),
    yaml.MappingNode: frozenset([_TAG + "map"]),
}
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# Compiled when a file has such a character: that takes longer than to import this module.
_NOT_PRINTABLE = r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_INF_NAN = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Document:
    """The plain values of one file, with the place of every key and value by path.

    `file` is relative to the project's folder. `secrets` are the texts that `${...}` brought in, `secret_paths` the
    values that hold one. `unresolved` are the paths whose value is not known: interpolations that were not looked at
    or could not be, and what `problems` tells of.
    """

    file: str
    data: Any = field(default_factory=dict, repr=False)
    keys: Mapping[KeyPath, Where] = field(default_factory=dict, repr=False)
    values: Mapping[KeyPath, Where] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    secret_paths: frozenset[KeyPath] = frozenset()
    unresolved: frozenset[KeyPath] = frozenset()
    problems: tuple[Problem, ...] = ()

    def where(self, path: KeyPath) -> Where | None:
        """The place of a value, or of the nearest value around it."""
        return next((self.values[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.values), None)

    def where_key(self, path: KeyPath) -> Where | None:
        """The place of a key; of the nearest value around it where there is no such key."""
        return self.keys.get(path) or self.where(path)

    def is_secret(self, path: KeyPath) -> bool:
        """Whether a value, one inside it, or one around it came through `${...}`."""
        return any(path[: len(secret)] == secret[: len(path)] for secret in self.secret_paths)


def read(path: Path, shown_as: str, *, resolve: bool = True) -> Document:
    """One file as a document; what is wrong with it is in `problems`, and an empty file is an empty mapping.

    With `resolve=False` texts keep their `${...}`, and neither the environment nor any other file is looked at.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "the file must be there and readable"
        return _broken(shown_as, Problem(f"cannot be read: {error.strerror}", Where(shown_as), hint))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        where = Where(shown_as, before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        return _broken(shown_as, Problem("this is not UTF-8", where, "save the file as UTF-8"))
    document = parse(text, shown_as, resolve=resolve)
    return replace(document, data={}) if document.data is None else document


def parse(text: str, shown_as: str, *, resolve: bool = True) -> Document:
    """The text of one file as a document; see `read`. No text at all is null."""
    try:
        root = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        return _broken(shown_as, syntax_problem(error, text, shown_as))
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        return _broken(shown_as, _control_character(text, shown_as))
    except RecursionError:
        return _broken(shown_as, _too_deep(Where(shown_as)))
    return _Build(shown_as, resolve).document(root)


def scalar(text: str) -> Any:
    """A value from the command line, typed as YAML types it.

    Raises:
        ValueError: `text` is not YAML.

    >>> scalar("20"), scalar("[a, 1.5]"), scalar("no"), scalar("")
    (20, ['a', 1.5], 'no', None)
    """
    document = parse(text, "")
    if document.problems:
        raise ValueError(document.problems[0].message)
    return document.data


def _broken(shown_as: str, problem: Problem) -> Document:
    return Document(shown_as, values={(): Where(shown_as, 1, 1)}, unresolved=frozenset([()]), problems=(problem,))


def _where(file: str, mark: yaml.Mark | None) -> Where:
    return Where(file, mark.line + 1, mark.column + 1) if mark else Where(file)


def _too_deep(where: Where) -> Problem:
    return Problem(f"nested more than {_MAX_DEPTH} deep", where, "write it flatter")


def _control_character(text: str, shown_as: str) -> Problem:
    """The first character that YAML does not allow; libyaml counts bytes, so its own position is not used."""
    bad = next(i for i, c in enumerate(text) if re.match(_NOT_PRINTABLE, c))
    before = text[:bad]
    where = Where(shown_as, before.count("\n") + 1, bad - (before.rfind("\n") + 1) + 1)
    return Problem(
        f"the character {text[bad]!a} cannot stand in YAML", where, "remove it, or escape it in double quotes"
    )


def _core_tag(text: str) -> str:
    """The tag that YAML 1.2's core schema gives a plain scalar."""
    for name, pattern in (("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT), ("float", _INF_NAN)):
        if pattern.fullmatch(text):
            return _TAG + name
    return _STR


def _core_value(text: str) -> Any:
    """A plain scalar, typed by the core schema."""
    tag = _core_tag(text).removeprefix(_TAG)
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)) if len(text) < 1000 else text
    if tag == "float":
        return float(text.replace(".", "", 1) if _INF_NAN.fullmatch(text) else text)
    return text


class _Loader(YamlLoader):
    """PyYAML's composer with the core schema in place of YAML 1.1's."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        """The tag of a node that has none; `implicit[0]` tells a plain scalar."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _core_tag(value)
        return {yaml.ScalarNode: _STR, yaml.SequenceNode: _TAG + "seq", yaml.MappingNode: _TAG + "map"}[kind]


class _Build:
    """Walks the nodes of one file, collecting values, places and problems."""

    def __init__(self, shown_as: str, resolve: bool) -> None:
        self.file, self.resolve = shown_as, resolve
        self.keys: dict[KeyPath, Where] = {}
        self.values: dict[KeyPath, Where] = {}
        self.secrets: set[str] = set()
        self.secret_paths: set[KeyPath] = set()
        self.unresolved: set[KeyPath] = set()
        self.problems: list[Problem] = []
        self.ancestors: set[int] = set()
        self.nodes = 0

    def document(self, root: yaml.Node | None) -> Document:
        self.values[()] = Where(self.file, 1, 1)
        try:
            data = None if root is None else self.value(root, ())
        except ConfigError as error:
            return _broken(self.file, error.problems[0])
        return Document(
            self.file,
            data,
            self.keys,
            self.values,
            frozenset(self.secrets),
            frozenset(self.secret_paths),
            frozenset(self.unresolved),
            tuple(self.problems),
        )

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """A node's plain value.

        Raises:
            ConfigError: the file is too large or too deep to go on.
        """
        where = self.values[path] = _where(self.file, node.start_mark)
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            hint = "each alias (*NAME) counts as all that it repeats"
            raise ConfigError([Problem(f"more than {_MAX_NODES:,} values", Where(self.file), hint)])
        if len(path) > _MAX_DEPTH:
            raise ConfigError([_too_deep(where)])
        if id(node) in self.ancestors:
            return self.refuse(path, "this alias repeats what it stands in", where, "write the value out")
        if node.tag not in _CORE_TAGS[type(node)]:
            tag = node.tag.replace(_TAG, "!!")
            return self.refuse(path, f"the tag {tag} is not allowed here", where, "leave it out")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path, where)
        self.ancestors.add(id(node))
        found: Any
        if isinstance(node, yaml.MappingNode):
            found = self.mapping(node, path)
        else:
            found = [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        self.ancestors.remove(id(node))
        return found

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, inner, where = key_node.value, (*path, key_node.value), _where(self.file, key_node.start_mark)
            if key_node.tag != _STR:
                shown = f"the key {key}" if isinstance(key_node, yaml.ScalarNode) else "this key"
                self.refuse(path, f"{shown} is not text", where, "put the key in quotes")
            elif key == "<<" and not key_node.style:
                self.refuse(path, 'there is no merge key "<<" in YAML 1.2', where, "write the keys out")
            elif key in found:
                first = self.keys[inner]
                self.refuse(path, f'the key "{key}" is given twice', where, f"it is first given in line {first.line}")
            else:
                self.keys[inner] = where
                found[key] = self.value(value_node, inner)
        return found

    def scalar(self, node: yaml.ScalarNode, path: KeyPath, where: Where) -> Any:
        text: str = node.value
        if node.tag != _STR:
            if node.tag not in (_core_tag(text), _TAG + "float" if _INT.fullmatch(text) else ""):
                return self.refuse(path, f'"{text}" is not {node.tag.replace(_TAG, "!!")}', where, "leave the tag out")
            value = _core_value(text)
            return float(value) if node.tag == _TAG + "float" else value
        filled = interpolate(text, where, resolve=self.resolve)
        self.problems += filled.problems
        self.secrets |= filled.secrets
        if filled.found:
            self.secret_paths.add(path)
        if not filled.known:
            self.unresolved.add(path)
        return _core_value(filled.text) if filled.whole and filled.known and not node.style else filled.text

    def refuse(self, path: KeyPath, message: str, where: Where, hint: str) -> None:
        self.problems.append(Problem(message, where, hint))
        self.unresolved.add(path)
