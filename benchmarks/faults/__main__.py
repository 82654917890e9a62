"""The command `python -m benchmarks.faults [--kills N] [--seed N] [--stores ...] [--modes ...]`, which prints a table.

It exits with 1 if any table differs from that of an undisturbed run.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.faults import targets
from benchmarks.faults.job import FILE_MODES, TABLE_MODES, Target
from benchmarks.faults.scene import Scene, Score
from flowpipe.testing import servers

STORES = ("files", "files on S3", "delta", "delta on S3", "duckdb", "postgres")
LINE = "{:<12} {:<24} {:>6} {:>12} {:>8}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill as often as asked, spread evenly over all modes of all stores."""
    modes = sorted({*TABLE_MODES, *FILE_MODES})
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="in all (1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    parser.add_argument("--modes", nargs="+", choices=modes, default=modes)
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowpipe-faults-")))
        pairs = [
            (target, mode)
            for target in _targets(options.stores, stack)
            for mode in target.modes
            if mode in options.modes
        ]
        if not pairs:
            parser.error("none of these stores has any of these modes")
        print(LINE.format("store", "mode", "kills", "differences", "seconds"))
        scores = [_play(pair, number, len(pairs), options, folder) for number, pair in enumerate(pairs)]
    kills, wrong = sum(score.kills for score in scores), [one for score in scores for one in score.differences]
    print(LINE.format("all", "", kills, len(wrong), ""))
    return 1 if wrong else 0


def _targets(stores: Sequence[str], stack: ExitStack) -> list[Target]:
    """The asked stores; a server runs only if one of them needs it."""
    found = list(targets.local())
    if any(name.endswith("S3") for name in stores):
        found += targets.on_s3(stack.enter_context(servers.s3()))
    if "postgres" in stores:
        found += targets.on_postgres(stack.enter_context(servers.postgres()))
    return [target for target in found if target.name in stores]


def _play(pair: tuple[Target, str], number: int, pairs: int, options: argparse.Namespace, folder: Path) -> Score:
    (target, mode), began = pair, time.monotonic()
    kills = options.kills * (number + 1) // pairs - options.kills * number // pairs
    score = Scene(target, mode, folder).play(kills, random.Random(f"{options.seed} {target.name} {mode}"))
    seconds = f"{time.monotonic() - began:.0f}"
    print(LINE.format(target.name, mode, score.kills, len(score.differences), seconds), flush=True)
    for difference in score.differences:
        print(f"  {difference}", flush=True)
    return score


if __name__ == "__main__":
    sys.exit(main())
