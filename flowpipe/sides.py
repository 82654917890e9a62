"""Which two states of a dataset are compared: versions of its store, what two runs published, or two profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from flowpipe.adapters.abilities import Version, Versioned
from flowpipe.adapters.versions import VALID_FROM
from flowpipe.difference import Difference, compare
from flowpipe.errors import UsageError
from flowpipe.ledger import Ledger
from flowpipe.looking import Source
from flowpipe.roots import ledger_path


@dataclass(frozen=True)
class Side:
    """One state of a dataset; what is not known of it is None."""

    rows: pl.LazyFrame
    profile: str
    version: str | None = None
    run: str | None = None
    at: datetime | None = None

    def __str__(self) -> str:
        """In words, for people."""
        if self.version is None:
            return f"profile {self.profile}"
        known = [f"run {self.run}"] if self.run else []
        known += [f"{self.at.astimezone():%Y-%m-%d %H:%M}"] if self.at else []
        return f"version {self.version}" + (f" ({', '.join(known)})" if known else "")


@dataclass(frozen=True)
class Compared:
    """A dataset, or a partition of it, in two states."""

    name: str
    old: Side
    new: Side
    difference: Difference


def contrast(source: Source, sides: tuple[Side, Side], key: Sequence[str] | None, examples: int) -> Compared:
    """Compare two states by a key; None: by that of the dataset or what it expects to be unique, if there is such.

    Raises:
        UsageError: the key is none.
    """
    if key is None:
        config = source.dataset.config
        key = [*config.key, VALID_FROM] if config.mode == "snapshot" else config.key or config.expect.unique or []
    old, new = sides
    return Compared(source.title, old, new, compare(old.rows, new.rows, key, examples))


def of_profiles(source: Source, other: Source) -> tuple[Side, Side]:
    """What another profile has as the old side, what this one has as the new one."""
    names = [each.look.configuration.profile for each in (other, source)]
    old, new = other.frame(), source.frame()
    return Side(old, names[0]), Side(new, names[1])


def of_last_run(source: Source) -> tuple[Side, Side]:
    """The last version, and the one before the run that made it: a run may publish a table several times.

    Raises:
        UsageError: the store keeps no versions, or there is none before that run.
    """
    known = _store(source).versions(source.dataset)
    new = next(known, None)
    if new is None:
        source.frame()  # where there is nothing at all, it says what to do
        raise UsageError(f"dataset {source.dataset.name} has no versions", hint="run its pipeline first")
    old = next((version for version in known if version.run is None or version.run != new.run), None)
    if old is None:
        hint = "run its pipeline again after a change, or name two: --versions OLD NEW, --with-profile NAME"
        maker = f"run {new.run}" if new.run else f"version {new.version}"
        raise UsageError(f"there is nothing of dataset {source.dataset.name} before {maker}", hint=hint)
    return _side(source, old), _side(source, new)


def of_versions(source: Source, versions: tuple[str, str]) -> tuple[Side, Side]:
    """Two versions by their names.

    Raises:
        UsageError: the store keeps no versions, or not these.
    """
    known = {name: Version(name) for name in versions}
    missing = set(versions)
    for version in _store(source).versions(source.dataset):
        if version.version in missing:
            known[version.version] = version
            missing.remove(version.version)
        if not missing:
            break  # each older one is a file to read
    old, new = (known[name] for name in versions)
    return _side(source, old), _side(source, new)


def of_runs(source: Source, runs: tuple[str, str]) -> tuple[Side, Side]:
    """What the dataset was when each of two runs had published it; `last` is the last run that did.

    Raises:
        UsageError: the store keeps no versions, there is no such run, or it did not publish the dataset.
    """
    known = list(_store(source).versions(source.dataset))
    old, new = (_side(source, _of_run(source, run, known)) for run in runs)
    return old, new


def _of_run(source: Source, name: str, known: Sequence[Version]) -> Version:
    """The last version that a run made; the beginning of its name is enough."""
    runs = list(dict.fromkeys(version.run for version in known if version.run))
    found = runs[:1] if name == "last" else [run for run in runs if run.startswith(name)]
    if len(found) > 1 and name not in found:
        shown = ", ".join(found[:6])
        raise UsageError(f'"{name}" begins the names of {len(found)} runs', hint=f"give more of one: {shown}")
    if not found:
        with Ledger(ledger_path(source.look.configuration.root)) as ledger:
            told = ledger.run(name).run.run
        published = f"those that did: {', '.join(runs[:6])}" if runs else "its store knows of no run that did"
        raise UsageError(f"run {told} did not publish dataset {source.dataset.name}", hint=published)
    run = name if name in found else found[0]
    return next(version for version in known if version.run == run)


def _store(source: Source) -> Versioned:
    if isinstance(source.adapter, Versioned):
        return source.adapter
    text = f"dataset {source.dataset.name} has no earlier versions: its {source.place}, keeps none"
    raise UsageError(text, hint="compare it with another profile: --with-profile NAME; delta stores keep versions")


def _side(source: Source, version: Version) -> Side:
    rows = _store(source).read_version(source.dataset, version.version, source.part)
    return Side(rows, source.look.configuration.profile, version.version, version.run, version.at)
