"""The command on stores that fail run after run: which are left alone, and how to try one at once."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from flowpipe.cli.options import Json, Profile, ProjectFolder


def breaker(
    reset: Annotated[Literal["reset"] | None, typer.Argument(help="Forget failures.", metavar="reset")] = None,
    store: Annotated[str | None, typer.Argument(help="One store; all when none is named.", metavar="STORE")] = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List the circuit breakers of the stores; with `reset`, close them, so that the next run tries the stores.

    Example: flowpipe breaker reset warehouse
    """
    from flowpipe import breaker as breakers
    from flowpipe import listing, loading, terminal
    from flowpipe.roots import find_root

    configuration = loading.load(find_root(project), profile=profile, resolve=False)
    found = breakers.chosen(configuration, store)
    for each in found if reset else ():
        each.reset()
    status = [each.status for each in found]
    if as_json:
        typer.echo(terminal.as_json([asdict(each) for each in status]))
    elif status:
        listing.breakers(status)
    else:
        typer.echo(f"no store of profile {configuration.profile} has a `breaker:`")
