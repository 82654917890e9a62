"""How to get a library that is not installed: the install line of a plug-in's package."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint
from importlib.util import find_spec


def missing(libraries: Iterable[str]) -> list[str]:
    """Those of the top-level modules that cannot be imported here; imports none.

    >>> missing(["json", "no_such_library"])
    ['no_such_library']
    """
    return [library for library in libraries if not _is_there(library)]


def _is_there(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):  # somebody forbids it
        return False


def install_line(point: EntryPoint) -> str:
    """How to get what a plug-in needs: its package's extra of the plug-in's name, if there is one."""
    if point.dist is None:
        return "install what it needs"
    extras = point.dist.metadata.get_all("Provides-Extra") or ()
    package = f"{point.dist.name}[{point.name}]" if point.name in extras else point.dist.name
    return f'pip install "{package}"'
