"""The command that looks at everything a run needs."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from pathlib import Path

import typer

from flowpipe.cli.options import Json, Profile, ProjectFolder


def doctor(project: ProjectFolder = Path(), profile: Profile = None, as_json: Json = False) -> None:
    """Try everything that a run needs: libraries, configuration, stores, clock, disks, lock, executor; exit 1 on FAIL.

    Example: flowpipe doctor --profile prod
    """
    from flowpipe import health, terminal, wellbeing

    found = health.examine(project, profile)
    if as_json:
        typer.echo(terminal.as_json(wellbeing.record(found)))
    else:
        wellbeing.show(found)
    if any(each.outcome == "FAIL" for each in found):
        raise typer.Exit(1)
