"""Every error and every exit code has its meaning."""

from __future__ import annotations

import importlib

from flowpipe.errors import FlowpipeError
from flowpipe.meanings import MEANINGS, meanings_of


def kinds(root: type[FlowpipeError]) -> set[type[FlowpipeError]]:
    return {root}.union(*(kinds(kind) for kind in root.__subclasses__()))


def test_every_error_of_the_tree_has_a_meaning_with_its_exit_code() -> None:
    for module in ("errors", "executors", "adapters.files.folder"):
        importlib.import_module(f"flowpipe.{module}")
    ours = {kind for kind in kinds(FlowpipeError) if kind.__module__.startswith("flowpipe.")}
    assert {"NodeError", "DataError", "ClusterLost", "Unreachable", "DeadlinePassed"} <= {
        kind.__name__ for kind in ours
    }
    for kind in ours:
        codes = {meaning.code for meaning in meanings_of(kind.__name__)}
        # The number of a signal is known when it comes.
        assert codes == ({130, 143} if kind.__name__ == "Interrupted" else {kind.exit_code}), kind


def test_every_meaning_says_all_there_is_to_say() -> None:
    for meaning in MEANINGS:
        assert meaning.means.endswith(".")
        assert meaning.published.endswith(".")
        assert meaning.mend
        assert all(not each.endswith(".") and each.count("`") % 2 == 0 for each in (*meaning.causes, *meaning.mend))
    assert [meaning.code for meaning in MEANINGS] == sorted(meaning.code for meaning in MEANINGS)
