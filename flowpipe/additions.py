"""What a new dataset, pipeline or profile consists of, and all that is wrong with what it was asked to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from flowpipe import adding, executors, partition, schemas
from flowpipe.adding import Addition, flow
from flowpipe.config import Configuration
from flowpipe.errors import Problem, UsageError, unknown
from flowpipe.partition import Every
from flowpipe.scaffold import TextFile

GRAINS: tuple[Every, ...] = get_args(Every)
_TRUNCATED = {"day": "1d", "month": "1mo", "year": "1y"}
_SECRET = ("dsn", "password", "options")


@dataclass(frozen=True)
class Dataset:
    """A dataset of the catalog that is asked for."""

    name: str
    store: str | None = None
    path: str | None = None
    table: str | None = None
    mode: str | None = None
    key: Sequence[str] = ()
    partition: str | None = None
    schema: str | None = None


@dataclass(frozen=True)
class Pipeline:
    """A pipeline of one node that is asked for; the store is that of the dataset it writes, where that is new."""

    name: str
    writes: str
    reads: str | None = None
    store: str | None = None
    every: str | None = None
    start: str | None = None
    end: str | None = None
    column: str | None = None


def is_files(found: Configuration, store: str | None) -> bool:
    """Whether what is in a store has paths, not tables."""
    return store is not None and store in found.stores and found.stores[store].adapter == "files"


def dataset(found: Configuration, asked: Dataset) -> Addition:
    """A dataset at the end of the catalog.

    Raises:
        UsageError: all that is wrong with what is asked for.
    """
    needs = {"--store STORE": not asked.store}
    needs |= {"--path FILE": is_files(found, asked.store) and not (asked.path or asked.table)}
    problems = [*_missing("dataset", asked.name, needs), *adding.name_problems("NAME", asked.name)]
    problems += _store_problems(found, asked.store)
    if asked.name in found.catalog:
        problems.append(_there(found, asked.name))
    grain: dict[str, str] = {}
    if asked.partition:
        every, _, column = asked.partition.partition(":")
        problems += _grain_problems("--partition", every)
        grain = {"every": every} | ({"column": column} if column else {})
    table = asked.table or (None if asked.path or is_files(found, asked.store) else asked.name)
    keys: dict[str, Any] = {"store": asked.store, "path": asked.path, "table": table, "mode": asked.mode}
    if asked.path and asked.path.endswith((".csv", ".csv.gz")):
        keys["options"] = {"try_parse_dates": True}  # else nothing in it can be cut by month
    keys |= {"key": list(asked.key), "partition": grain, "schema": asked.schema}
    _raise(problems)
    return Addition(datasets={asked.name: {key: value for key, value in keys.items() if value}}, profile=found.profile)


def pipeline(found: Configuration, asked: Pipeline) -> Addition:
    """A pipeline of one node, and the dataset that it writes where there is none of that name.

    Raises:
        UsageError: all that is wrong with what is asked for.
    """
    files = (
        TextFile(f"pipelines/{asked.name}.py", _module(found, asked)),
        TextFile(f"conf/pipelines/{asked.name}.yml", _settings(asked)),
    )
    is_new = asked.writes not in found.catalog
    needs = {"--reads DATASET": not asked.reads, "--store STORE": is_new and not asked.store}
    needs |= {f"--start {partition_example(asked.every)}": bool(asked.every) and not asked.start}
    needs |= {"--column COLUMN": needs_column(found, asked)}
    problems = [*_missing("pipeline", asked.name, needs), *adding.name_problems("NAME", asked.name)]
    problems += adding.name_problems("--writes", asked.writes) if asked.writes != asked.name else ()
    problems += adding.existing(found, files)
    if asked.reads and asked.reads not in found.catalog:
        problems.append(unknown("dataset", asked.reads, found.catalog))
    elif asked.reads == asked.writes:
        problems.append(
            Problem(f"{asked.name} would read what it writes: {asked.reads}", None, "write another dataset")
        )
    problems += [*_window_problems(asked), *(_store_problems(found, asked.store) if is_new else ())]
    if not is_new and asked.store and asked.store != found.catalog[asked.writes].store:
        problems.append(_there(found, asked.writes))
    datasets = {asked.writes: _written(found, asked)} if is_new else {}
    _raise(problems)
    return Addition(files, datasets, found.profile)


def profile(found: Configuration, name: str, *, extends: str, executor: str | None) -> Addition:
    """A profile over another one, whose stores stand there as comments to begin with.

    Raises:
        UsageError: all that is wrong with what is asked for.
    """
    lines = [schemas.first_line("profile"), f"extends: {extends}"]
    lines += [f"# A store that is named here is laid over the one of {extends}; with another adapter it replaces it."]
    lines += ["# stores:"]
    for store, config in found.stores.items():
        said = {"adapter": config.adapter, **(config.model_extra or {})}
        shown = {key: value for key, value in said.items() if key not in _SECRET or "${" in str(value)}
        lines.append(f"#   {store}: {flow({k: v for k, v in shown.items() if k != 'options'})}")
    if executor:
        lines.append(f"executor: {flow({'type': executor})}")
    files = (TextFile(f"conf/profiles/{name}.yml", "\n".join(lines) + "\n"),)
    problems = [*adding.name_problems("NAME", name), *adding.existing(found, files)]
    if executor and executor not in executors.installed():
        problems.append(unknown("executor", executor, executors.installed()))
    _raise(problems)
    return Addition(files, profile=name)


def _raise(problems: Sequence[Problem]) -> None:
    if problems:
        raise UsageError.of(problems)


def partition_example(every: str | None) -> str:
    """How the start of a window is written."""
    return {"day": "2024-01-31", "year": "2024"}.get(every or "", "2024-01")


def needs_column(found: Configuration, asked: Pipeline) -> bool:
    """Whether it must be said which column of a new dataset tells a row's window; files are told apart by name."""
    is_new_table = asked.writes not in found.catalog and asked.store and not is_files(found, asked.store)
    return bool(asked.every and is_new_table and not _column(found, asked))


def _missing(kind: str, name: str, needs: Mapping[str, bool]) -> Iterator[Problem]:
    """The flags that must be given, in one problem."""
    missing = [flag for flag, is_missing in needs.items() if is_missing]
    if missing:
        *others, last = [flag.partition(" ")[0] for flag in missing]
        told = f"{', '.join(others)} and {last} are missing" if others else f"{last} is missing"
        yield Problem(told, None, f"flowpipe new {kind} {name} {' '.join(missing)}")


def _store_problems(found: Configuration, store: str | None) -> Iterator[Problem]:
    if store and store not in found.stores:
        yield unknown("store", store, found.stores, add="add it under stores: of the profile")


def _grain_problems(flag: str, every: str) -> Iterator[Problem]:
    if every not in GRAINS:
        problem = unknown("grain", every, GRAINS)
        yield Problem(f"{flag}: {problem.message}", None, problem.hint)


def _there(found: Configuration, name: str) -> Problem:
    where = found.where_key("catalog", name)
    return Problem(
        f"dataset {name} is there already, in store {found.catalog[name].store}", where, "choose another name"
    )


def _window_problems(asked: Pipeline) -> Iterator[Problem]:
    windows = {"--start": asked.start, "--end": asked.end}
    if not asked.every:
        for flag, value in (windows | {"--column": asked.column}).items():
            if value:
                yield Problem(f"{flag} goes with --every", None, "such as --every month")
        return
    yield from _grain_problems("--every", asked.every)
    for flag, text in windows.items():
        for every in GRAINS:
            if every == asked.every and text:
                try:
                    partition.parse(text, every)
                except ValueError as error:
                    message, _, hint = str(error).partition("; ")
                    yield Problem(f"{flag}: {message}", None, hint)


def _column(found: Configuration, asked: Pipeline) -> str | None:
    """The column by which windows are told: the one that is named, or the one of what is read."""
    read = found.catalog.get(asked.reads or "")
    return asked.column or (read.partition.column if read and read.partition else None)


def _written(found: Configuration, asked: Pipeline) -> dict[str, Any]:
    keys: dict[str, Any] = {"store": asked.store}
    if not is_files(found, asked.store or ""):
        keys["table"] = asked.writes
    elif asked.every in GRAINS:
        keys["path"] = f"{asked.writes}/{{partition:{partition.KEY_FORMAT[asked.every]}}}.parquet"
    else:
        keys["path"] = f"{asked.writes}.parquet"
    if asked.every:
        column = _column(found, asked)
        keys |= {"mode": "replace", "partition": {"every": asked.every} | ({"column": column} if column else {})}
    return keys


def _settings(asked: Pipeline) -> str:
    lines = [schemas.first_line("pipeline"), f"modules: [{asked.name}]", f"writes: [{asked.writes}]"]
    windows = {"every": asked.every, "start": asked.start, "end": asked.end}
    windows = {key: value for key, value in windows.items() if value}
    if asked.every:
        lines.append(f"partitions: {flow(windows)}")
    return "\n".join(lines) + "\n"


def _module(found: Configuration, asked: Pipeline) -> str:
    """One function that hands on what it reads; of a dataset that is kept whole, the rows of the step's window."""
    read = found.catalog.get(asked.reads or "")
    column = _column(found, asked)
    is_cut = asked.every in _TRUNCATED and column and not (read and read.partition)
    given, body, imports = f"{asked.reads}: pl.LazyFrame", f"return {asked.reads}", "import polars as pl"
    if is_cut:
        given += ", partition: date"
        window = f'pl.col("{column}").dt.truncate("{_TRUNCATED[asked.every or ""]}").dt.date()'
        body = f"return {asked.reads}.filter({window} == partition)"
        imports = f"from datetime import date\n\n{imports}"
    return (
        f'"""What {asked.name} makes of {asked.reads}."""\n\n{imports}\n\n\n'
        f"def {asked.writes}({given}) -> pl.LazyFrame:\n"
        f'    """One row for each row of {asked.reads}, so far."""\n'
        f"    {body}\n"
    )
