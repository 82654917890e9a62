"""How much memory rows take that do not fit into it, store by store: 60 million at scale 10, under a hard limit."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.limit import memory_group
from benchmarks.measure import FLOWPIPE, Command, Options, Row, once
from benchmarks.sinks import PROJECT
from benchmarks.tables import tpch_tables
from flowpipe.testing import servers

BUDGET = "1GB"
SMALL, LARGE = 2.5, 5.0  # GB
JOBS = {
    "many_parquet": ("audited into Parquet", SMALL),
    "many_delta": ("audited into Delta", SMALL),
    "many_duckdb": ("audited into DuckDB", SMALL),
    "many_postgres": ("10M rows audited into PostgreSQL", SMALL),
    "many_joined": ("joined with orders into Delta", LARGE),
    "many_years": ("into Delta by year", LARGE),
}


def rows(options: Options) -> Iterator[Row]:
    """Peak memory of the whole command, and its wall seconds."""
    scale = options.scale or 10
    tables = tpch_tables(scale, "lineitem", "orders")
    with servers.postgres() as server:
        for name, (text, bound) in JOBS.items():
            args = (*FLOWPIPE, "run", name, "--set", f"memory_budget={BUDGET}")
            with memory_group(int(bound * 1e9)) as group:
                took = once(Command(args, PROJECT, tables, environment=server.environment, group=group))
            yield Row(f"SF {scale:g}: {text}, peak", "GB", took.peak * 2**20 / 1e9, None, bound, "value")
            yield Row(f"SF {scale:g}: {text}", "wall s", took.wall)
