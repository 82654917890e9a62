"""What each store costs beside the fastest script for it, and what checks cost beside none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import PYTHON, Command, Options, Row, alternately
from benchmarks.tables import tpch_tables
from flowpipe.testing import servers

PROJECT = Path(__file__).parent / "project"
PIPELINES = ("parquet", "delta", "duckdb", "postgres", "checked", "quarantined", "distinct", "unique")
SCRIPTS = ("parquet", "delta", "sink_delta", "duckdb", "postgres", "distinct")


def rows(options: Options) -> Iterator[Row]:
    """Wall seconds of the jobs themselves, libraries imported on both sides."""
    scale = options.scale or 1
    tables = tpch_tables(scale, "lineitem", "orders")
    with servers.postgres() as server:

        def command(module: str, name: str) -> Command:
            args = (PYTHON, "-m", f"benchmarks.sinks.{module}", name)
            return Command(args, PROJECT, tables, reports=True, environment=server.environment)

        commands = {f"flowpipe {name}": command("by_flowpipe", name) for name in PIPELINES}
        commands |= {name: command("by_hand", name) for name in SCRIPTS}
        took = {name: sample.reported for name, sample in alternately(commands, options.runs).items()}

    def row(text: str, ours: str, theirs: str, limit: float | None) -> Row:
        return Row(f"SF {scale:g}: {text}", "wall s", took[f"flowpipe {ours}"], took[theirs], limit)

    yield row("Parquet, beside sink_parquet", "parquet", "parquet", 1.1)
    yield row("Delta, beside Delta direct", "delta", "delta", 1.1)
    yield row("Delta, beside sink_delta", "delta", "sink_delta", 0.5)
    yield row("DuckDB, beside its own reader", "duckdb", "duckdb", 1.35)
    yield row("PostgreSQL, beside ADBC", "postgres", "postgres", 1.35)
    yield row("five checks, beside none", "checked", "flowpipe parquet", 1.1)
    yield row("five checks and quarantine, beside none", "quarantined", "flowpipe parquet", 1.1)
    yield row("expect unique, beside n_unique by hand", "distinct", "distinct", 1.1)
    yield row("Pandera unique, beside n_unique by hand", "unique", "distinct", 1.1)
