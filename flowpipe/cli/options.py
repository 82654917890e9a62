"""Flags and arguments that several commands share."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from flowpipe.errors import UsageError


def known(kind: str) -> Callable[..., list[str]]:
    """What completes an argument: the names of this kind that are in the project at hand."""

    def complete(context: typer.Context) -> list[str]:
        from flowpipe import names
        from flowpipe.roots import find_root

        more: dict[str, Any] = {}
        if kind == "partitions":
            more["of"] = context.params.get("pipelines") or ()
        try:
            found: list[str] = getattr(names, kind)(find_root(Path(context.params.get("project") or ".")), **more)
        except Exception:  # noqa: BLE001 - a shell must hear nothing of what is wrong; the command will tell
            return []
        return found

    return complete


ProjectFolder = Annotated[Path, typer.Option("--project", "-C", help="The project's folder, or one below it.")]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        envvar="FLOWPIPE_PROFILE",
        help="The profile to use, from conf/profiles/.",
        autocompletion=known("profiles"),
    ),
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Override one setting: params.late_minutes=20. May be repeated.")
]
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Pipelines; all when none is named.", metavar="PIPELINE", autocompletion=known("pipelines")),
]
Partitions = Annotated[
    list[str] | None,
    typer.Option("--partition", help="Only this window: 2013-02. May be repeated.", autocompletion=known("partitions")),
]
First = Annotated[
    str | None, typer.Option("--from", help="Only windows from this one on.", autocompletion=known("partitions"))
]
Last = Annotated[
    str | None,
    typer.Option("--to", help="Only windows up to this one.", autocompletion=known("partitions")),
]
Force = Annotated[bool, typer.Option("--force", help="Run also what is up to date.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only what should be looked at.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def as_duration(flag: str, text: str) -> timedelta:
    """The duration that a flag was given.

    Raises:
        UsageError: it is none.
    """
    from flowpipe.fields import duration

    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}", hint="write it like 30s, 10m or 2h") from None
