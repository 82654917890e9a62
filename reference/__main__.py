"""`python -m reference` writes the pages of `docs/reference/`; with `--check` it shows what is not current."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from reference import commands, configuration, errors, modules, stores

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "configuration.md": configuration.page,
    "stores.md": stores.stores,
    "executors.md": stores.executor_page,
    "errors.md": errors.page,
    "modules.md": modules.page,
}


def stale() -> str:
    """What would change, as a diff; empty when every page is current."""
    changes: list[str] = []
    for name, made in PAGES.items():
        path = FOLDER / name
        now = path.read_text("utf-8") if path.exists() else ""
        here = f"docs/reference/{name}"
        changes += difflib.unified_diff(now.splitlines(True), made().splitlines(True), here, f"{here} (made anew)", n=1)
    return "".join(changes)


def main(arguments: list[str]) -> int:
    """Write the pages, or look whether they are current; the exit code."""
    if arguments == ["--check"]:
        changes = stale()
        sys.stdout.write(changes and f"{changes}\nnot current: run python -m reference\n")
        return int(bool(changes))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, made in PAGES.items():
        (FOLDER / name).write_text(made(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
