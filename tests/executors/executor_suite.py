"""What every executor must do; a test module subclasses `ExecutorSuite` and gives the executor."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from flowpipe.config import RetryConfig
from flowpipe.errors import DataError, Interrupted
from flowpipe.executors import Executor, NodeEnd, NodeProgress, NodeStart, queue
from flowpipe.executors.queue import NodesFailed, Task, Watch

ONCE = RetryConfig()


class Big:
    """A value that can be watched."""


def task(node: str, function: Callable[..., Any], *needs: str, retry: RetryConfig = ONCE) -> Task:
    return Task(node, function, needs, retry)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether something becomes true; threads may hold a reference a moment longer than the driver."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


@dataclass
class Log:
    """Runs tasks and keeps what was told."""

    executor: Executor
    events: list[NodeProgress] = field(default_factory=list)
    finish: Callable[[str, Any], Any] = lambda node, value: value
    before: Callable[[], None] = lambda: None

    def run(self, tasks: Sequence[Task], *wanted: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        watch = Watch(self.before, self.finish, self._tell)
        return queue.run(tasks, given or {}, wanted, self.executor, watch)

    def _tell(self, event: NodeProgress) -> None:
        self.events.append(replace(event, value=None) if isinstance(event, NodeEnd) else event)

    def failures(self, tasks: Sequence[Task], *wanted: str) -> list[tuple[str, str, int]]:
        with pytest.raises(NodesFailed) as caught:
            self.run(tasks, *wanted)
        return [(failure.node, repr(failure.error), failure.attempts) for failure in caught.value.failures]

    @property
    def started(self) -> list[str]:
        return [event.node for event in self.events if isinstance(event, NodeStart)]

    @property
    def ended(self) -> dict[str, str]:
        return {event.node: event.outcome for event in self.events if isinstance(event, NodeEnd)}


class ExecutorSuite:
    """Subclass it with the fixture `executor`."""

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        raise NotImplementedError

    @pytest.fixture
    def log(self, executor: Executor) -> Log:
        return Log(executor)

    def test_a_diamond(self, log: Log) -> None:
        tasks = [
            task("end", lambda left, right: left + right, "left", "right"),
            task("left", lambda top: top + 1, "top"),
            task("right", lambda top, given: top * given, "top", "given"),
            task("top", lambda: 10),
        ]
        assert log.run(tasks, "end", "given", given={"given": 3}) == {"end": 41, "given": 3}
        assert sorted(log.started) == ["end", "left", "right", "top"]
        assert log.ended == dict.fromkeys(log.started, "done")

    def test_nothing_to_do(self, log: Log) -> None:
        assert log.run([], "given", given={"given": 3}) == {"given": 3}

    def test_a_chain_of_5000(self, log: Log) -> None:
        tasks = [task("n0", lambda: 0)]
        tasks += [task(f"n{i}", lambda **kwargs: sum(kwargs.values()) + 1, f"n{i - 1}") for i in range(1, 5000)]
        assert log.run(tasks, "n4999") == {"n4999": 4999}

    def test_1000_side_by_side(self, log: Log) -> None:
        tasks = [task(f"n{i}", lambda: 1) for i in range(1000)]
        tasks.append(task("end", lambda **kwargs: sum(kwargs.values()), *(f"n{i}" for i in range(1000))))
        assert log.run(tasks, "end") == {"end": 1000}

    def test_a_branch_is_finished_before_the_next_is_begun(self, log: Log) -> None:
        tasks = [
            task(f"{step}{i}", lambda **_: 1, *([] if step == "a" else [f"a{i}"])) for step in "ab" for i in range(9)
        ]
        tasks.append(task("end", lambda **_: 1, *(f"b{i}" for i in range(9))))
        log.run(tasks, "end")
        waiting = [sum(name[0] == "a" for name in log.started[: place + 1]) for place in range(18)]
        begun = log.started.index("b0")
        assert waiting[begun] <= 2 * log.executor.slots

    @pytest.mark.parametrize("retry", [ONCE, RetryConfig(attempts=2, wait="1ms")])
    def test_values_are_freed_after_their_last_consumer(self, log: Log, retry: RetryConfig) -> None:
        made: list[weakref.ref[Big]] = []
        freed: dict[str, bool] = {}

        def big() -> Big:
            value = Big()
            made.append(weakref.ref(value))
            return value

        def kept(big: Big, one: int) -> int:
            freed["while needed"] = made[0]() is None
            return one

        def end(two: int) -> int:
            freed["afterwards"] = eventually(lambda: made[0]() is None)
            return two

        tasks = [
            task("big", big, retry=retry),
            task("one", lambda big: 1, "big", retry=retry),
            task("two", kept, "big", "one", retry=retry),
            task("end", end, "two", retry=retry),
        ]
        gc.disable()  # a value must not wait for it
        try:
            assert log.run(tasks, "end") == {"end": 1}
        finally:
            gc.enable()
        assert freed == {"while needed": False, "afterwards": True}

    def test_a_wanted_value_is_kept(self, log: Log) -> None:
        assert log.run([task("a", lambda: 1), task("b", lambda a: a + 1, "a")], "a", "b") == {"a": 1, "b": 2}

    def test_after_a_failure_nothing_new_starts(self, log: Log) -> None:
        tasks = [task("bad", lambda: 1 / 0), task("next", lambda bad: 1, "bad")]
        tasks += [task(f"n{i}", lambda: time.sleep(0.01)) for i in range(50)]
        assert log.failures(tasks, "next", *(f"n{i}" for i in range(50))) == [
            ("bad", "ZeroDivisionError('division by zero')", 1)
        ]
        assert log.started[0] == "bad"
        assert len(log.started) <= 2 * log.executor.slots
        assert log.ended == {**dict.fromkeys(log.started, "done"), "bad": "failed"}

    @pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit("panic"), DataError("no")])
    def test_whatever_a_node_raises_is_its_failure(self, log: Log, error: BaseException) -> None:
        def bad() -> None:
            raise error

        assert log.failures([task("bad", bad)], "bad") == [("bad", repr(error), 1)]

    def test_a_failed_node_is_tried_again(self, log: Log) -> None:
        calls: list[int] = []

        def flaky(x: int) -> int:
            calls.append(x)
            if len(calls) < 3:
                raise ConnectionResetError("again")
            return len(calls)

        retry = RetryConfig(attempts=5, wait="1ms", errors=["ConnectionError"])
        assert log.run([task("flaky", flaky, "x", retry=retry)], "flaky", given={"x": 7}) == {"flaky": 3}
        assert calls == [7, 7, 7]
        assert [event.attempts for event in log.events if isinstance(event, NodeEnd)] == [3]

    def test_the_last_attempt_is_the_failure(self, log: Log) -> None:
        retry = RetryConfig(attempts=3, wait="1ms")
        assert log.failures([task("bad", lambda: 1 / 0, retry=retry)], "bad") == [
            ("bad", "ZeroDivisionError('division by zero')", 3)
        ]

    @pytest.mark.parametrize(
        ("error", "errors"), [(ValueError("no"), ["ConnectionError", "TimeoutError"]), (DataError("no"), ["Exception"])]
    )
    def test_other_errors_and_bad_data_are_not_tried_again(self, log: Log, error: Exception, errors: list[str]) -> None:
        def bad() -> None:
            raise error

        retry = RetryConfig(attempts=3, wait="1ms", errors=errors)
        assert log.failures([task("bad", bad, retry=retry)], "bad") == [("bad", repr(error), 1)]

    def test_consumers_get_what_finish_gives(self, executor: Executor) -> None:
        threads: set[int] = set()

        def finish(node: str, value: int) -> int:
            threads.add(threading.get_ident())
            return value * 10 if node == "a" else value

        log = Log(executor, finish=finish)
        tasks = [task("a", lambda: 1), task("b", lambda a: a + 1, "a")]
        assert log.run(tasks, "a", "b") == {"a": 10, "b": 11}
        assert threads == {threading.get_ident()}

    def test_what_finish_raises_is_the_nodes_failure(self, executor: Executor) -> None:
        def finish(node: str, value: int) -> int:
            raise DataError(f"{node} is bad")

        log = Log(executor, finish=finish)
        assert log.failures([task("a", lambda: 1), task("b", lambda a: a, "a")], "b") == [
            ("a", "DataError('a is bad')", 1)
        ]
        assert log.ended == {"a": "failed"}

    def test_a_stop_starts_nothing_new(self, executor: Executor) -> None:
        log = Log(executor)

        def before() -> None:
            if len(log.started) == 5:
                raise Interrupted(signal.SIGTERM)

        log.before = before
        with pytest.raises(Interrupted) as caught:
            log.run([task(f"n{i}", lambda: 1) for i in range(50)], "n0")
        assert caught.value.exit_code == 143
        assert log.started == [f"n{i}" for i in range(5)]
        assert log.ended.items() <= dict.fromkeys(log.started, "done").items()

    def test_an_interrupt_inside_a_node(self, log: Log) -> None:
        def bad() -> None:
            raise KeyboardInterrupt

        with pytest.raises(Interrupted) as caught:
            log.run([task("bad", bad), task("next", lambda bad: 1, "bad")], "next")
        assert (caught.value.exit_code, log.started) == (130, ["bad"])

    @pytest.mark.parametrize("retry", [ONCE, RetryConfig(attempts=2, wait="1ms")])
    def test_parameters_of_any_name(self, log: Log, retry: RetryConfig) -> None:
        names = ("self", "fn", "call", "node", "function", "arguments", "done", "args", "kwargs", "retry")
        given = dict.fromkeys(names, 1)
        function = eval(f"lambda {', '.join(names)}: {' + '.join(names)}")
        assert log.run([task("end", function, *names, retry=retry)], "end", given=given) == {"end": len(names)}
