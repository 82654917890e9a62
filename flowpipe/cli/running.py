"""Commands that plan and run pipelines."""

# Annotations are no texts here: Typer would compile each of every command at every start.
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from flowpipe.cli import previewing
from flowpipe.cli.options import (
    First,
    Force,
    Json,
    Last,
    Names,
    Partitions,
    Profile,
    ProjectFolder,
    Quiet,
    Sets,
    as_duration,
)
from flowpipe.cli.previewing import Head, Select, Until
from flowpipe.errors import UsageError


def plan(
    pipelines: Names = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
    sets: Sets = None,
    partitions: Partitions = None,
    first: First = None,
    last: Last = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Print every step, whether it runs, and why.

    Example: flowpipe plan daily_delays --from 2013-06
    """
    from flowpipe import terminal
    from flowpipe.project import Project

    loaded = Project.load(project, profile=profile, sets=sets or ())
    made = loaded.plan(*pipelines or (), partitions=partitions or (), first=first, last=last, force=force)
    if as_json:
        steps = [{"step": step.name, "action": step.action, "reason": step.reason} for step in made.steps]
        typer.echo(terminal.as_json(steps))
    else:
        terminal.table(("STEP", "ACTION", "WHY"), made.rows)


def run(
    pipelines: Names = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
    sets: Sets = None,
    partitions: Partitions = None,
    first: First = None,
    last: Until = None,
    force: Force = False,
    wait: Annotated[str, typer.Option("--wait", help="How long to wait for another run to end: 10m.")] = "0s",
    deadline: Annotated[str | None, typer.Option("--deadline", help="Stop, as failed, after so long: 2h.")] = None,
    select: Select = None,
    head: Head = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line for each node, too.")] = False,
) -> None:
    """Run what is missing or stale, or print nodes and publish nothing.

    Example: flowpipe run daily_delays --partition 2013-02 --set params.late_minutes=20

    Example: flowpipe run --select late_flights --partition 2013-02 --head 5
    """
    from flowpipe.project import Project

    patience, allowed = as_duration("--wait", wait), as_duration("--deadline", deadline) if deadline else None
    loaded = Project.load(project, profile=profile, sets=sets or ())
    if asked := previewing.nodes(select, last, head):
        unfit = {"--from": first, "--to": last not in asked and last, "--force": force}
        previewing.refuse({**unfit, "--wait": patience, "--deadline": allowed, "--verbose": verbose, "--quiet": quiet})
        previewing.show(loaded, asked, pipelines, partitions, head, as_json=as_json)
        return
    result = loaded.run(
        *pipelines or (),
        partitions=partitions or (),
        first=first,
        last=last,
        force=force,
        on_record=_listener(quiet=quiet, verbose=verbose, as_json=as_json),
        wait=patience,
        deadline=allowed,
        command=shlex.join(sys.argv[1:]),
    )
    if result.error:
        raise result.error


def _listener(*, quiet: bool, verbose: bool, as_json: bool) -> Any:
    """What is told of a run while it runs."""
    from flowpipe import terminal
    from flowpipe.progress import Progress, warnings

    if sum((quiet, verbose, as_json)) > 1:
        raise UsageError("--quiet, --verbose and --json exclude one another", hint="give one of them")
    tell = warnings if quiet else Progress(nodes=verbose)

    def listen(record: Any) -> None:
        with suppress(BrokenPipeError):  # a reader that has seen enough, such as `| head`, does not stop a run
            if as_json:
                typer.echo(terminal.as_json(record))
            else:
                tell(record)

    return listen
