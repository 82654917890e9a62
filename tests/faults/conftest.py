"""The stores that are disturbed: those of `benchmarks.faults`, on this session's servers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.faults import targets
from benchmarks.faults.job import Target


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    """The store that a test's parameter names."""
    name: str = request.param
    found = list(targets.local())
    if name.endswith("S3"):
        found += targets.on_s3(request.getfixturevalue("s3_server"))
    if name == "postgres":
        found += targets.on_postgres(request.getfixturevalue("postgres_server"))
    return next(one for one in found if one.name == name)
