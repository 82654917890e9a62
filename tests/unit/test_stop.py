"""When a deadline ends a run, and that nothing of it is left behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from flowpipe.errors import DeadlinePassed, Interrupted
from flowpipe.stop import Stop

SHORT = timedelta(milliseconds=50)


@pytest.fixture(autouse=True)
def alarm_of_others() -> Iterator[None]:
    """Whoever set an alarm before finds it as it was."""
    before = signal.getsignal(signal.SIGALRM)
    left, again = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    assert signal.getsignal(signal.SIGALRM) is before
    signal.setitimer(signal.ITIMER_REAL, left, again)


def test_it_ends_what_runs() -> None:
    stop, began = Stop(SHORT), time.monotonic()
    with pytest.raises(DeadlinePassed, match=r"^the deadline of 50ms has passed\n"), stop.listening():
        time.sleep(10)
    assert time.monotonic() - began < 5
    assert isinstance(stop.interrupted, DeadlinePassed)


def test_it_waits_for_what_is_held_off_and_a_first_signal_then_waits_too() -> None:
    stop = Stop(SHORT)
    with stop.listening():
        with stop.held_off():
            time.sleep(0.2)
            signal.raise_signal(signal.SIGTERM)
            finished = True
        assert finished
        with pytest.raises(Interrupted, match=r"^interrupted; ") as caught:
            stop.check()
    assert caught.value.exit_code == 143, "who asks for an end is told that he got it"


def test_a_run_that_ends_by_a_signal_is_left_to_it() -> None:
    stop = Stop(SHORT)
    with stop.listening():
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.2)
    assert type(stop.interrupted) is Interrupted


def test_the_timer_of_somebody_else_goes_on() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(DeadlinePassed), Stop(SHORT).listening():
            time.sleep(10)
        assert rung == []
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left <= 0.25
        time.sleep(0.4)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_without_a_deadline_no_timer_is_touched() -> None:
    handled = signal.getsignal(signal.SIGALRM)
    with Stop().listening():
        assert signal.getsignal(signal.SIGALRM) is handled
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
