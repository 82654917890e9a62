"""The command that tells editors how the YAML of a project is written."""

# Annotations are no texts here: Typer would compile each of every command at every start.
import os
from pathlib import Path
from typing import Annotated

import typer

from flowpipe.cli.options import Json, ProjectFolder

KINDS = ("project", "profile", "catalog", "pipeline")  # here, since a shell that completes waits for no import


def schema(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="project, profile, catalog or pipeline; with --write a folder: the project's conf/schema if absent.",
            metavar="KIND|FOLDER",
            autocompletion=lambda: list(KINDS),
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write all of them as files, for editors.")] = False,
    project: ProjectFolder = Path(),
    as_json: Json = False,
) -> None:
    """Print the JSON Schema of a kind of YAML file, list the kinds, or write all for VS Code and other editors.

    Example: flowpipe schema --write
    """
    from flowpipe import schemas, terminal
    from flowpipe.errors import UsageError
    from flowpipe.roots import find_root

    if write:
        if kind in schemas.FILES:
            raise UsageError("--write writes all kinds", hint=f"leave {kind} out, or name a folder like ./{kind}")
        folder = Path(kind) if kind else find_root(project) / "conf" / "schema"
        for path in schemas.write(folder):
            typer.echo(terminal.as_json({"wrote": str(path)}) if as_json else f"wrote {os.path.relpath(path)}")
    elif kind:
        typer.echo(schemas.as_text(schemas.schema(kind)), nl=False)
    elif as_json:
        typer.echo(terminal.as_json(dict(schemas.FILES)))
    else:
        for name, file in schemas.FILES.items():
            typer.echo(f"{name}: {file}, whose first line for editors is\n  {schemas.first_line(name)}")
        typer.echo("\nflowpipe schema KIND prints one.\nflowpipe schema --write puts all into conf/schema/.")
