"""The command: flags in, exit code out.

Heavy libraries stay out until a command needs them, so that help, `list` and `runs` answer at once.
"""

# Annotations are no texts here: Typer would compile each of every command at every start.
import os
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from typing import Annotated

import typer
from typer.exceptions import TyperException

from flowpipe.cli import (
    adding,
    breaking,
    completing,
    doctor,
    drawing,
    explain,
    looking,
    past,
    project,
    running,
    schema,
    starting,
    testing,
    tidying,
    usage,
)
from flowpipe.errors import FlowpipeError, Interrupted, UsageError, unexpected

app = typer.Typer(
    name="flowpipe",
    help="Batch ETL: plain Hamilton functions in, audited tables out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # loading Rich costs more than all else that --help does
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


_INTERRUPTED = Interrupted(signal.SIGINT)

app.command("list")(project.list_)
_COMMANDS = (
    starting.init,
    project.check,
    drawing.graph,
    running.plan,
    running.run,
    testing.test,
    looking.read,
    looking.sql,
    looking.diff,
    tidying.maintain,
    tidying.clean,
    breaking.breaker,
    doctor.doctor,
    explain.explain,
    past.runs,
    past.show,
    completing.completion,
    schema.schema,
)
for _command in _COMMANDS:
    app.command()(_command)
app.add_typer(adding.app)


def main() -> None:
    """The console script."""
    if completing.VARIABLE in os.environ:
        completing.begin()
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
        code = int(app(arguments, prog_name=app.info.name, standalone_mode=False) or 0)
        # Of Ctrl-C Typer says nothing.
        return _report(_INTERRUPTED) if code == _INTERRUPTED.exit_code else code
    except SystemExit as done:  # how Typer ends when what it wrote to is closed, or a shell asked how to go on
        return int(done.code or 0)
    except typer.Abort:
        return _report(UsageError("nothing was answered", hint="give it as a flag"))
    except TyperException as error:
        return _misused(error)
    except Exception as error:  # noqa: BLE001 - the last resort, which says that it is one
        if debug:
            text = traceback.format_exc()
            typer.echo(error.redact(text) if isinstance(error, FlowpipeError) else text, err=True)
        return _report(error if isinstance(error, FlowpipeError) else unexpected(error))


def _misused(error: TyperException) -> int:
    found = usage.told(error)
    if found is not None:
        return _report(found)
    typer.echo(error.format_message(), err=True)
    return error.exit_code


def _report(error: FlowpipeError) -> int:
    with suppress(OSError):  # in a log of both, what was told before stands before
        sys.stdout.flush()
    problems = error.problems
    for problem, following in zip(problems, (*problems[1:], None), strict=True):
        # What mends several mistakes of one place is told once, after the last of them.
        told = problem.where and following and (following.where, following.hint) == (problem.where, problem.hint)
        typer.echo(f"error: {replace(problem, hint=None) if told else problem}", err=True)
    return error.exit_code
