"""The command that runs a project's tests."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from flowpipe.cli.options import Profile, ProjectFolder


def test(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files of tests, or a part of their names; FILE::NAME is one test. What follows -- is for pytest.",
            metavar="PATTERN",
        ),
    ] = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
    keyword: Annotated[str | None, typer.Option("-k", help="Only tests whose names fit: `late and not empty`.")] = None,
    first: Annotated[bool, typer.Option("-x", help="Stop at the first failure.")] = False,
) -> None:
    """Run the project's tests with pytest, on temporary stores; its own are not touched.

    Example: flowpipe test orders -x -- --durations=5
    """
    from flowpipe.testing import running

    words = patterns or []
    wanted = list(takewhile(lambda word: not word.startswith("-"), words))
    flags = [*(["-k", keyword] if keyword else []), *(["-x"] if first else []), *words[len(wanted) :]]
    flags += ["--flowpipe-profile", profile] if profile else []
    if code := running.run(project, wanted, flags):
        raise typer.Exit(code)
