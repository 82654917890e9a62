"""What people and scripts read of a look at everything: a line each, what is not well with what to do about it."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flowpipe.findings import Finding
from flowpipe.terminal import counted, is_terminal, line

_STYLES = {"ok": "green", "note": "yellow", "FAIL": "bold red"}


def show(found: Sequence[Finding]) -> None:
    """Each finding in a line of its own; words say what colours do."""
    wide = max(len(each.what) for each in found)
    for each in found:
        first, *others = _lines(each.text, wide + 8)
        line((f"{each.outcome:<4}", _STYLES[each.outcome]), f"  {each.what:<{wide}}  {first}")
        for other in others:
            line(f"{'':{wide + 8}}{other}")
        if each.hint and each.outcome != "ok":
            for number, text in enumerate(_lines(f"hint: {each.hint}", wide + 8)):
                line(f"{'':{wide + 8}}{'  ' if number else ''}{text}")
    failed = sum(each.outcome == "FAIL" for each in found)
    line((f"{counted(failed, 'check')} failed", _STYLES["FAIL"]) if failed else ("all is well", _STYLES["ok"]))


def _lines(text: str, indent: int) -> list[str]:
    """A text as the lines that fit on a terminal beside an indent; one line where nobody looks."""
    width = max(shutil.get_terminal_size().columns - indent, 20) if is_terminal() else 10**6
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def record(found: Sequence[Finding]) -> dict[str, Any]:
    """The same for scripts."""
    return {"ok": all(each.outcome != "FAIL" for each in found), "findings": [asdict(each) for each in found]}
