"""Looks that are taken at once, each on a thread of its own: one that hangs is told after a while, and left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from flowpipe.findings import Finding, guarded


@dataclass(frozen=True)
class Look:
    """What is looked at under which name, and how many seconds it may take."""

    name: str
    take: Callable[[], Iterable[Finding]]
    patience: float
    _found: list[Finding] = field(default_factory=list)

    def run(self) -> None:
        """Take it; whatever it raises is what was found."""
        for each in guarded("", self.take):
            self._found.append(each)

    def ended(self, thread: threading.Thread, began: float) -> Iterator[Finding]:
        """What was found, once it has ended or taken too long."""
        thread.join(max(0.0, began + self.patience - time.monotonic()))
        late = thread.is_alive()
        for each in list(self._found):
            yield replace(each, what=f"{self.name}: {each.what}" if each.what else self.name)
        if late:
            hint = "is its address right, and does a firewall let this machine through?"
            yield Finding(self.name, "FAIL", f"no answer within {self.patience:g} s", hint)


def side_by_side(looks: Sequence[Look]) -> Iterator[Finding]:
    """What all looks find, in their order."""
    began = time.monotonic()
    threads = [threading.Thread(target=look.run, daemon=True, name=f"flowpipe-{look.name}") for look in looks]
    for thread in threads:
        thread.start()
    for look, thread in zip(looks, threads, strict=True):
        yield from look.ended(thread, began)
