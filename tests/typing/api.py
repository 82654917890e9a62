"""What type checkers know of the Python API; mypy and pyright read it, nothing runs it."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, assert_type

import polars as pl

from flowpipe import Project
from flowpipe.errors import FlowpipeError, Problem
from flowpipe.picture import Graph
from flowpipe.plan import Plan, Step
from flowpipe.records import Published, Record, StepEnded
from flowpipe.run import RunResult

Outcome = Literal["done", "skipped", "failed", "cancelled", "crashed", "reused"]

project = Project.load(Path("shop"), profile="prod", sets=["params.late_minutes=20"], offline=False)
assert_type(project, Project)
assert_type(project.profile, str)
assert_type(project.notes(), tuple[Problem, ...])
for name, bound in project.check().items():
    assert_type(name, str)
    assert_type(bound.name, str)

graph = project.graph("daily_delays", level="nodes")
assert_type(graph, Graph)
assert_type(graph.svg(), str)
assert_type([vertex.name for vertex in graph.vertices], list[str])

plan = project.plan("daily_delays", partitions=["2013-02"], force=True)
assert_type(plan, Plan)
assert_type(plan.steps, tuple[Step, ...])
assert_type(plan.steps[0].action, Literal["run", "skip", "ask"])
assert_type(plan.rows, list[tuple[str, str, str]])


def listen(record: Record) -> None:
    """What a run tells while it runs."""
    if isinstance(record, Published):
        assert_type(record.rows, int)


result = project.run(
    "daily_delays",
    "carrier_rank",
    first="2013-01",
    last="2013-06",
    on_record=listen,
    wait=timedelta(minutes=10),
    deadline=timedelta(hours=2),
)
assert_type(result, RunResult)
assert_type(result.outcome, Outcome)
assert_type(result.steps, tuple[StepEnded, ...])
assert_type(result.outputs, tuple[Published, ...])
assert_type(result.outcomes, dict[str, Outcome])
assert_type(result.error, FlowpipeError | None)
assert_type(result.check(), RunResult)

overrides: Mapping[str, Any] = {"flights": pl.DataFrame({"delay": [1]})}
values = project.compute(["late_flights"], pipeline="daily_delays", partition="2013-02", overrides=overrides)
assert_type(values, dict[str, Any])

project.run(partition="2013-02")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
project.plan(["daily_delays"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
project.graph(level="node")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
