"""The command: flags in, exit code out.

Heavy libraries stay out until a command needs them, so that help, `list` and `runs` answer at once.
"""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from flowpipe.errors import FlowpipeError, UsageError

app = typer.Typer(
    name="flowpipe",
    help="Batch ETL: plain Hamilton functions in, audited tables out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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
Last = Annotated[str | None, typer.Option("--to", help="Only windows up to this one.")]
Force = Annotated[bool, typer.Option("--force", help="Run also what is up to date.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand after the command, too.")] = False,
) -> None:
    del debug  # read in `main`, so that it may stand anywhere
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"flowpipe {installed('flowpipe-etl')}")
        raise typer.Exit


@app.command("list")
def list_(project: ProjectFolder = Path(), profile: Profile = None, as_json: Json = False) -> None:
    """List pipelines and datasets.

    Example: flowpipe list --json
    """
    from flowpipe import display, loading
    from flowpipe.roots import find_root

    found = loading.load(find_root(project), profile=profile, resolve=False)
    if as_json:
        pipelines = {name: entry.model_dump(mode="json") for name, entry in found.pipelines.items()}
        catalog = {
            name: entry.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"options"})
            for name, entry in found.catalog.items()
        }
        typer.echo(display.as_json({"profile": found.profile, "pipelines": pipelines, "datasets": catalog}))
        return
    display.pipelines(found)
    typer.echo()
    display.datasets(found)


@app.command()
def check(
    project: ProjectFolder = Path(),
    profile: Profile = None,
    sets: Sets = None,
    offline: Annotated[bool, typer.Option("--offline", help="Look up no environment variable and no secret.")] = False,
) -> None:
    """Check configuration, modules, graphs and schemas; opens no store.

    Example: flowpipe check --profile prod --offline
    """
    from flowpipe.project import Project

    loaded = Project.load(project, profile=profile, sets=sets or (), offline=offline)
    bound = loaded.check()
    typer.echo(f"ok: {len(bound)} pipelines, {len(loaded.configuration.catalog)} datasets, profile {loaded.profile}")


@app.command()
def plan(
    pipelines: Names = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
    sets: Sets = None,
    partitions: Partitions = None,
    first: First = None,
    last: Last = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Print every step, whether it runs, and why.

    Example: flowpipe plan daily_delays --from 2013-06
    """
    from flowpipe import display
    from flowpipe.project import Project, Selection

    selection = Selection(tuple(pipelines or ()), tuple(partitions or ()), first, last, force)
    made = Project.load(project, profile=profile, sets=sets or ()).plan(selection)
    rows = [(step.name, step.action, step.reason) for step in made.steps]
    if as_json:
        typer.echo(display.as_json([dict(zip(("step", "action", "reason"), row, strict=True)) for row in rows]))
        return
    shown = {"run": "run", "skip": "skip", "ask": "decided at run"}
    display.table(("STEP", "ACTION", "WHY"), [(name, shown[action], why) for name, action, why in rows])


@app.command()
def run(
    pipelines: Names = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
    sets: Sets = None,
    partitions: Partitions = None,
    first: First = None,
    last: Last = None,
    force: Force = False,
    wait: Annotated[str, typer.Option("--wait", help="How long to wait for another run to end: 10m.")] = "0s",
    as_json: Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line for each node, too.")] = False,
) -> None:
    """Run what is missing or stale.

    Example: flowpipe run daily_delays --partition 2013-02 --set params.late_minutes=20
    """
    from flowpipe import display
    from flowpipe.fields import duration
    from flowpipe.progress import Progress
    from flowpipe.project import Project, Selection

    try:
        patience = duration(wait)
    except ValueError as error:
        raise UsageError(f"--wait: {error}") from None
    selection = Selection(tuple(pipelines or ()), tuple(partitions or ()), first, last, force)
    loaded = Project.load(project, profile=profile, sets=sets or ())
    listen: Any = (lambda record: typer.echo(display.as_json(record))) if as_json else Progress(nodes=verbose)
    result = loaded.run(selection, on_record=listen, wait=patience, command=shlex.join(sys.argv[1:]))
    if result.error:
        raise result.error


@app.command()
def runs(
    project: ProjectFolder = Path(),
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List past runs, newest first.

    Example: flowpipe runs -n 5
    """
    from flowpipe import display
    from flowpipe.ledger import Ledger
    from flowpipe.roots import find_root, ledger_path

    with Ledger(ledger_path(find_root(project))) as ledger:
        ledger.sweep()
        found = ledger.runs(limit)
    if as_json:
        typer.echo(display.as_json(found))
    else:
        display.runs(found)


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run, the beginning of one, or `last`.")],
    project: ProjectFolder = Path(),
    as_json: Json = False,
) -> None:
    """Show one run: its steps, nodes, outputs, checks and errors.

    Example: flowpipe show last
    """
    from flowpipe import display
    from flowpipe.ledger import Ledger
    from flowpipe.roots import find_root, ledger_path

    with Ledger(ledger_path(find_root(project))) as ledger:
        ledger.sweep()
        found = ledger.run(run_id)
    if as_json:
        typer.echo(display.as_json(found))
    else:
        display.run(found)


def main() -> None:
    """The console script."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    code = _run_command(arguments, debug="--debug" in sys.argv)
    sys.stdout.flush()
    sys.stderr.flush()
    # A node that was interrupted may still be computing in its thread; nothing waits for it.
    os._exit(code) if code >= 128 else sys.exit(code)


def _run_command(arguments: list[str], *, debug: bool) -> int:
    try:
        app(arguments, standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except Exception as error:  # noqa: BLE001 - the last resort, which says that it is one
        if debug:
            traceback.print_exc()
        return _report(error if isinstance(error, FlowpipeError) else _bug(error))
    return 0


def _bug(error: Exception) -> FlowpipeError:
    text = f"flowpipe itself failed: {type(error).__name__}: {error}"
    return FlowpipeError(text, hint="run again with --debug, and report what it prints")


def _report(error: FlowpipeError) -> int:
    for problem in error.problems:
        typer.echo(f"error: {problem}", err=True)
    return error.exit_code
