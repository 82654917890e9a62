"""What somebody meets in the first hours: a pipe that closes, one name in the place of a list, short texts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowpipe import Project
from flowpipe.errors import UsageError
from tests.conftest import ProjectFolder


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--verbose",)])
def test_a_pipe_that_closes_does_not_stop_a_run(project: ProjectFolder, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "flowpipe", "run", *arguments]
    try:
        done = subprocess.run(
            command, cwd=project.path, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(project.flowpipe("show", "last", "--json").out)
    assert (shown["run"]["outcome"], shown["run"]["error"]) == ("done", None)
