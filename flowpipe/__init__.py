"""flowpipe: plain Hamilton functions in, audited tables out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # so that the command, which needs little of it, does not pay for all
    from flowpipe.project import Project as Project

__all__ = ["Project"]


def __getattr__(name: str) -> Any:
    if name == "Project":
        from flowpipe.project import Project

        return Project
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
