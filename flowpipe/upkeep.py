"""Which datasets `flowpipe maintain` tidies, and what their stores may not touch: files that decided steps name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from flowpipe.adapters import Dataset
from flowpipe.adapters.abilities import Maintainable, Upkeep
from flowpipe.bound import Bound
from flowpipe.catalog import Catalog, rejected
from flowpipe.errors import UsageError, unknown
from flowpipe.intents import Intents


def written(bounds: Sequence[Bound], names: Sequence[str]) -> list[Dataset]:
    """The datasets that pipelines write, with those of their rejected rows; all of them, or only the named.

    Raises:
        UsageError: a name is that of no written dataset.
    """
    found: dict[str, list[Dataset]] = {}
    for dataset in (write.dataset for bound in bounds for write in bound.writes):
        aside = [rejected(dataset)] if dataset.config.on_invalid == "quarantine" else []
        found[dataset.name] = [dataset, *aside]
    if wrong := [unknown("written dataset", name, found) for name in names if name not in found]:
        raise UsageError.of(wrong)
    return [dataset for name, pair in found.items() if not names or name in names for dataset in pair]


def maintain(
    datasets: Sequence[Dataset], catalog: Catalog, intents: Intents, retention: timedelta, *, dry_run: bool
) -> Iterator[tuple[str, Sequence[str]]]:
    """Tidy each dataset whose store can be tidied; its name, and what was done in lines for people."""
    live = frozenset(
        file.path
        for intent in intents.live(catalog)
        for publication in intent.publications
        for file in publication.staged.files
    )
    for dataset in datasets:
        adapter = catalog.adapter(dataset)
        if isinstance(adapter, Maintainable):
            yield dataset.name, adapter.maintain(dataset, Upkeep(live, retention, dry_run))
