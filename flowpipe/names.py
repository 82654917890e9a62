"""The names that a project's user may write, found as fast as a shell completes them: nothing is loaded or checked."""

from __future__ import annotations

import ast
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from flowpipe import conffile, partition
from flowpipe.ledger import Ledger
from flowpipe.roots import ledger_path

_LATEST_RUNS = 30


def pipelines(root: Path) -> list[str]:
    return sorted(file.stem for file in root.glob("conf/pipelines/*.yml"))


def profiles(root: Path) -> list[str]:
    return sorted(file.stem for file in root.glob("conf/profiles/*.yml"))


def datasets(root: Path) -> list[str]:
    catalog = conffile.read(root / "conf/catalog.yml", "conf/catalog.yml", resolve=False).data
    return sorted(catalog) if isinstance(catalog, dict) else []


def nodes(root: Path) -> list[str]:
    """The functions of all modules that may be nodes; decorators may make others of them."""
    found: set[str] = set()
    for file in root.glob("pipelines/**/*.py"):
        with suppress(SyntaxError, ValueError):
            body = ast.parse(file.read_bytes()).body
            found |= {each.name for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return sorted(name for name in found if not name.startswith("_"))


def everything(root: Path) -> list[str]:
    """What can be explained."""
    return sorted({*datasets(root), *nodes(root), *pipelines(root)})


def partitions(root: Path, of: Collection[str] = ()) -> list[str]:
    """The windows of some pipelines, or of all of them, the latest first."""
    found: set[str] = set()
    for name in of or pipelines(root):
        written = conffile.read(root / f"conf/pipelines/{name}.yml", name, resolve=False).data.get("partitions")
        if written:
            every, zone = written["every"], written.get("timezone", "UTC")
            end = written.get("end")
            last = partition.parse(end, every, zone) if end else partition.last_closed(datetime.now(UTC), every, zone)
            found |= {str(window) for window in partition.between(partition.parse(written["start"], every, zone), last)}
    return sorted(found, reverse=True)


def runs(root: Path) -> list[str]:
    """The latest runs, and the word for the very latest."""
    with Ledger(ledger_path(root)) as ledger:
        return ["last", *(run.run for run in ledger.runs(_LATEST_RUNS))]
