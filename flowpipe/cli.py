"""The command: flags in, exit code out.

Heavy libraries stay out until a command needs them, so that help, `list` and `runs` answer at once.
"""

# Annotations are no texts here: Typer would compile each of every command at every start.
import os
import shlex
import sys
import traceback
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from flowpipe.errors import FlowpipeError, UsageError, unexpected

app = typer.Typer(
    name="flowpipe",
    help="Batch ETL: plain Hamilton functions in, audited tables out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # loading Rich costs more than all else that --help does
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


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"flowpipe {version('flowpipe-etl')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand after the command, too.")] = False,
) -> None:
    del version, debug  # read by its callback, and in `main`, so that it may stand anywhere


@app.command("list")
def list_(project: ProjectFolder = Path(), profile: Profile = None, as_json: Json = False) -> None:
    """List pipelines and datasets.

    Example: flowpipe list --json
    """
    from flowpipe import listing, loading, terminal
    from flowpipe.roots import find_root

    found = loading.load(find_root(project), profile=profile, resolve=False)
    if as_json:
        pipelines = {name: entry.model_dump(mode="json") for name, entry in found.pipelines.items()}
        catalog = {
            name: entry.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"options"})
            for name, entry in found.catalog.items()
        }
        typer.echo(terminal.as_json({"profile": found.profile, "pipelines": pipelines, "datasets": catalog}))
        return
    listing.pipelines(found)
    typer.echo()
    listing.datasets(found)


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
    for note in loaded.notes():
        typer.echo(f"note: {note}")
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
    from flowpipe import terminal
    from flowpipe.project import Project
    from flowpipe.selection import Selection

    selection = Selection(tuple(pipelines or ()), tuple(partitions or ()), first, last, force)
    made = Project.load(project, profile=profile, sets=sets or ()).plan(selection)
    rows = [(step.name, step.action, step.reason) for step in made.steps]
    if as_json:
        typer.echo(terminal.as_json([dict(zip(("step", "action", "reason"), row, strict=True)) for row in rows]))
        return
    shown = {"run": "run", "skip": "skip", "ask": "decided at run"}
    terminal.table(("STEP", "ACTION", "WHY"), [(name, shown[action], why) for name, action, why in rows])


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
    from flowpipe import terminal
    from flowpipe.progress import Progress
    from flowpipe.project import Project
    from flowpipe.selection import Selection

    patience = _duration("--wait", wait)
    selection = Selection(tuple(pipelines or ()), tuple(partitions or ()), first, last, force)
    loaded = Project.load(project, profile=profile, sets=sets or ())
    listen: Any = (lambda record: typer.echo(terminal.as_json(record))) if as_json else Progress(nodes=verbose)
    result = loaded.run(selection, on_record=listen, wait=patience, command=shlex.join(sys.argv[1:]))
    if result.error:
        raise result.error


@app.command()
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
    done = loaded.maintain(datasets or (), retention=_duration("--retention", retention), dry_run=dry_run)
    for name, lines in done:
        if as_json:
            typer.echo(terminal.as_json({"dataset": name, "done": list(lines)}))
        else:
            typer.echo("\n".join(f"{name}: {line}" for line in lines or ["nothing to do"]))


@app.command()
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


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run, the beginning of one, or `last`.")],
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


def _duration(flag: str, text: str) -> timedelta:
    from flowpipe.fields import duration

    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}", hint="write it like 30s, 10m or 2h") from None


def main() -> None:
    """The console script."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    # delta-rs writes every try that failed to stderr, in a form of its own; what comes of it is told by flowpipe.
    os.environ.setdefault("RUST_LOG", "error")
    code = run_command(arguments, debug="--debug" in sys.argv)
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):  # of a reader that has seen enough
            stream.flush()
    # Python's own end would look for garbage among all that was imported, up to 0.4 s, and wait for a node that was
    # interrupted and still computes in its thread. All that matters is closed by now.
    os._exit(code)


def run_command(arguments: list[str], *, debug: bool) -> int:
    """Run one command to its end, with all errors told; its exit code."""
    try:
        app(arguments)
    except SystemExit as done:  # how Typer ends, also after telling of flags that it does not know
        return int(done.code or 0)
    except Exception as error:  # noqa: BLE001 - the last resort, which says that it is one
        if debug:
            text = traceback.format_exc()
            typer.echo(error.redact(text) if isinstance(error, FlowpipeError) else text, err=True)
        return _report(error if isinstance(error, FlowpipeError) else unexpected(error))
    return 0


def _report(error: FlowpipeError) -> int:
    for problem in error.problems:
        typer.echo(f"error: {problem}", err=True)
    return error.exit_code
