"""The command that makes a project."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from pathlib import Path
from typing import Annotated

import typer

_SHOWN = 5


def _templates() -> list[str]:
    from flowpipe.starting import TEMPLATES

    return list(TEMPLATES)


def init(
    folder: Annotated[
        Path, typer.Argument(help="Where; the folder gives the project its name.", metavar="DIR")
    ] = Path(),
    template: Annotated[
        str,
        typer.Option(
            "--template", "-t", help="What to begin with: minimal, medallion or sql-sources.", autocompletion=_templates
        ),
    ] = "minimal",
) -> None:
    """Make a project with sample data that runs at once; writes over nothing.

    Example: flowpipe init shop --template medallion
    """
    from flowpipe import starting
    from flowpipe.extras import missing
    from flowpipe.terminal import line

    made = starting.start(folder, template)
    place = made.folder.resolve()
    if made.name != place.name:
        line(f'the project is called {made.name}, after the folder "{place.name}"')
    if made.written:
        line(f"made {place.name} from the template {template}: {made.template.shows}")
    else:
        line(f"nothing to do: all of the template {template} is there")
    for shown in _grouped(made.written):
        line(f"  {shown}")
    line()
    line("next:")
    if place != Path.cwd():
        line(("  cd " + _quoted(folder), "bold"))
    bring = [('pip install "flowpipe-etl[testing]"', "brings pytest")] if missing(["pytest"]) else []
    for command, what in (
        ("flowpipe run", "publishes every table"),
        (f"flowpipe read {made.template.look_at}", "looks at one"),
        *bring,
        ("flowpipe test", "runs tests/, with pytest"),
    ):
        line((f"  {command:<30}", "bold"), f"  # {what}")


def _quoted(folder: Path) -> str:
    import shlex

    return shlex.quote(str(folder))


def _grouped(paths: tuple[str, ...]) -> list[str]:
    """The paths, where many files are in one folder that alone and their number."""
    folders = [path.rpartition("/")[0] for path in paths]
    shown = (
        f"{folder}/  {folders.count(folder)} files" if folders.count(folder) > _SHOWN else path
        for path, folder in zip(paths, folders, strict=True)
    )
    return sorted(dict.fromkeys(shown))
