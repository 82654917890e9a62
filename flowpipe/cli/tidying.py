"""Commands that tidy: stores, and what runs left."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from pathlib import Path
from typing import Annotated

import typer

from flowpipe.cli.options import Json, Profile, ProjectFolder, as_duration


def maintain(
    datasets: Annotated[list[str] | None, typer.Argument(help="Datasets; all when none is named.")] = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
    retention: Annotated[str, typer.Option("--retention", help="Keep old versions and orphans so long.")] = "7d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Compact small files, remove old versions and what killed runs left; visible rows stay as they are.

    Example: flowpipe maintain flights --retention 30d --dry-run
    """
    from flowpipe import terminal
    from flowpipe.project import Project

    loaded = Project.load(project, profile=profile)
    done = loaded.maintain(datasets or (), retention=as_duration("--retention", retention), dry_run=dry_run)
    for name, lines in done:
        if as_json:
            typer.echo(terminal.as_json({"dataset": name, "done": list(lines)}))
        else:
            typer.echo("\n".join(f"{name}: {line}" for line in lines or ["nothing to do"]))
