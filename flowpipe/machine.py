"""What this machine gives: the versions of Python and the libraries, the clock, and the room on its disks."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from flowpipe.findings import Finding
from flowpipe.terminal import size

_PACKAGE = "flowpipe-etl"
_NAMED = ("polars", "duckdb", "deltalake", "apache-hamilton", "pandera", "pydantic")
_LEAST = 10**9  # bytes: less is filled by one run of a small project
_SCARCE = 0.05
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)  # flowpipe is younger


def findings() -> Iterator[Finding]:
    """Whether Python and every library are of versions that flowpipe works with."""
    python, wanted = platform.python_version(), metadata(_PACKAGE)["Requires-Python"] or ""
    if python in SpecifierSet(wanted, prereleases=True):
        yield Finding("python", "ok", python)
    else:
        yield Finding(
            "python", "FAIL", f"{python}, flowpipe needs {wanted}", "make a virtual environment of another one"
        )
    yield Finding("flowpipe", "ok", version(_PACKAGE))
    wrong = list(_wrong())
    yield from wrong
    if not wrong:
        yield Finding("libraries", "ok", ", ".join(f"{name} {version(name)}" for name in _NAMED))


def _wrong() -> Iterator[Finding]:
    """Libraries that are missing, or of versions that do not fit; those of extras are told by who needs them."""
    for text in requires(_PACKAGE) or ():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        hint = f'pip install "{requirement.name}{requirement.specifier}"'
        try:
            there = version(requirement.name)
        except PackageNotFoundError:
            yield Finding("libraries", "FAIL", f"{requirement.name} is not installed", hint)
            continue
        if not requirement.specifier.contains(there, prereleases=True):
            said = f"{requirement.name} is {there}, flowpipe needs {requirement.specifier}"
            yield Finding("libraries", "FAIL", said, hint)


def clock(now: datetime, newest: datetime | None) -> Finding:
    """Whether the clock can be right: windows close by it, and runs are told apart by it."""
    hint = "set the clock, as by `timedatectl set-ntp true`"
    told = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < _FIRST:
        return Finding("clock", "FAIL", f"{told} is in the past", hint)
    if newest and newest > now:
        return Finding("clock", "FAIL", f"{told}, but the newest run began at {newest:%Y-%m-%d %H:%M:%S} UTC", hint)
    return Finding("clock", "ok", told)


def disks(places: Mapping[str, Path]) -> Iterator[Finding]:
    """How much room there is, a line for each disk with the places that lie on it."""
    shared: dict[int, tuple[Path, list[str]]] = {}
    for name, path in {**places, "temporary files": Path(tempfile.gettempdir())}.items():
        there = next(each for each in (path, *path.absolute().parents) if each.exists())
        shared.setdefault(there.stat().st_dev, (there, []))[1].append(name)
    for there, names in shared.values():
        room = shutil.disk_usage(there)
        if not room.total:  # some file systems do not tell
            continue
        share = room.free / room.total
        text = f"{size(room.free)} of {size(room.total)} free ({share:.0%}) for {', '.join(names)}"
        if room.free < _LEAST:
            hint = f"make room at {there}: a run needs more than {size(_LEAST)}"
            yield Finding("disk", "FAIL", text, hint)
        else:
            yield Finding("disk", "note" if share < _SCARCE else "ok", text)
