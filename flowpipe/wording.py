"""What people and scripts read of an explanation: a heading, then each fact beside its label."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from flowpipe.facts import Explanation
from flowpipe.terminal import is_terminal, line


def show(found: Sequence[Explanation]) -> None:
    """One explanation after another."""
    for number, each in enumerate(found):
        if number:
            line()
        line((each.name if each.kind == "error" else f"{each.kind} {each.name}", "bold"))
        wide = max(len(fact.label) for fact in each.facts)
        for fact in each.facts:
            _fact(fact.label, fact.lines, wide)


def _fact(label: str, lines: Sequence[str], wide: int) -> None:
    for number, text in enumerate(lines):
        # Spaces align columns and set places apart: only what is too long is wrapped.
        width = shutil.get_terminal_size().columns - wide - 4 if is_terminal() else len(text)
        parts = textwrap.wrap(text, max(width, 20), break_on_hyphens=False) if len(text) > width else [text]
        for place, part in enumerate(parts):
            head = label if number == place == 0 else ""
            line("  ", (f"{head:<{wide}}", "cyan"), "  ", "  " if place else "", part)


def record(each: Explanation) -> dict[str, Any]:
    """The same for scripts."""
    return {"kind": each.kind, "name": each.name, "facts": {fact.label: list(fact.lines) for fact in each.facts}}
