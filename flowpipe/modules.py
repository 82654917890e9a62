"""One project's Python code: its modules, what they import, their text, and what is wrong with them, where."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from flowpipe.errors import ConfigError, Problem, Where, nearest, unknown
from flowpipe.importer import Importer

_DECORATORS = "hamilton.function_modifiers"
# Where an import error says that it found a library.
_FILE = re.compile(r" \([^()]*[/\\][^()]*\)$")


class ProjectCode:
    """The Python files below one folder as they were when this was made; make another to see changes.

    The folder's files are top-level modules (`daily.py` is `daily`, `sub/mod.py` is `sub.mod`). A module that was
    loaded once is the same module for every ProjectCode of the same content.

    Args:
        folder: the project's `pipelines/`; places in messages are relative to the folder above it.
        importer: what has read it before, elsewhere maybe: all that a worker needs to have the same modules.

    """

    def __init__(self, folder: Path, importer: Importer | None = None) -> None:
        self._root = folder.resolve().parent
        self.importer = importer or Importer.of(folder.resolve())
        self._names = {str(file.path): name for name, file in self.importer.files.items()}
        self._split: dict[str, list[str]] = {}

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of all modules, sorted."""
        return tuple(sorted(self.importer.files))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Modules that cannot be: nobody could tell them from the standard library's."""
        return tuple(
            Problem(
                f'a module cannot be named like the standard library\'s "{name}"',
                Where(self._relative(str(file.path))),
                f"rename it, for example to project_{name}",
            )
            for name, file in sorted(self.importer.files.items())
            if name in sys.stdlib_module_names
        )

    def load(self, name: str, where: Where | None = None) -> ModuleType:
        """Import a module of the project.

        Args:
            name: such as `daily` or `sub.mod`.
            where: who asks, for the message when there is no such module.

        Raises:
            ConfigError: there is no such module, or it cannot be imported; at the user's own file and line.
        """
        self._require(name, where)
        try:
            return self.importer.load(name)
        except (Exception, SystemExit) as error:
            raise ConfigError([self._import_problem(name, error)]) from error

    def load_object(self, reference: str, where: Where | None = None) -> Any:
        """What `module:Name` names, such as a Pandera model.

        Raises:
            ConfigError: it is not written so, there is no such thing, or the module cannot be imported.
        """
        module_name, _, name = reference.partition(":")
        if not (module_name and name):
            raise ConfigError([Problem(f'"{reference}" is no name of an object', where, 'write "module:Name"')])
        found: Any = self.load(module_name, where)
        for part in name.split("."):
            if not hasattr(found, part):
                public = [
                    key for key, value in vars(found).items() if not (key.startswith("_") or inspect.ismodule(value))
                ]
                raise ConfigError([unknown(f"object of module {module_name}:", part, public, where)])
            found = getattr(found, part)
        return found

    def source(self, name: str) -> str:
        """The text of a module, exactly what `load` runs.

        Raises:
            ConfigError: there is no such module, or its bytes are no text.
        """
        self._require(name, None)
        try:
            return self.importer.text(name)
        except SyntaxError as error:
            raise ConfigError([self._import_problem(name, error)]) from error

    def imports(self, name: str) -> tuple[str, ...]:
        """The project's modules that a module reaches by imports, also late ones; sorted, without itself.

        Raises:
            ConfigError: there is no such module, or one that is reached is not Python.
        """
        self._require(name, None)
        found: set[str] = set()
        todo = [name]
        while todo:
            new = self._direct_imports(todo.pop()) - found
            found |= new
            todo.extend(new)
        return tuple(sorted(found - {name}))

    def where(self, function: Callable[..., Any]) -> Where:
        """The place of a function's `def`, below its decorators, through partials and wrappers."""
        inner: Any = inspect.unwrap(function)
        while isinstance(inner, functools.partial):
            inner = inspect.unwrap(inner.func)
        code: CodeType = inner.__code__
        line = code.co_firstlineno
        lines = self._lines(code.co_filename)
        if line <= len(lines) and lines[line - 1].startswith("@"):
            below = enumerate(lines[line:], line + 1)
            line = next((number for number, text in below if text.startswith(("def ", "async def "))), line)
        return Where(self._relative(code.co_filename), line)

    def raised_at(self, error: BaseException) -> tuple[Where, str] | None:
        """The last line of the project's code that an exception passed through, and its text; None if there is none."""
        for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
            lines = self._lines(frame.f_code.co_filename)
            if lines:
                return Where(self._relative(frame.f_code.co_filename), number), lines[number - 1]
        return None

    def public_text(self, text: str) -> str:
        """A text about the private package as users know their modules."""
        return text.replace(f"{self.importer.package}.", "")

    def _require(self, name: str, where: Where | None) -> None:
        if self.problems:
            raise ConfigError(self.problems)
        if name not in self.importer.files:
            raise ConfigError([unknown("module", name, self.modules, where)])

    def _relative(self, path: str) -> str:
        inside = path in self._names or Path(path).is_relative_to(self._root)
        return Path(path).relative_to(self._root).as_posix() if inside else path

    def _lines(self, path: str) -> list[str]:
        if path not in self._split:
            name = self._names.get(path)
            self._split[path] = [line.strip() for line in self.source(name).splitlines()] if name else []
        return self._split[path]

    def _direct_imports(self, name: str) -> frozenset[str]:
        file = self.importer.files[name]
        try:
            tree = ast.parse(self.importer.text(name), str(file.path))
        except SyntaxError as error:
            raise ConfigError([self._import_problem(name, error)]) from error
        package = name if file.is_package else name.rpartition(".")[0]
        names = {name}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                start = ".".join(part for part in (*above, node.module) if part)
                names.update(f"{start}.{alias.name}".lstrip(".") for alias in node.names)
        parts = [full.split(".") for full in names]  # to import a.b.c is to run a and a.b as well
        reached = {".".join(part[:length]) for part in parts for length in range(1, len(part) + 1)}
        return frozenset(reached & self.importer.files.keys())

    def _import_problem(self, name: str, error: BaseException) -> Problem:
        text = next(iter(self.public_text(str(error)).splitlines()), "")
        if isinstance(error, SyntaxError) and error.filename in self._names:
            where = Where(self._relative(error.filename), error.lineno, error.offset)
            hint = f"the line reads: {error.text.strip()}" if error.text else None
            return Problem(f"{type(error).__name__}: {error.msg}", where, hint)
        place, line = self.raised_at(error) or (Where(self._relative(str(self.importer.files[name].path))), "")
        message = f"{name} cannot be imported: {type(error).__name__}: {_FILE.sub('', text)}"
        if isinstance(error, ModuleNotFoundError) and error.name:
            return Problem(message, place, self._not_found_hint(self.public_text(error.name)))
        hint = f"the line reads: {line}" if line else "import it in Python to see where it fails"
        return Problem(message, place, f"did you mean {close}? {hint}" if (close := _meant(error)) else hint)

    def _not_found_hint(self, missing: str) -> str:
        if missing in self.importer.files:
            return f'write "import {missing}"; a dynamic import does not see the project'
        close = nearest(missing, self.modules)
        install = f"pip install {missing.partition('.')[0]}"
        return f'did you mean "{close}"?' if close else f'"{install}" may be what is missing'


def _meant(error: BaseException) -> str | None:
    """What a name that is not there was meant to be: an attribute, a name of its module, or a decorator."""
    unknown_import = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error))
    if unknown_import:
        return nearest(unknown_import[1], dir(sys.modules.get(unknown_import[2])))
    if isinstance(error, AttributeError) and error.name:
        return nearest(error.name, dir(error.obj))
    if not isinstance(error, NameError) or not error.name:
        return None
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if close := nearest(error.name, {**frame.f_globals, **vars(builtins)}):
        return close
    decorators = vars(sys.modules.get(_DECORATORS, builtins))
    close = nearest(error.name, decorators)
    return f'{close}, with "from {_DECORATORS} import {close}"' if close else None
