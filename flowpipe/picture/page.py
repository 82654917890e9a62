"""A picture as one HTML file that needs nothing else: to move in, to search, and to follow what flows where."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files

from flowpipe.picture.parts import Parts
from flowpipe.picture.svg import svg


def page(parts: Parts) -> str:
    """The page; the same parts give the same text."""
    known = [
        *({"id": v.id, "kind": v.kind, "name": v.name, "facts": v.facts, "group": v.group} for v in parts.vertices),
        *({"id": f"pipeline:{g.name}", "kind": "pipeline", "name": g.name, "facts": g.facts} for g in parts.groups),
    ]
    # In a script element only "<" could end it.
    data = json.dumps(known, ensure_ascii=False).replace("<", "\\u003c")
    folder = files("flowpipe.picture")
    return (
        folder.joinpath("page.html")
        .read_text("utf-8")
        .replace("{{title}}", escape(parts.title))
        .replace("{{style}}", folder.joinpath("page.css").read_text("utf-8"))
        .replace("{{script}}", folder.joinpath("page.js").read_text("utf-8"))
        .replace("{{data}}", data)
        .replace("{{picture}}", svg(parts))
    )
