"""The layers hold, and each library has one home."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "flowpipe"
# Templates are projects of their own, which ship beside the package.
FILES = sorted(file for file in PACKAGE.rglob("*.py") if PACKAGE / "templates" not in file.parents)

# A library that is imported elsewhere too has leaked what its home hides.
HOMES = {
    "adbc_driver_postgresql": ["flowpipe.adapters.postgres"],
    "botocore": ["flowpipe.objectstore"],
    "cloudpickle": ["flowpipe.errand", "flowpipe.executors.travelling", "flowpipe.executors.values"],
    "deltalake": ["flowpipe.adapters.delta"],
    # a DuckDB relation is one of the frames, and a sample is a DuckDB file
    "duckdb": ["flowpipe.adapters.duckdb", "flowpipe.frames", "flowpipe.query", "flowpipe.sampledata"],
    "dask": ["flowpipe.executors.dask"],
    "distributed": ["flowpipe.executors.dask"],
    "filelock": ["flowpipe.liveness", "flowpipe.run"],
    "fsspec": ["flowpipe.adapters.delta", "flowpipe.adapters.files", "flowpipe.objectstore"],
    "hamilton": ["flowpipe.firing", "flowpipe.graph", "flowpipe.hooks"],
    "opentelemetry": ["flowpipe.executors.worker"],
    "pandera": ["flowpipe.rules"],
    "psycopg": ["flowpipe.adapters.postgres"],
    "ray": ["flowpipe.executors.ray"],
    "rich": ["flowpipe.progress", "flowpipe.terminal"],
    "sqlite3": ["flowpipe.history", "flowpipe.ledger"],
    "tblib": ["flowpipe.executors.travelling"],
    "tenacity": [
        "flowpipe.adapters.delta",
        "flowpipe.adapters.duckdb",
        "flowpipe.adapters.postgres",
        "flowpipe.executors.retry",
    ],
    "typer": ["flowpipe.cli"],
    "yaml": ["flowpipe.conffile", "flowpipe.yamlfaults"],
}


def module(file: Path) -> str:
    """The dotted name of a file of the package."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(file: Path) -> Iterator[str]:
    """Every module that a file imports, at its head or inside a function."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{module(file)} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(name: str, package: str) -> bool:
    """Whether a module is a package or part of it."""
    return f"{name}.".startswith(f"{package}.")


def test_the_layers_hold() -> None:
    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    checked = subprocess.run(linter, cwd=ROOT, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_only_at_home(library: str) -> None:
    users = {module(file) for file in FILES if any(is_in(name, library) for name in imports(file))}
    homes = HOMES[library]
    assert {user for user in users if not any(is_in(user, home) for home in homes)} == set()
    assert [home for home in homes if not any(is_in(user, home) for user in users)] == []


def test_stores_and_executors_come_in_only_through_their_entry_points() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    doors = {target.partition(":")[0] for group in groups.values() for target in group.values()}
    assert doors <= {module(file) for file in FILES}
    assert [
        (module(file), name)
        for file in FILES
        for name in imports(file)
        for door in doors
        if is_in(name, door) and not is_in(module(file), door)
    ] == []


def test_a_module_begins_with_what_it_hides() -> None:
    silent = [module(file) for file in FILES if not ast.get_docstring(ast.parse(file.read_text("utf-8")))]
    assert silent == []


def lines(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef, text: str) -> int:
    """How long a function is without its docstring, or a file with it."""
    if isinstance(node, ast.Module):
        return len(text.splitlines())
    docstring = ast.get_docstring(node, clean=False) or ""
    return (node.end_lineno or node.lineno) - node.lineno + 1 - len(docstring.splitlines())


def test_long_files_and_functions_argue_for_themselves() -> None:
    long = []
    for file in FILES:
        text = file.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
                limit = 300 if isinstance(node, ast.Module) else 40
                if lines(node, text) > limit and " lines" not in (ast.get_docstring(node) or ""):
                    long.append((module(file), getattr(node, "name", "the file"), lines(node, text)))
    assert long == []
