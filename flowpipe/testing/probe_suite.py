"""What a store that can be tried does when it is: it says that all is well, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from flowpipe.adapters.abilities import Probing
from flowpipe.partition import WHOLE
from flowpipe.testing.store import Store, StoreTests, rows


class ProbeSuite(StoreTests):
    """Probes before and after the first publish; an adapter that does not probe has nothing to fail here."""

    def test_a_probe_makes_nothing_before_the_first_publish(self, store: Store) -> None:
        before = files_below(store.folder)
        self._probe_well(store)
        assert files_below(store.folder) == before
        assert store.adapter.schema(self.dataset()) is None

    def test_a_probe_leaves_published_rows_as_they_are(self, store: Store) -> None:
        dataset = self.dataset()
        published = store.publish(dataset, rows("2013-01", 1, 2))
        store.adapter.close()
        before, pin = files_below(store.folder), store.adapter.pin(dataset, WHOLE)
        self._probe_well(store)
        store.adapter.close()
        assert files_below(store.folder) == before
        assert store.adapter.pin(dataset, WHOLE) == pin
        assert store.held(dataset).state == published.state
        assert store.ids(dataset) == [1, 2]

    def _probe_well(self, store: Store) -> None:
        if isinstance(store.adapter, Probing):
            for written in (True, False, True) if self._is_there(store) else (True, True):
                found = list(store.adapter.probe(written=written))
                assert [each for each in found if each.outcome == "FAIL"] == []
                assert {"read", "write"} & {each.what for each in found}

    def _is_there(self, store: Store) -> bool:
        return store.adapter.schema(self.dataset()) is not None


def files_below(folder: Path) -> dict[str, bytes]:
    """What is below a folder, and every file's bytes."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}
