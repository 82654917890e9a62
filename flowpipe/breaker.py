"""Which stores are left alone for a while because they failed in run after run; a small file for each remembers that.

pybreaker has the same three states, but it counts calls where flowpipe counts runs, holds a lock while a call lasts,
cannot tell without a call whether it would let one through, and keeps no word of what failed. Here the state follows
from that word alone: a store is closed until its runs have failed so often, then open until its cool-down has passed
since the last failure, then half-open: the next run tries it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Literal

from flowpipe import verbs
from flowpipe.config import BreakerConfig, Configuration
from flowpipe.errors import FlowpipeError, UsageError, Where, redact, unknown
from flowpipe.fields import duration
from flowpipe.roots import profile_state


@dataclass(frozen=True)
class Failures:
    """How many runs in a row failed because of a store, when the last one did, and what it said: a line, no secrets."""

    count: int
    at: datetime
    error: str


@dataclass(frozen=True)
class Status:
    """A breaker at one moment. It opens at `limit` failures, `until` its cool-down has passed.

    Where it is half-open the next run tries the store, and one more failure opens it again.
    """

    store: str
    state: Literal["closed", "open", "half-open"]
    failures: Failures | None
    limit: int
    until: datetime | None = None


@dataclass
class Breaker:
    """What one store did in the last runs; while it is open, nothing is asked of the store."""

    store: str
    config: BreakerConfig
    file: Path
    where: Where | None
    secrets: frozenset[str]
    _failed: Failures | None = None
    _answered: bool = False

    @property
    def status(self) -> Status:
        """How it is now."""
        found, limit = self._read(), self.config.failures
        if found is None or found.count < limit:
            return Status(self.store, "closed", found, limit)
        until = found.at + duration(self.config.cool_down)
        return Status(self.store, "open" if datetime.now(UTC) < until else "half-open", found, limit, until)

    def check(self) -> None:
        """Do nothing unless the store is left alone.

        Raises:
            FlowpipeError: it is.
        """
        status = self.status
        if status.state != "open":
            return
        assert status.failures
        assert status.until
        count, at = status.failures.count, f"{status.failures.at.astimezone():%Y-%m-%d %H:%M}"
        times = f"{count} times in a row, the last time at {at}" if count > 1 else f"at {at}"
        raise FlowpipeError(
            f'store "{self.store}" failed {times}: {status.failures.error}',
            where=self.where,
            hint=f"it is tried again from {clock(status.until)} on; "
            f"mend it and run `flowpipe breaker reset {self.store}` to try at once",
        )

    def begin(self) -> None:
        """The begin of a run: only what is asked from now on is part of it."""
        self._failed, self._answered = None, False

    def watched(self, adapter: type) -> type:
        """An adapter's class, which notes what becomes of all that is asked of the store."""
        return verbs.watched(adapter, self._watched)

    def settle(self, *, well: bool) -> None:
        """The end of a run: whatever a store failed at meanwhile, it is no failure where all went `well` in the end."""
        # A disk that is full has failed the run by itself, or harms nobody who will only try a store once more.
        with suppress(OSError):
            if self._failed and not well:
                before = self._read()
                self._save(replace(self._failed, count=before.count + 1 if before else 1))
            elif self._answered:
                self.reset()

    def reset(self) -> None:
        """Forget all failures."""
        self.file.unlink(missing_ok=True)

    def _read(self) -> Failures | None:
        try:
            found = json.loads(self.file.read_text("utf-8"))
            at = datetime.fromisoformat(found["at"]).astimezone(UTC)
            return Failures(int(found["count"]), at, str(found["error"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None  # what cannot be read must not keep anybody from a store

    def _save(self, failures: Failures) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        aside = self.file.with_suffix(f".{os.getpid()}.tmp")
        told = {"count": failures.count, "at": failures.at.isoformat(), "error": failures.error}
        aside.write_text(json.dumps(told), "utf-8")
        aside.replace(self.file)

    def _watched(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(verb)
        def asked(*arguments: Any, **named: Any) -> Any:
            self.check()
            try:
                result = verb(*arguments, **named)
            except Exception as error:
                if verbs.is_of_the_store(error):
                    self._failed = Failures(1, datetime.now(UTC), redact(_line(error), self.secrets))
                raise
            self._answered = True
            return result

        return asked


def of_stores(configuration: Configuration) -> Mapping[str, Breaker]:
    """The breakers of the stores that have one, by store."""
    folder = profile_state(configuration.root, configuration.profile) / "breakers"
    return {
        name: Breaker(
            name,
            store.breaker,
            folder / f"{name}.json",
            configuration.where_key("stores", name),
            configuration.secrets,
        )
        for name, store in configuration.stores.items()
        if store.breaker
    }


def chosen(configuration: Configuration, store: str | None) -> list[Breaker]:
    """The breaker of one store, or those of all.

    Raises:
        UsageError: there is no such store, or it has none.
    """
    found = of_stores(configuration)
    if store is not None and store not in configuration.stores:
        raise UsageError.of([unknown("store", store, configuration.stores)])
    if store is not None and store not in found:
        hint = "give it one: `breaker: {failures: 5, cool_down: 10m}`"
        raise UsageError(f'store "{store}" has no breaker', where=configuration.where_key("stores", store), hint=hint)
    return [each for name, each in found.items() if store in {None, name}]


def clock(moment: datetime) -> str:
    """The first full minute of the local clock that is not before a moment; with its day, where that is not today."""
    local = moment.astimezone()
    if local.second or local.microsecond:
        local = datetime.fromtimestamp((local.timestamp() // 60 + 1) * 60).astimezone()
    return f"{local:%H:%M}" if local.date() == datetime.now().astimezone().date() else f"{local:%Y-%m-%d %H:%M}"


def _line(error: Exception) -> str:
    said = error.problems[0].message if isinstance(error, FlowpipeError) else f"{type(error).__name__}: {error}"
    return said.strip().partition("\n")[0]
