"""What `run` does when it is asked for nodes: computes them and prints their values, publishing nothing."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from flowpipe.cli.options import Names, Partitions, known
from flowpipe.errors import UsageError

if TYPE_CHECKING:
    from flowpipe.project import Project

Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        help="Publish nothing, print these nodes: late, late+ (and what is made of it), +late. May be repeated.",
        autocompletion=known("nodes"),
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="Only windows up to this one; or a node: print it, publish nothing.",
        autocompletion=known("partitions"),
    ),
]
Head = Annotated[int | None, typer.Option("--head", min=0, help="How many rows of each node to print; 10 if absent.")]
_ROWS = 10


def nodes(select: Sequence[str] | None, last: str | None, head: int | None) -> tuple[str, ...]:
    """The nodes that are asked for; none: this is a run.

    Raises:
        UsageError: `--head` without a node.
    """
    from flowpipe.picking import is_node

    asked = (*(select or ()), *([last] if last and is_node(last) else ()))
    if head is not None and not asked:
        raise UsageError("--head is for nodes that are printed", hint="name them: --select NODE")
    return asked


def refuse(flags: Mapping[str, object]) -> None:
    """Flags that only a run knows, each with whether it is given.

    Raises:
        UsageError: one is.
    """
    if given := [flag for flag, value in flags.items() if value]:
        text = f"{', '.join(given)} cannot stand beside --select or --to NODE, which publish nothing"
        raise UsageError(text, hint="--partition says for which window the nodes are computed")


def show(
    project: "Project",
    asked: Sequence[str],
    pipelines: Names,
    partitions: Partitions,
    head: int | None,
    *,
    as_json: bool,
) -> None:
    """Print the nodes that are asked for; what is to be known of them goes to stderr.

    Raises:
        UsageError: there are several partitions, or there is no such node.
    """
    from flowpipe import errors, glimpse, memory, terminal

    if partitions and len(partitions) > 1:
        raise UsageError("nodes are printed for one window, not for several", hint="give --partition once")
    try:
        found = project.preview(
            asked,
            pipelines=pipelines or (),
            partition=partitions[0] if partitions else None,
            head=_ROWS if head is None else head,
            note=lambda text: typer.echo(f"note: {text}", err=True),
        )
    finally:
        memory.tidy()
    redact = partial(errors.redact, secrets=project.configuration.secrets)
    for number, one in enumerate(found):
        if as_json:
            typer.echo(terminal.as_json(glimpse.record(one, redact)))
        else:
            typer.echo("\n" if number else "", nl=False)
            glimpse.show(one, redact)
