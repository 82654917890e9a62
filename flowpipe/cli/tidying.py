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


def clean(
    project: ProjectFolder = Path(),
    profile: Profile = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Only the kept frames of nodes.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every kept frame, also those that are not expired.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what nobody needs any more: expired checkpoints, and what killed runs left on this machine.

    Example: flowpipe clean --dry-run
    """
    from flowpipe import terminal
    from flowpipe.project import Project

    sizes = []
    cleaned = Project.load(project, profile=profile).clean(only_checkpoints=checkpoints, every=every, dry_run=dry_run)
    for gone in cleaned:
        sizes.append(gone.bytes)
        if as_json:
            typer.echo(terminal.as_json({"what": gone.what, "place": gone.place, "bytes": gone.bytes}))
        else:
            typer.echo(f"{gone.what}: {gone.place}  {terminal.size(gone.bytes)}")
    if not as_json:
        done = f"{'would remove' if dry_run else 'removed'} {len(sizes)}, {terminal.size(sum(sizes))}"
        typer.echo(done if sizes else "nothing to clean")
