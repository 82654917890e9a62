"""What the command prints: `python -m benchmarks [NAME ...]`, one table; it fails if a target is missed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

from benchmarks import executors, groupby, memory, nodes, partitions, sinks, start, tpch
from benchmarks.measure import Options, Row

BENCHMARKS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "start": start.rows,
    "groupby": groupby.rows,
    "nodes": nodes.rows,
    "tpch": tpch.rows,
    "sinks": sinks.rows,
    "partitions": partitions.rows,
    "memory": memory.rows,
    "executors": executors.rows,
}
# Half an hour, and clusters of two libraries: only by its name.
BY_NAME = {"executors"}
LINE = "{:<56} {:>10} {:>10} {:>7} {:>12} {:>4} {}"


def show(row: Row) -> str:
    """One line of the table."""
    sign = "x" if row.bounds == "ratio" else f" {row.unit}"
    target = "" if row.limit is None else f"<= {row.limit:g}{sign}"
    return LINE.format(
        f"{row.name} ({row.unit})",
        f"{row.flowpipe:.2f}",
        "" if row.baseline is None else f"{row.baseline:.2f}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        target,
        "" if row.limit is None else "yes" if row.ok else "NO",
        row.note,
    ).rstrip()


def main() -> int:
    """Run the named benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios of medians, measured in turns.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one of {', '.join(BENCHMARKS)}; by default all but {', '.join(BY_NAME)}",
    )
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command (5)")
    parser.add_argument("--scale", type=float, help="TPC-H scale factor of sinks (1) and memory (10)")
    options = parser.parse_args()
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f'unknown benchmark "{name}"; known: {", ".join(BENCHMARKS)}')
    print(LINE.format("", "flowpipe", "baseline", "ratio", "target", "ok", ""))
    missed = 0
    for name in options.names or [name for name in BENCHMARKS if name not in BY_NAME]:
        for row in BENCHMARKS[name](Options(options.runs, options.scale)):
            print(show(row), flush=True)
            missed += not row.ok
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
