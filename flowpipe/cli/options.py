"""Flags and arguments that several commands share."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from flowpipe.errors import UsageError

ProjectFolder = Annotated[Path, typer.Option("--project", "-C", help="The project's folder, or one below it.")]
Profile = Annotated[
    str | None, typer.Option("--profile", envvar="FLOWPIPE_PROFILE", help="The profile to use, from conf/profiles/.")
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Override one setting: params.late_minutes=20. May be repeated.")
]
Names = Annotated[list[str] | None, typer.Argument(help="Pipelines; all when none is named.", metavar="[PIPELINE]...")]
Partitions = Annotated[
    list[str] | None, typer.Option("--partition", help="Only this window: 2013-02. May be repeated.")
]
First = Annotated[str | None, typer.Option("--from", help="Only windows from this one on.")]
Last = Annotated[
    str | None,
    typer.Option("--to", help="Only windows up to this one."),
]
Force = Annotated[bool, typer.Option("--force", help="Run also what is up to date.")]
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
