"""Commands that look at a project: what is in it, and whether it is right."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from pathlib import Path
from typing import Annotated

import typer

from flowpipe.cli.options import Json, Profile, ProjectFolder, Quiet, Sets


def list_(project: ProjectFolder = Path(), profile: Profile = None, as_json: Json = False) -> None:
    """List pipelines and datasets.

    Example: flowpipe list --json
    """
    from flowpipe import listing, loading, terminal
    from flowpipe.roots import find_root

    found = loading.load(find_root(project), profile=profile, resolve=False)
    if as_json:
        pipelines = {name: entry.model_dump(mode="json") for name, entry in found.pipelines.items()}
        catalog = {
            name: entry.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"options"})
            for name, entry in found.catalog.items()
        }
        typer.echo(terminal.as_json({"profile": found.profile, "pipelines": pipelines, "datasets": catalog}))
        return
    listing.pipelines(found)
    typer.echo()
    listing.datasets(found)


def check(
    project: ProjectFolder = Path(),
    profile: Profile = None,
    sets: Sets = None,
    offline: Annotated[bool, typer.Option("--offline", help="Look up no environment variable and no secret.")] = False,
    quiet: Quiet = False,
) -> None:
    """Check configuration, modules, graphs and schemas; opens no store.

    Example: flowpipe check --profile prod --offline
    """
    from flowpipe.project import Project
    from flowpipe.terminal import counted

    loaded = Project.load(project, profile=profile, sets=sets or (), offline=offline)
    bound = loaded.check()
    for note in loaded.notes():
        typer.echo(f"note: {note}")
    if not quiet:
        datasets = counted(len(loaded.configuration.catalog), "dataset")
        typer.echo(f"ok: {counted(len(bound), 'pipeline')}, {datasets}, profile {loaded.profile}")
