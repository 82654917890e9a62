"""The lines of a run as it is watched."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flowpipe.progress import Progress
from flowpipe.records import StepEnded

_NOW = datetime(2026, 11, 25, tzinfo=UTC)


def test_lines_are_as_wide_as_the_names_of_steps_need(capsys: pytest.CaptureFixture[str]) -> None:
    show = Progress(nodes=False)
    for pipeline, part in (("gold", "all"), ("clean_flights", "2013-01"), ("gold", "all")):
        show(StepEnded("run", pipeline, part, _NOW, 0.2, "skipped", "up to date"))
    show(StepEnded("run", "gold", "all", _NOW, 0.2, "failed"))
    assert capsys.readouterr().out.splitlines() == [
        "  gold                  skipped   up to date  200 ms",
        "  clean_flights 2013-01  skipped   up to date  200 ms",
        "  gold                   skipped   up to date  200 ms",
        "  gold                   failed    200 ms",
    ]
