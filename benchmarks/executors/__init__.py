"""What executors take beside the critical path, beside each other, and beside Hamilton's and FlowerPower's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Literal

from benchmarks.measure import PYTHON, Command, Failed, Options, Row, once

PROJECT = Path(__file__).parent / "project"
EXECUTORS = ("sync", "threads", "processes", "dask", "ray")
NEEDS = {"dask": "distributed", "ray": "ray", "flowerpower": "flowerpower"}
CRITICAL_PATH = 1.5
DIAMOND = {"threads": 1.05, "processes": 1.2, "dask": 1.2, "ray": 1.2}
NODE = {"sync": None, "threads": 80, "processes": 1_000, "dask": 6_000, "ray": 2_000}
PEERS = {
    "sync": ("flowerpower-synchronous",),
    "threads": ("hamilton-threads", "flowerpower-threadpool"),
    "processes": ("hamilton-processes", "flowerpower-processpool"),
    "dask": ("hamilton-dask", "flowerpower-dask"),
    "ray": ("hamilton-ray", "flowerpower-ray"),
}
PARTITIONS = 200
# A job of a peer executes its graph four times.
LIMIT, PEER_LIMIT = 600.0, 120.0


def rows(options: Options) -> Iterator[Row]:
    """Ratios of medians; a peer that cannot do a graph is told with its reason."""
    yield from _diamond(options)
    yield from _nodes(options)
    for name in EXECUTORS:
        took = _one("waiting", name, options.runs)
        yield _row(f"{name}, driver while a node takes 3 s", "% CPU", took, None, 5, is_value=True)
    yield from _partitions(options)
    yield from _frames(options)


def _diamond(options: Options) -> Iterator[Row]:
    took = {name: _one("diamond", name, options.runs) for name in DIAMOND}
    for name, limit in DIAMOND.items():
        yield _row(f"diamond, {name} beside its critical path", "s", took[name], CRITICAL_PATH, limit)
    took["sync"] = _one("diamond", "sync", 1)
    yield from _beside_peers("diamond", "diamond", "s", took, options)


def _nodes(options: Options) -> Iterator[Row]:
    for graph in ("layered", "wide"):
        took = {name: _one(graph, name, options.runs) for name in EXECUTORS}
        for name, limit in NODE.items():
            yield _row(
                f"1,000 nodes, {graph}: {name} beside sync", "us", took[name], took["sync"], limit, is_value=True
            )
    took = {name: _one("small", name, options.runs) for name in EXECUTORS}
    yield from _beside_peers("small", "200 nodes", "us", took, options)


def _beside_peers(job: str, title: str, unit: str, took: Mapping[str, float | str], options: Options) -> Iterator[Row]:
    for name, peers in PEERS.items():
        for peer in peers:
            yield _row(f"{title}, {name} beside {peer}", unit, took[name], _one(job, peer, options.runs, PEER_LIMIT))


def _partitions(options: Options) -> Iterator[Row]:
    """Backfills of a pure-Python step: seconds of the whole run, what starts included."""
    took = {}
    for name in EXECUTORS:
        command = Command(
            (PYTHON, "-m", "benchmarks.executors.backfill", str(PARTITIONS), name), PROJECT, reports=True, limit=LIMIT
        )
        took[name] = _reported(name, command, options.runs)
    for name in EXECUTORS[1:]:
        limit = {"processes": 1 / 1.8}.get(name)
        yield _row(f"{PARTITIONS} partitions in pure Python, {name} beside sync", "s", took[name], took["sync"], limit)


def _frames(options: Options) -> Iterator[Row]:
    took = {name: _one("shared", name, options.runs) for name in EXECUTORS}
    for name in EXECUTORS[2:]:
        limit = {"processes": 2.0}.get(name)
        yield _row(f"200 MB to 3 nodes, {name} beside threads", "s", took[name], took["threads"], limit)
    for name in EXECUTORS[2:]:
        one, many = _one("one-frame", name, 1), _one("frames", name, 1)
        limit = {"processes": 1.2}.get(name)
        yield _row(f"50 frames of 200 MB beside 1, {name}: driver's peak", "MB", many, one, limit)


def _row(
    name: str,
    unit: str,
    took: float | str,
    beside: float | str | None,
    limit: float | None = None,
    *,
    is_value: bool = False,
) -> Row:
    """A line, with the reason where there is no number."""
    if isinstance(took, str):
        return Row(name, unit, float("nan"), note=took)
    bounds: Literal["value", "ratio"] = "value" if is_value else "ratio"
    if isinstance(beside, str):
        return Row(name, unit, took, None, limit, bounds, beside)
    return Row(name, unit, took, beside, limit, bounds)


def _one(job: str, engine: str, runs: int, limit: float = LIMIT) -> float | str:
    """What an engine took for a job, the median of a few processes; or why there is no number."""
    command = Command((PYTHON, "-m", "benchmarks.executors.job", job, engine), reports=True, limit=limit)
    return _reported(engine, command, runs)


def _reported(engine: str, command: Command, runs: int) -> float | str:
    for part in engine.split("-"):
        if (library := NEEDS.get(part)) and find_spec(library) is None:
            return f"skipped: {library} is not installed"
    try:
        return median(once(command).reported for _ in range(runs))
    except Failed as failed:
        if engine in EXECUTORS:
            raise
        return f"fails: {failed.reason[:80]}"
