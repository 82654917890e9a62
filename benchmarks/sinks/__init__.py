"""What each store costs beside the fastest script for it, and what checks cost beside none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import PYTHON, Command, Options, Row, alternately
from benchmarks.tables import tpch_tables
from flowpipe.testing import servers

PROJECT = Path(__file__).parent / "project"
GROUPS = {
    # What is measured in turns: pipelines by flowpipe, scripts by hand.
    "Parquet": (("parquet", "checked", "quarantined"), ("parquet",)),
    "Delta": (("delta",), ("delta", "sink_delta")),
    "uniqueness": (("distinct", "unique"), ("distinct",)),
    "DuckDB": (("duckdb",), ("duckdb",)),
    "PostgreSQL": (("postgres",), ("postgres",)),
}
TARGETS = {
    "Parquet": [
        ("Parquet, beside sink_parquet", "parquet", "by hand parquet", 1.1),
        ("five checks, beside none", "checked", "parquet", 1.1),
        ("five checks and quarantine, beside none", "quarantined", "parquet", 1.1),
    ],
    "Delta": [
        ("Delta, beside Delta direct", "delta", "by hand delta", 1.1),
        ("Delta, beside sink_delta", "delta", "by hand sink_delta", 0.5),
    ],
    "uniqueness": [
        ("expect unique, beside n_unique by hand", "distinct", "by hand distinct", 1.1),
        ("Pandera unique, beside n_unique by hand", "unique", "by hand distinct", 1.1),
    ],
    "DuckDB": [("DuckDB, beside its own reader", "duckdb", "by hand duckdb", 1.35)],
    "PostgreSQL": [("PostgreSQL, beside ADBC", "postgres", "by hand postgres", 1.35)],
}


def rows(options: Options) -> Iterator[Row]:
    """Wall seconds of the jobs themselves, libraries imported on both sides."""
    scale = options.scale or 1
    tables = tpch_tables(scale, "lineitem", "orders")
    with servers.postgres() as server:

        def command(module: str, name: str) -> Command:
            args = (PYTHON, "-m", f"benchmarks.sinks.{module}", name)
            return Command(args, PROJECT, tables, reports=True, environment=server.environment)

        for group, (pipelines, scripts) in GROUPS.items():
            commands = {name: command("by_flowpipe", name) for name in pipelines}
            commands |= {f"by hand {name}": command("by_hand", name) for name in scripts}
            took = {name: sample.reported for name, sample in alternately(commands, options.runs).items()}
            for text, ours, theirs, limit in TARGETS[group]:
                yield Row(f"SF {scale:g}: {text}", "wall s", took[ours], took[theirs], limit)
