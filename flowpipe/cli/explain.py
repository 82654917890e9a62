"""The command that tells what a name stands for."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from pathlib import Path
from typing import Annotated

import typer

from flowpipe.cli.options import Json, Profile, ProjectFolder, Sets, known


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A dataset, node or pipeline; an exit code or error.",
            autocompletion=known("everything"),
        ),
    ],
    project: ProjectFolder = Path(),
    profile: Profile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Tell what a dataset, a node, a pipeline or an exit code is, where it comes from, and why it would run.

    Example: flowpipe explain daily_delays
    """
    from flowpipe import terminal, wording
    from flowpipe.meanings import explanations

    found = explanations(name)  # for which no project is needed
    if not found:
        from flowpipe.project import Project

        found = Project.load(project, profile=profile, sets=sets or ()).explain(name)
    if as_json:
        typer.echo(terminal.as_json([wording.record(each) for each in found]))
    else:
        wording.show(found)
