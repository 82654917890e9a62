"""A private package made of one folder's Python files, named by their content: nobody else's imports see it.

Inside it `import schemas` means the folder's own `schemas`: imports are rewritten to the private name when a file is
compiled, so late imports and code that travels to a worker find it too.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType


@dataclass(frozen=True)
class File:
    """One module's file; a folder without `__init__.py` is a package with an empty one."""

    path: Path
    text: bytes
    is_package: bool


@dataclass(frozen=True)
class Importer(MetaPathFinder, ExecutionLoader):
    """Finds and compiles the modules of one private package, from memory: what was hashed is what runs.

    It pickles, so that a worker can have the same modules under the same names.
    """

    package: str
    files: Mapping[str, File]

    @staticmethod
    def of(folder: Path) -> Importer:
        """The importer of a folder's files as they are now; the package's name is the hash of places and contents."""
        files = _read(folder)
        content = hashlib.sha256()
        for name, file in sorted(files.items()):
            for part in (str(file.path).encode(), name.encode(), file.text):
                content.update(len(part).to_bytes(8, "big") + part)
        return Importer(f"_flowpipe_{content.hexdigest()[:16]}", files)

    def load(self, name: str) -> ModuleType:
        """Import one of the modules by the name it has in the project."""
        self.install()
        return importlib.import_module(f"{self.package}.{name}")

    def install(self) -> None:
        """Let every import of this process find the modules, also those of unpickling."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def text(self, name: str) -> str:
        """The source of one of the modules.

        Raises:
            SyntaxError: its bytes are no text.
        """
        file = self.files[name]
        try:
            return importlib.util.decode_source(file.text)
        except (UnicodeDecodeError, SyntaxError) as error:
            raise SyntaxError(f"{error}; save the file as UTF-8", (str(file.path), None, None, None)) from None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != self.package and self._find(fullname) is None:
            return None
        spec = importlib.util.spec_from_loader(fullname, self, is_package=self.is_package(fullname))
        if spec is not None and spec.submodule_search_locations is not None:
            spec.submodule_search_locations = []  # a file that came later is not part of this content
        return spec

    def is_package(self, fullname: str) -> bool:
        file = self._find(fullname)
        return file is None or file.is_package

    def get_filename(self, fullname: str) -> str:
        file = self._find(fullname)
        return str(file.path) if file else f"<{self.package}>"

    def get_source(self, fullname: str) -> str:
        return self.text(fullname.partition(".")[2]) if self._find(fullname) else ""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_source(fullname), path)
        own = frozenset(name.partition(".")[0] for name in self.files)
        compiled: CodeType = compile(_Rewriter(self.package, own).visit(tree), path, "exec", dont_inherit=True)
        return compiled

    def _find(self, fullname: str) -> File | None:
        package, _, name = fullname.partition(".")
        return self.files.get(name) if package == self.package else None


class _Rewriter(ast.NodeTransformer):
    """Turns imports of the project's own modules into imports from the private package."""

    def __init__(self, package: str, own: frozenset[str]) -> None:
        self._package = package
        self._own = own

    def visit_Import(self, node: ast.Import) -> ast.Import:
        node.names = [rewritten for alias in node.names for rewritten in self._aliases(alias)]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.level == 0 and node.module and node.module.partition(".")[0] in self._own:
            node.module = f"{self._package}.{node.module}"
        return node

    def _aliases(self, alias: ast.alias) -> Iterator[ast.alias]:
        top, _, below = alias.name.partition(".")
        if top not in self._own:
            yield alias
            return
        private = f"{self._package}.{alias.name}"
        if alias.asname or not below:
            yield ast.copy_location(ast.alias(private, alias.asname or top), alias)
        else:  # `import sub.mod` imports sub.mod, but binds sub
            yield ast.copy_location(ast.alias(private), alias)
            yield ast.copy_location(ast.alias(f"{self._package}.{top}", top), alias)


def _read(folder: Path) -> dict[str, File]:
    """Every module below a folder by its dotted name; the folders that hold them are packages."""
    modules: dict[str, File] = {}
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name.isidentifier() and name != "__pycache__")
        here = Path(path)
        above = here.relative_to(folder).parts
        for stem in sorted(file[:-3] for file in files if file.endswith(".py") and file[:-3].isidentifier()):
            is_package = stem == "__init__"
            name = ".".join(above if is_package else (*above, stem))
            modules[name] = File(here / f"{stem}.py", (here / f"{stem}.py").read_bytes(), is_package)
    modules.pop("", None)  # the folder itself is no package
    for name in sorted(modules):
        parts = name.split(".")
        for length in range(1, len(parts)):
            init = folder.joinpath(*parts[:length], "__init__.py")
            modules.setdefault(".".join(parts[:length]), File(init, b"", is_package=True))
    return modules
