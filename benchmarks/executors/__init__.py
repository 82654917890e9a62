"""What executors take beside the critical path, beside each other, and beside Hamilton's and FlowerPower's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
NODE = {"threads": 80, "processes": 1_000, "dask": 6_000, "ray": 2_000}
PEERS = {
    "sync": ("flowerpower-synchronous",),
    "threads": ("hamilton-threads", "flowerpower-threadpool"),
    "processes": ("hamilton-processes", "flowerpower-processpool"),
    "dask": ("hamilton-dask", "flowerpower-dask"),
    "ray": ("hamilton-ray", "flowerpower-ray"),
}
ALL_PEERS = tuple(peer for peers in PEERS.values() for peer in peers)
PARTITIONS = 200
# A job of a peer executes its graph four times.
LIMIT, PEER_LIMIT = 600.0, 120.0


def rows(options: Options) -> Iterator[Row]:
    """Ratios of medians; a peer that cannot do a graph is told with its reason."""
    yield from _diamond(options.runs)
    yield from _nodes(options.runs)
    for name, took in _took("waiting", EXECUTORS, options.runs).items():
        yield _row(f"{name}, driver while a node takes 3 s", "% CPU", took, None, 5, is_value=True)
    yield from _partitions(options.runs)
    yield from _frames(options.runs)


def _diamond(runs: int) -> Iterator[Row]:
    took = _took("diamond", (*EXECUTORS, *ALL_PEERS), runs)
    for name, limit in DIAMOND.items():
        yield _row(f"diamond, {name} beside its critical path", "s", took[name], CRITICAL_PATH, limit)
    yield from _beside_peers("diamond", "s", took)


def _nodes(runs: int) -> Iterator[Row]:
    for graph in ("layered", "wide"):
        took = _took(graph, EXECUTORS, runs)
        for name, limit in NODE.items():
            yield _row(
                f"1,000 nodes, {graph}, {name} beside sync", "us", took[name], took["sync"], limit, is_value=True
            )
    yield from _beside_peers("200 nodes", "us", _took("small", (*EXECUTORS, *ALL_PEERS), runs))


def _beside_peers(title: str, unit: str, took: Mapping[str, float | str]) -> Iterator[Row]:
    for name, peers in PEERS.items():
        for peer in peers:
            yield _row(f"{title}, {name} beside {peer}", unit, took[name], took[peer])


def _partitions(runs: int) -> Iterator[Row]:
    """Backfills of a pure-Python step: seconds of the whole run, what starts included."""
    backfill = (PYTHON, "-m", "benchmarks.executors.backfill", str(PARTITIONS))
    took = _in_turns({name: Command((*backfill, name), PROJECT, reports=True, limit=LIMIT) for name in EXECUTORS}, runs)
    for name in EXECUTORS[1:]:
        limit = {"processes": 1 / 1.8}.get(name)
        yield _row(f"{PARTITIONS} partitions in pure Python, {name} beside sync", "s", took[name], took["sync"], limit)


def _frames(runs: int) -> Iterator[Row]:
    took = _took("shared", EXECUTORS, runs)
    for name in EXECUTORS[2:]:
        limit = {"processes": 2.0}.get(name)
        yield _row(f"200 MB to 3 nodes, {name} beside threads", "s", took[name], took["threads"], limit)
    one, many = (_took(job, EXECUTORS[2:], 1) for job in ("one-frame", "frames"))
    for name in one:
        limit = {"processes": 1.2}.get(name)
        yield _row(f"50 frames of 200 MB beside 1, {name}: driver's peak", "MB", many[name], one[name], limit)


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


def _took(job: str, engines: Sequence[str], runs: int) -> dict[str, float | str]:
    """What each engine took for a job."""
    measure = (PYTHON, "-m", "benchmarks.executors.job", job)
    limits = {engine: LIMIT if engine in EXECUTORS else PEER_LIMIT for engine in engines}
    return _in_turns(
        {engine: Command((*measure, engine), reports=True, limit=limit) for engine, limit in limits.items()}, runs
    )


def _in_turns(commands: Mapping[str, Command], runs: int) -> dict[str, float | str]:
    """The medians of what each engine's child reported (A B A B); or why there is none."""
    reasons: dict[str, float | str] = {}
    reported: dict[str, list[float]] = {}
    for engine in commands:
        for part in engine.split("-"):
            if (library := NEEDS.get(part)) and find_spec(library) is None:
                reasons[engine] = f"skipped: {library} is not installed"
    for _ in range(runs):
        for engine, command in commands.items():
            if engine in reasons:
                continue
            try:
                reported.setdefault(engine, []).append(once(command).reported)
            except Failed as failed:
                if engine in EXECUTORS:
                    raise
                reasons[engine] = f"fails: {failed.reason[:80]}"
    return {engine: reasons.get(engine) or median(reported[engine]) for engine in commands}
