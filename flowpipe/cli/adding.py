"""The commands that add a dataset, a pipeline or a profile to a project, asking where somebody can answer."""

# Annotations are no texts here: Typer would compile each of every command at every start.
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowpipe.cli.options import Profile, ProjectFolder, known

if TYPE_CHECKING:
    from flowpipe.adding import Addition
    from flowpipe.additions import Pipeline
    from flowpipe.config import Configuration

app = typer.Typer(
    name="new",
    help="Add a pipeline, a dataset or a profile to a project.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Store = Annotated[str | None, typer.Option("--store", help="A store of the profile.")]


@app.command()
def pipeline(
    name: Annotated[str, typer.Argument(help="What it is called.", metavar="NAME")],
    reads: Annotated[
        str | None, typer.Option("--reads", help="A dataset of the catalog.", autocompletion=known("datasets"))
    ] = None,
    writes: Annotated[
        str | None,
        typer.Option(
            "--writes", help="The dataset it publishes, new or not; NAME if absent.", autocompletion=known("datasets")
        ),
    ] = None,
    store: Annotated[str | None, typer.Option("--store", help="Where the dataset is kept, if it is new.")] = None,
    every: Annotated[str | None, typer.Option("--every", help="Run by day, month or year.")] = None,
    start: Annotated[str | None, typer.Option("--start", help="The first window: 2024-01.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="The last window; the last that is over if absent.")] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="The column that tells the window of a row; that of what is read.")
    ] = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
) -> None:
    """Add a pipeline of one function, and the dataset that it writes.

    Example: flowpipe new pipeline totals --reads orders --store lake
    """
    from flowpipe import additions
    from flowpipe.terminal import line

    found = _found(project, profile)
    asked = additions.Pipeline(name, writes or name, reads, store, every, start, end, column)
    if _can_ask():
        asked = _answered(found, asked, is_named=writes is not None)
    _add(found, additions.pipeline(found, asked))
    line()
    line("next:")
    look = f"flowpipe run --select {asked.writes}" + (f" --partition {asked.start}" if asked.start else "")
    for command, what in ((look, "looks at its rows, publishes nothing"), (f"flowpipe run {name}", "publishes them")):
        line((f"  {command:<{len(look) + 2}}", "bold"), f"# {what}")


def _answered(found: "Configuration", asked: "Pipeline", *, is_named: bool) -> "Pipeline":
    """A pipeline with what is missing; who has given no flag that is needed is asked for the others, too."""
    from flowpipe import additions

    if not asked.reads:
        asked = replace(asked, reads=_one_of("It reads the dataset", found.catalog))
        if not is_named:
            asked = replace(asked, writes=typer.prompt("It writes the dataset", default=asked.name))
        if not asked.every and typer.confirm("Does it run once for each day, month or year?", default=False):
            asked = replace(asked, every=_one_of("Which", additions.GRAINS))
    if asked.every and not asked.start:
        first = f"The first {asked.every}, like {additions.partition_example(asked.every)}"
        asked = replace(asked, start=typer.prompt(first))
    if asked.writes not in found.catalog and not asked.store:
        asked = replace(asked, store=_one_of(f"{asked.writes} is new: it is kept in the store", found.stores))
    if additions.needs_column(found, asked):
        column = f"The column of {asked.writes} that tells the {asked.every} of a row"
        asked = replace(asked, column=typer.prompt(column))
    return asked


@app.command()
def dataset(
    name: Annotated[str, typer.Argument(help="What it is called: the name that functions use.", metavar="NAME")],
    store: Store = None,
    path: Annotated[
        str | None, typer.Option("--path", help="In a store of files: visits.csv, or visits/*.csv.")
    ] = None,
    table: Annotated[str | None, typer.Option("--table", help="In other stores; NAME if absent.")] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="overwrite, replace, append, merge or snapshot.")] = None,
    key: Annotated[list[str] | None, typer.Option("--key", help="A column of the key. May be repeated.")] = None,
    partition: Annotated[str | None, typer.Option("--partition", help="By window: month:ordered_at.")] = None,
    schema: Annotated[str | None, typer.Option("--schema", help="A Pandera model: schemas:Visits.")] = None,
    project: ProjectFolder = Path(),
    profile: Profile = None,
) -> None:
    """Add a dataset to the catalog; what is there keeps its form and comments.

    Example: flowpipe new dataset visits --store raw --path visits.csv
    """
    from flowpipe import additions

    found = _found(project, profile)
    if _can_ask() and not store:
        store = _one_of("It is kept in the store", found.stores)
        if not path and not table and not additions.is_files(found, store):
            table = typer.prompt("Its table there", default=name)
    if _can_ask() and not path and not table and additions.is_files(found, store):
        path = typer.prompt("Its path there", default=f"{name}.parquet")
    keys = [each for text in key or () for each in text.split(",")]
    asked = additions.Dataset(name, store, path, table, mode, keys, partition, schema)
    _add(found, additions.dataset(found, asked))


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="What it is called.", metavar="NAME")],
    extends: Annotated[
        str | None,
        typer.Option(
            "--extends",
            help="The profile it is laid over; the project's own if absent.",
            autocompletion=known("profiles"),
        ),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option("--executor", help="sync, threads, processes, dask or ray; that of the other if absent."),
    ] = None,
    project: ProjectFolder = Path(),
) -> None:
    """Add a profile: another place for the same pipelines.

    Example: flowpipe new profile prod --executor processes
    """
    from flowpipe import additions, executors

    found = _found(project, extends)
    if _can_ask() and not executor and typer.confirm("Do functions run elsewhere than there?", default=False):
        executor = _one_of("On which executor", executors.installed())
    _add(found, additions.profile(found, name, extends=found.profile, executor=executor))


def _found(project: Path, profile: str | None) -> "Configuration":
    from flowpipe import loading
    from flowpipe.roots import find_root

    return loading.load(find_root(project), profile=profile, resolve=False)


def _add(found: "Configuration", addition: "Addition") -> None:
    from flowpipe import adding
    from flowpipe.terminal import line

    for done in adding.add(found, addition):
        line(done)


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _one_of(question: str, known: Iterable[str]) -> str:
    """An answer that is one of the known names; asks until it is."""
    from flowpipe.errors import unknown

    names = list(known)
    while (answer := str(typer.prompt(f"{question} ({', '.join(names)})"))) not in names:
        typer.echo(unknown("name", answer, names))
    return answer
