"""From a decided step to visible tables: its manifest, what it names, and what a killed run left to be finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from flowpipe.adapters import Publication
from flowpipe.adapters.abilities import Batching
from flowpipe.catalog import REJECTED, Catalog
from flowpipe.errors import DataError, FlowpipeError
from flowpipe.intents import Intent, Intents
from flowpipe.records import Published, Record
from flowpipe.stop import Stop


@dataclass(frozen=True)
class Publisher:
    """Makes the steps of one run visible; a signal waits until the step at hand is."""

    run: str
    catalog: Catalog
    intents: Intents
    stop: Stop
    emit: Callable[[Record], None]
    told: list[Published] = field(default_factory=list)

    def decide(self, intent: Intent) -> None:
        """From here on a step will be published: if not by this run, then by the next one."""
        self.intents.save(intent)

    def publish(self, intents: Sequence[Intent]) -> list[FlowpipeError | None]:
        """Publish decided steps together, and say of each what went wrong, in order.

        A store to which slices cost less together gets those of all steps at once; where it refuses, one by one, so
        that only the steps at fault fail. Their manifests stay, unless nothing of the step ever can be visible.
        """
        with self.stop.held_off():
            refused = self._together(intents) if len(intents) > 1 else True
            return [self._finish(intent, published=not refused) for intent in intents]

    def _finish(self, intent: Intent, *, published: bool) -> FlowpipeError | None:
        try:
            if not published:
                self._publish(intent)
        except FlowpipeError as error:
            return error
        self.intents.remove(intent)
        return None

    def recover(self) -> None:
        """Publish what earlier runs had decided; a step whose staged files are gone is left to be run again.

        Raises:
            PublishError: a store refused; the manifest stays.
        """
        for intent in self.intents.live(self.catalog):
            self.stop.check()
            with self.stop.held_off():
                if all(self._is_there(publication) for publication in intent.publications):
                    try:
                        self._publish(intent, recovered=True)
                    except FlowpipeError as error:
                        given_up = not self.intents.path(intent).exists()
                        raise error if given_up else self._with_way_out(error, intent) from error
                self.intents.remove(intent)

    def _together(self, intents: Sequence[Intent]) -> bool:
        """Publish all steps' slices dataset by dataset; whether a store refused one, so that some may be left."""
        every = [(intent, publication) for intent in intents for publication in intent.publications]
        # Rejected rows first, as within a step.
        names = sorted({each.dataset.name: None for _, each in every}, key=lambda name: not name.endswith(REJECTED))
        for name in names:
            group = [(intent, each) for intent, each in every if each.dataset.name == name]
            adapter = self.catalog.adapter(group[0][1].dataset)
            try:
                if isinstance(adapter, Batching):
                    adapter.publish_all([each for _, each in group])
                else:
                    for _, each in group:
                        adapter.publish(each)
            except FlowpipeError:
                return True
        for intent, each in every:
            self._tell(intent, each)
        return False

    def _publish(self, intent: Intent, *, recovered: bool = False) -> None:
        for number, publication in enumerate(intent.publications):
            try:
                self.catalog.adapter(publication.dataset).publish(publication)
            except DataError:
                if all(map(_is_aside, intent.publications[:number])):
                    self._give_up(intent)
                raise
            self._tell(intent, publication, recovered=recovered)

    def _tell(self, intent: Intent, publication: Publication, *, recovered: bool = False) -> None:
        published = Published(
            run=self.run,
            pipeline=intent.pipeline,
            slice=str(intent.slice),
            dataset=publication.dataset.name,
            at=datetime.now(UTC),
            rows=publication.staged.rows,
            bytes=publication.staged.bytes,
            recovered=recovered,
        )
        self.told.append(published)
        self.emit(published)

    def _give_up(self, intent: Intent) -> None:
        """Undo a decision of which nothing is visible yet, because its rows can never be published."""
        self.intents.remove(intent)
        for publication in intent.publications:
            self.catalog.adapter(publication.dataset).discard(publication.staged)

    def _with_way_out(self, error: FlowpipeError, intent: Intent) -> FlowpipeError:
        """An error that every later run would meet again says how to be rid of it."""
        path = self.intents.path(intent).relative_to(self.intents.folder.parents[2])
        way_out = f"or delete {path} to give these rows up"
        return type(error).of(
            replace(each, hint=f"{each.hint}, {way_out}" if each.hint else way_out) for each in error.problems
        )

    def _is_there(self, publication: Publication) -> bool:
        """Whether the staged files still are where they were, or the publication is visible already."""
        if self.catalog.adapter(publication.dataset).is_staged(publication.staged):
            return True
        dataset, part, wanted = publication.dataset, publication.slice, publication.state
        held = self.catalog.adapter(dataset).held(dataset, [part])[part.key].state
        return held is not None and (held.run, held.fingerprint) == (wanted.run, wanted.fingerprint)


def _is_aside(publication: Publication) -> bool:
    """Whether it only keeps rejected rows, which the next run of the step replaces."""
    return publication.dataset.name.endswith(REJECTED)
