"""The page of every module: the floors that imports go down, and the secret that each file keeps, in its own words."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
_HEAD = """# Modules

Imports go down this page and never up; modules of one floor do not know each other. Each file keeps one secret, and its
first line says which. [Architecture](../architecture.md) tells the ideas. This page is made by `python -m reference`.

"""


def page() -> str:
    """The whole page."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (floors,) = [each["layers"] for each in contracts if each["containers"] == ["flowpipe"]]
    rows = [row for number, floor in zip(range(len(floors))[::-1], floors, strict=True) for row in _rows(number, floor)]
    return _HEAD + "\n".join(("| floor | module | |", "|---|---|---|", *rows)) + "\n"


def _rows(number: int, floor: str) -> Iterator[str]:
    """The rows of one floor's modules and of what is in them; the ground is floor 0."""
    for name in sorted(floor.split(" | ")):
        for inner, path in _files(name):
            yield f"| {number} | `{inner}` | {_secret(path)} |"


def _files(name: str) -> Sequence[tuple[str, Path]]:
    """A module, or a package and all that is in it."""
    folder = ROOT / "flowpipe" / name
    if not folder.is_dir():
        return [(name, folder.with_suffix(".py"))]
    found = [path for path in sorted(folder.rglob("*.py")) if _secret(path)]
    return [(".".join((name, *_dotted(path.relative_to(folder)))), path) for path in found]


def _dotted(path: Path) -> Sequence[str]:
    return [part for part in path.with_suffix("").parts if part != "__init__"]


def _secret(path: Path) -> str:
    """The first paragraph of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")
