"""The command that draws a project."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from pathlib import Path
from typing import Annotated

import typer

from flowpipe.cli.options import Json, Names, Profile, ProjectFolder, Sets
from flowpipe.errors import UsageError, unknown

_FORMATS = {
    ".svg": "svg",
    ".html": "html",
    ".htm": "html",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".json": "json",
}
_Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write this file; its ending is the format. - is stdout.")
]
_Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="svg, html, mermaid, dot or json; mermaid if there is no --output.",
        autocompletion=lambda: [*dict.fromkeys(_FORMATS.values())],
    ),
]
_Level = Annotated[
    str | None,
    typer.Option(
        "--level",
        help="nodes or pipelines; without it nodes, but pipelines where the whole project has more than 60 nodes.",
        autocompletion=lambda: ["nodes", "pipelines"],
    ),
]
_Offline = Annotated[bool, typer.Option("--offline", help="Look up no environment variable and no secret.")]


def graph(
    pipelines: Names = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
    sets: Sets = None,
    output: _Output = None,
    format_: _Format = None,
    level: _Level = None,
    offline: _Offline = False,
    as_json: Json = False,
) -> None:
    """Draw pipelines, nodes, params and datasets, and what flows between them; opens no store.

    Example: flowpipe graph --output graph.html
    """
    from flowpipe import terminal
    from flowpipe.project import Project

    file = None if output in {None, Path("-")} else output
    for flag, given in (("--format", format_), ("--output", file)):
        if as_json and given:
            raise UsageError(f"--json and {flag} {given} exclude each other", hint="leave one of them out")
    chosen = "json" if as_json else _format(file, format_)
    loaded = Project.load(project, profile=profile, sets=sets or (), offline=offline)
    drawn = loaded.graph(*(pipelines or ()), level=level)  # type: ignore[arg-type]  # a wrong one is told there
    text = getattr(drawn, chosen)()
    if file is None:
        typer.echo(text, nl=False)
        if terminal.is_terminal() and chosen == "mermaid" and format_ is None:
            typer.echo("a picture to look at: flowpipe graph --output graph.html", err=True)
        return
    _write(file, text)
    typer.echo(f"{file}: {len(drawn.vertices)} boxes, {len(drawn.edges)} edges, {terminal.size(len(text.encode()))}")
    if level is None and not (pipelines or drawn.groups) and loaded.check():
        typer.echo("it shows pipelines; their nodes: flowpipe graph PIPELINE, or --level nodes")


def _format(file: Path | None, asked: str | None) -> str:
    """The format that is asked for, or that a file's ending tells.

    Raises:
        UsageError: there is no such format, or the two differ.
    """
    formats = tuple(dict.fromkeys(_FORMATS.values()))
    if asked is not None and asked not in formats:
        raise UsageError.of([unknown("format", asked, formats)])
    if file is None:
        return asked or "mermaid"
    told = _FORMATS.get(file.suffix.lower())
    if asked and told and asked != told:
        hint = f"leave out --format, or write {file.with_suffix(f'.{asked}')}"
        raise UsageError(f"--output {file} says {told}, --format says {asked}", hint=hint)
    if not (asked or told):
        text = f'the ending "{file.suffix}" of {file} is no format of a picture' if file.suffix else ""
        hint = f"end it with one of {', '.join(_FORMATS)}, or add --format"
        raise UsageError(text or f"{file} has no ending that tells its format", hint=hint)
    return asked or told or ""


def _write(file: Path, text: str) -> None:
    """Write a file at once, whole, so that a page that shows it never sees a half.

    Raises:
        UsageError: it cannot be written.
    """
    target = file.resolve()
    try:
        if target.exists() and not target.is_file():  # such as /dev/stdout, in whose place no file must come
            target.write_text(text, encoding="utf-8")
            return
        aside = target.with_name(f".{target.name}.part")
        aside.write_text(text, encoding="utf-8")
        aside.replace(target)
    except OSError as error:
        hint = "name a file in a folder that is there and may be written to"
        raise UsageError(f"{file} cannot be written: {error.strerror}", hint=hint) from error
