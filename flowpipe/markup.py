"""Tables as notebooks and the Python prompt show them: HTML that takes its looks from the page around it, or text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_MOST = 200
# As on a terminal; they can be read on white and on black.
_COLORS: Mapping[str, str] = {
    "done": "#2a9d3f",
    "run": "#2a9d3f",
    "failed": "#d1434b",
    "crashed": "#d1434b",
    "cancelled": "#b58900",
}


def table(head: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under headings under a line of text; of very many, the first.

    >>> table("plan", ["STEP"], [["a < b"]]).partition("<tbody>")[2]
    '<tr><td style="text-align: left">a &lt; b</td></tr></tbody></table>'
    """
    shown = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows[:_MOST])
    if len(rows) > _MOST:
        shown += f'<tr><td colspan="{len(headings)}">and {len(rows) - _MOST:,} more</td></tr>'
    titles = "".join(f'<th style="text-align: left">{escape(heading.lower())}</th>' for heading in headings)
    head = f"<div><strong>{escape(head)}</strong></div>"
    return f"{head}<table><thead><tr>{titles}</tr></thead><tbody>{shown}</tbody></table>"


def text(head: str, rows: Sequence[Sequence[str]]) -> str:
    """The same as text: rows under a line, without headings; of very many, the first.

    >>> print(text("2 steps", [["load", "run"], ["sums_up", "skip"]]))
    2 steps
      load     run
      sums_up  skip
    """
    shown = rows[:_MOST]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in shown]
    more = [f"and {len(rows) - _MOST:,} more"] if len(rows) > _MOST else []
    return "\n  ".join([head, *lines, *more])


def _cell(text: str) -> str:
    color = f"; color: {_COLORS[text]}" if text in _COLORS else ""
    return f'<td style="text-align: left{color}">{escape(text)}</td>'
