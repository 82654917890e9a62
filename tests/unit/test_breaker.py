"""A breaker by itself: its clock, its file, what counts, and that a watched store stays what it was."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flowpipe import adapters
from flowpipe.adapters import Missing
from flowpipe.adapters.abilities import Batching, Filling, Incremental, Maintainable, Selective, Versioned
from flowpipe.breaker import Breaker, clock
from flowpipe.config import BreakerConfig
from flowpipe.errors import ConfigError, DataError, FlowpipeError, Interrupted, Problem, PublishError, Where

SECRET = "hunter22-sesame"


class Store:
    """A store that fails as it is told, or answers."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.asked = 0

    def held(self) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return "held"


class Unreachable(FlowpipeError):
    """An adapter's own."""


def caused(error: FlowpipeError) -> FlowpipeError:
    error.__cause__ = OSError("by the server")
    return error


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Breaker]:
    def made(failures: int = 2, cool_down: str = "1h") -> Breaker:
        config = BreakerConfig(failures=failures, cool_down=cool_down)
        where = Where("conf/profiles/dev.yml", 2, 3)
        return Breaker("warehouse", config, tmp_path / "breakers/warehouse.json", where, frozenset([SECRET]))

    return made


def count(breaker: Breaker) -> int:
    """How many runs failed in a row."""
    failures = breaker.status.failures
    return failures.count if failures else 0


def run(breaker: Breaker, *errors: BaseException | None) -> None:
    """A run that asks the store once for each error, and fails with the last one."""
    kind = breaker.watched(Store)
    breaker.begin()
    for error in errors:
        if error is None:
            assert kind(None).held() == "held"
        else:
            with pytest.raises(type(error)):
                kind(error).held()
    breaker.settle(well=not errors or errors[-1] is None)


def test_it_opens_at_the_limit_and_closes_with_the_first_success(make: Callable[..., Breaker]) -> None:
    breaker = make(cool_down="300ms")
    run(breaker, OSError("gone"), OSError("gone again"))
    assert (breaker.status.state, count(breaker)) == ("closed", 1)
    run(breaker, None)
    assert breaker.status.failures is None, "in a row"
    for number in (1, 2):
        run(breaker, OSError(f"gone {number}"))
    assert (breaker.status.state, breaker.status.failures and breaker.status.failures.error) == (
        "open",
        "OSError: gone 2",
    )
    kind = breaker.watched(Store)
    left_alone = kind(None)
    with pytest.raises(FlowpipeError, match="failed 2 times in a row"):
        left_alone.held()
    assert left_alone.asked == 0
    time.sleep(0.4)
    assert breaker.status.state == "half-open"
    run(breaker, OSError("gone 3"))
    assert (breaker.status.state, count(breaker)) == ("open", 3)
    time.sleep(0.4)
    run(breaker, None)
    assert (breaker.status.state, count(breaker)) == ("closed", 0)


def test_what_it_says(make: Callable[..., Breaker]) -> None:
    breaker = make(failures=1)
    run(breaker, caused(PublishError(f"{SECRET} was refused\nat length", hint="mend it")))
    found = breaker.status.failures
    assert found
    with pytest.raises(FlowpipeError) as caught:
        breaker.check()
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        f'conf/profiles/dev.yml:2:3: store "warehouse" failed at {found.at.astimezone():%Y-%m-%d %H:%M}: '
        "*** was refused\n"
        f"  hint: it is tried again from {clock(found.at + timedelta(hours=1))} on; "
        "mend it and run `flowpipe breaker reset warehouse` to try at once"
    )
    assert SECRET not in breaker.file.read_text()


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (ConnectionRefusedError("no"), True),
        (TimeoutError("slow"), True),
        (caused(PublishError("refused")), True),
        (caused(FlowpipeError("not reached")), True),
        (caused(Unreachable("not reached")), True),
        (PublishError("these rows were appended already"), False),
        (caused(DataError("a bad row")), False),
        (ConfigError([Problem("x")]), False),
        (Missing("there is nothing"), False),
        (ValueError("of rows"), False),
        (Interrupted(15), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_counts(make: Callable[..., Breaker], error: Exception, counts: bool) -> None:
    breaker = make(failures=1)
    run(breaker, error)
    assert (breaker.status.failures is not None) == counts


def test_what_was_overcome_within_a_run_is_no_failure(make: Callable[..., Breaker]) -> None:
    breaker = make(failures=1)
    run(breaker, OSError("at first"), None)
    assert breaker.status.failures is None


def test_a_run_that_failed_elsewhere_closes_it_where_the_store_answered(make: Callable[..., Breaker]) -> None:
    breaker = make()
    run(breaker, OSError("gone"))
    breaker.begin()
    breaker.settle(well=False)
    assert count(breaker) == 1, "it was not asked"
    breaker.watched(Store)(None).held()
    breaker.settle(well=False)
    assert breaker.status.failures is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"count": 9}', '{"count": 9, "at": "noon", "error": ""}', "\x00"])
def test_a_file_that_cannot_be_read_keeps_nobody_from_a_store(make: Callable[..., Breaker], text: str) -> None:
    breaker = make()
    breaker.file.parent.mkdir()
    breaker.file.write_text(text)
    breaker.check()
    assert breaker.status.state == "closed"
    run(breaker, OSError("gone"))
    assert count(breaker) == 1


def test_a_file_that_a_person_wrote(make: Callable[..., Breaker]) -> None:
    breaker = make()
    breaker.file.parent.mkdir()
    breaker.file.write_text(f'{{"count": 2, "at": "{datetime.now():%Y-%m-%d %H:%M}", "error": "closed for today"}}')
    with pytest.raises(FlowpipeError, match="closed for today"):
        breaker.check()


WRITER = """
import sys
from pathlib import Path
from flowpipe.breaker import Breaker
from flowpipe.config import BreakerConfig

class Store:
    def held(self):
        raise OSError("gone " * 2000)

breaker = Breaker("warehouse", BreakerConfig(failures=1000000), Path(sys.argv[1]), None, frozenset())
store = breaker.watched(Store)()
for _ in range(300):
    try:
        store.held()
    except OSError:
        breaker.settle(well=False)
"""


def test_processes_that_write_at_once_do_not_tear_it(make: Callable[..., Breaker]) -> None:
    breaker = make()
    run(breaker, OSError("gone"))
    command = [sys.executable, "-c", WRITER, str(breaker.file)]
    writers = [subprocess.Popen(command) for _ in range(2)]
    read = 0
    while any(writer.poll() is None for writer in writers):
        assert breaker.status.failures is not None
        read += 1
    assert [writer.returncode for writer in writers] == [0, 0]
    assert read > 100
    assert count(breaker) >= 301
    assert [path.name for path in breaker.file.parent.iterdir()] == ["warehouse.json"]


@pytest.mark.parametrize("name", sorted(adapters.installed()))
def test_a_watched_store_can_do_what_it_could(make: Callable[..., Breaker], name: str) -> None:
    kind = adapters.installed()[name].load()
    watched = make().watched(kind)
    plain, seen = (object.__new__(each) for each in (kind, watched))
    for protocol in (Batching, Filling, Incremental, Maintainable, Selective, Versioned):
        assert isinstance(seen, protocol) == isinstance(plain, protocol)
    assert isinstance(seen, kind)
    assert (watched.Options, watched.__name__) == (kind.Options, kind.__name__)


def test_a_clock_shows_the_first_full_minute_when_it_is_true() -> None:
    today = datetime.now().astimezone().replace(hour=12, minute=30, second=0, microsecond=0)
    assert clock(today) == "12:30"
    assert clock(today + timedelta(microseconds=1)) == "12:31"
    assert clock(today + timedelta(seconds=59)) == "12:31"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", clock(datetime.now(UTC) + timedelta(days=2)))
