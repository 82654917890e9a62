"""Commands that tell of past runs."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from pathlib import Path
from typing import Annotated

import typer

from flowpipe.cli.options import Json, ProjectFolder, known


def runs(
    project: ProjectFolder = Path(),
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List past runs, newest first.

    Example: flowpipe runs -n 5
    """
    from flowpipe import display, terminal
    from flowpipe.ledger import Ledger
    from flowpipe.roots import find_root, ledger_path

    with Ledger(ledger_path(find_root(project))) as ledger:
        ledger.sweep()
        found = ledger.runs(limit)
    if as_json:
        typer.echo(terminal.as_json(found))
    else:
        display.runs(found)


def show(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN", help="A run, the beginning of one, or `last`.", autocompletion=known("runs"))
    ],
    project: ProjectFolder = Path(),
    as_json: Json = False,
) -> None:
    """Show one run: its steps, nodes, outputs, checks and errors.

    Example: flowpipe show last
    """
    from flowpipe import display, terminal
    from flowpipe.ledger import Ledger
    from flowpipe.roots import find_root, ledger_path

    with Ledger(ledger_path(find_root(project))) as ledger:
        ledger.sweep()
        found = ledger.run(run_id)
    if as_json:
        typer.echo(terminal.as_json(found))
    else:
        display.run(found)
