"""Commands that look at data: a dataset, a query over several, and what changed."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flowpipe.cli.options import Json, Profile, ProjectFolder, known

_ROWS = 20

Window = Annotated[
    str | None, typer.Option("--partition", help="Only this window: 2013-02.", autocompletion=known("partitions"))
]
OtherProfile = Annotated[
    str | None, typer.Option(help="What this profile has, as the old side.", autocompletion=known("profiles"))
]
Head = Annotated[
    int | None,
    typer.Option("--head", "-n", min=0, help=f"How many rows; a table has {_ROWS} if absent, all else all of them."),
]
Format = Annotated[
    Literal["table", "csv", "json", "ndjson", "parquet"] | None,
    typer.Option("--format", "-f", help="A table if absent, or what the ending of --output says."),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write into this file.")]


def read(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="Its name in the catalog; NAME__rejected: its rejected rows.",
            autocompletion=known("datasets"),
        ),
    ],
    project: ProjectFolder = Path(),
    profile: Profile = None,
    partition: Window = None,
    sql: Annotated[str | None, typer.Option("--sql", help='Of the dataset: "select ... from NAME".')] = None,
    head: Head = None,
    form: Format = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Look at a dataset, in whatever store it is; takes no lock.

    Example: flowpipe read flights --partition 2013-02 --head 5

    Example: flowpipe read flights --sql "select carrier, count(*) from flights group by all"
    """
    from flowpipe import looking, memory, query

    form = _format(form, output, as_json=as_json)
    try:
        with looking.project(project, profile) as look:
            source = look.source(dataset, partition)
            if sql is None:
                _show(source.frame(rows=_limit(form, head)), source.title, source.place, form, head, output)
                return
            only = {dataset.lower(): source}
            with query.asked(sql, lambda name: only.get(name.lower()), [dataset], look.scratch) as rows:
                _show(rows, "query", source.place, form, head, output)
    finally:
        memory.tidy()


def sql(
    statement: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT in DuckDB's SQL.")],
    project: ProjectFolder = Path(),
    profile: Profile = None,
    head: Head = None,
    form: Format = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Ask datasets of any stores together, by their names in the catalog; only reads, and takes no lock.

    Example: flowpipe sql "select name, count(*) from flights join airlines using (carrier) group by all"
    """
    from flowpipe import looking, memory, query

    form = _format(form, output, as_json=as_json)
    try:
        with (
            looking.project(project, profile) as look,
            query.asked(statement, look.named, look.catalog.names, look.scratch) as rows,
        ):
            _show(rows, "query", f"profile {look.configuration.profile}", form, head, output)
    finally:
        memory.tidy()


def _format(form: Any, output: Path | None, *, as_json: bool) -> Any:
    from flowpipe import pouring
    from flowpipe.errors import UsageError

    if form == "table" and output:
        raise UsageError("a table is for a screen", hint="give --format csv, json, ndjson or parquet, or no --output")
    if as_json and form not in {None, "json"}:
        raise UsageError(f"--json and --format {form} exclude each other", hint="remove one of them")
    return form or ("json" if as_json else pouring.format_of(output) if output else "table")


def _limit(form: str, head: int | None) -> int | None:
    """How many rows are read: of a table one more than it shows, to know whether there are more."""
    return head if form != "table" else (_ROWS if head is None else head) + 1


def _show(rows: Any, what: str, place: str, form: Any, head: int | None, output: Path | None) -> None:
    from flowpipe import grid, pouring, terminal
    from flowpipe.frames import collected

    limit = _limit(form, head)
    rows = rows if limit is None else rows.head(limit)
    if form != "table":
        pouring.pour(rows, form, output)
        return
    found = collected(rows)
    first = found.head(limit - 1 if limit else 0)
    shown = grid.extent(first, None if found.height > first.height else found.height)
    terminal.line((f"{what}: {shown}", "bold"), f"  ({place})")
    grid.table(first)


def diff(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Its name in the catalog.", autocompletion=known("datasets"))
    ],
    project: ProjectFolder = Path(),
    profile: Profile = None,
    between: Annotated[
        tuple[str, str] | None, typer.Option(metavar="RUN RUN", help="What two runs published: names, or `last`.")
    ] = None,
    versions: Annotated[tuple[str, str] | None, typer.Option(metavar="OLD NEW", help="Two of its versions.")] = None,
    with_profile: OtherProfile = None,
    key: Annotated[str | None, typer.Option(help="Columns that tell rows apart: a,b. '' compares whole rows.")] = None,
    partition: Window = None,
    head: Annotated[int, typer.Option("--head", "-n", min=0, help="How many examples of each.")] = 5,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 where they differ.")] = False,
    as_json: Json = False,
) -> None:
    """Compare two states of a dataset: columns, and rows by key; if none are named, what the last run changed.

    Example: flowpipe diff carrier_rank --with-profile prod

    Example: flowpipe diff daily_delays --between 20261124 last --partition 2013-02
    """
    from flowpipe import contrast, looking, memory, sides, terminal

    _one_of(between=between, versions=versions, with_profile=with_profile)
    try:
        with ExitStack() as opened:
            source = opened.enter_context(looking.project(project, profile)).source(dataset, partition)
            pair = sides.of_versions(source, versions) if versions else None
            if with_profile:
                other = opened.enter_context(looking.project(project, with_profile))
                pair = sides.of_profiles(source, other.source(dataset, partition))
            elif not pair:
                pair = sides.of_runs(source, between) if between else sides.of_last_run(source)
            compared = sides.contrast(source, pair, _columns(key), head)
    finally:
        memory.tidy()
    if as_json:
        typer.echo(terminal.as_json(contrast.record(compared)))
    else:
        contrast.show(compared)
    if exit_code and compared.difference:
        raise typer.Exit(1)


def _columns(key: str | None) -> list[str] | None:
    return None if key is None else [name.strip() for name in key.split(",") if name.strip()]


def _one_of(**given: object) -> None:
    from flowpipe.errors import UsageError

    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} exclude each other", hint="keep one of them")
