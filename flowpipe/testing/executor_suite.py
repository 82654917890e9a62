"""What every executor must do; a test module subclasses `ExecutorSuite` and gives the executor."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowpipe.config import RetryConfig
from flowpipe.errors import DataError, Interrupted
from flowpipe.executors import Executor, NodeEnd, NodeProgress, NodeStart
from flowpipe.executors.retry import Policy
from flowpipe.executors.scheduler import Scheduler
from flowpipe.executors.task import NodesFailed, Settings, Task, Watch

ONCE = RetryConfig()


SETTINGS = Settings(Policy(ONCE))


def task(
    node: str, function: Callable[..., Any], *needs: str, retry: RetryConfig = ONCE, timeout: float | None = None
) -> Task:
    return Task(node, function, dict(zip(needs, needs, strict=True)), Settings(Policy(retry), timeout))


def total(both: list[int]) -> int:
    return sum(both)


def count(items: list[int]) -> int:
    return len(items)


def fan_out(items: Sequence[int]) -> list[Task]:
    """`score` and `both` once per item, `total` and `count` of all."""
    return [
        Task("items", lambda: list(items), {}, SETTINGS, expands=True),
        Task("score", lambda items, k: items * k, {"items": "items", "k": "k"}, SETTINGS, within="items"),
        Task("both", lambda score, item: score + item, {"score": "score", "item": "items"}, SETTINGS, within="items"),
        Task("total", total, {"both": "both"}, SETTINGS, collects="both"),
        Task("count", count, {"items": "items"}, SETTINGS, collects="items"),
    ]


@dataclass
class Log:
    """Runs tasks and keeps what was told."""

    executor: Executor
    events: list[NodeProgress] = field(default_factory=list)
    finish: Callable[[str, Any], Any] = lambda node, value: value
    before: Callable[[], None] = lambda: None
    finishes: Collection[str] = ()

    def run(self, tasks: Sequence[Task], *wanted: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        watch = Watch(self.before, self.finish, self._tell, self.finishes)
        return Scheduler(self.executor).run(tasks, given or {}, wanted, watch)

    def _tell(self, event: NodeProgress) -> None:
        self.events.append(replace(event, value=None) if isinstance(event, NodeEnd) else replace(event, arguments={}))

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
    """Subclass it with the fixture `executor`; `many` is how many nodes are many for it.

    Functions may run in other processes: they tell what they do by their values and by files.
    """

    many = 5000

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

    def test_a_long_chain(self, log: Log) -> None:
        tasks = [task("n0", lambda: 0)]
        tasks += [task(f"n{i}", lambda **kwargs: sum(kwargs.values()) + 1, f"n{i - 1}") for i in range(1, self.many)]
        last = self.many - 1
        assert log.run(tasks, f"n{last}") == {f"n{last}": last}

    def test_many_side_by_side(self, log: Log) -> None:
        wide = self.many // 5
        tasks = [task(f"n{i}", lambda: 1) for i in range(wide)]
        tasks.append(task("end", lambda **kwargs: sum(kwargs.values()), *(f"n{i}" for i in range(wide))))
        assert log.run(tasks, "end") == {"end": wide}

    def test_a_branch_is_finished_before_the_next_is_begun(self, log: Log) -> None:
        tasks = [
            task(f"{step}{i}", lambda **_: 1, *([] if step == "a" else [f"a{i}"])) for step in "ab" for i in range(9)
        ]
        tasks.append(task("end", lambda **_: 1, *(f"b{i}" for i in range(9))))
        log.run(tasks, "end")
        waiting = [sum(name[0] == "a" for name in log.started[: place + 1]) for place in range(18)]
        begun = log.started.index("b0")
        assert waiting[begun] <= 2 * log.executor.capacity.cpus

    def test_a_wanted_value_is_kept(self, log: Log) -> None:
        assert log.run([task("a", lambda: 1), task("b", lambda a: a + 1, "a")], "a", "b") == {"a": 1, "b": 2}

    def test_after_a_failure_nothing_new_starts(self, log: Log) -> None:
        tasks = [task("bad", lambda: 1 / 0), task("next", lambda bad: 1, "bad")]
        tasks += [task(f"n{i}", lambda: time.sleep(0.01)) for i in range(50)]
        assert log.failures(tasks, "next", *(f"n{i}" for i in range(50))) == [
            ("bad", "ZeroDivisionError('division by zero')", 1)
        ]
        assert log.started[0] == "bad"
        assert len(log.started) <= 2 * log.executor.capacity.cpus
        assert log.ended == {**dict.fromkeys(log.started, "done"), "bad": "failed"}

    @pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit("panic"), DataError("no")])
    def test_whatever_a_node_raises_is_its_failure(self, log: Log, error: BaseException) -> None:
        def bad() -> None:
            raise error

        assert log.failures([task("bad", bad)], "bad") == [("bad", repr(error), 1)]

    def test_a_failed_node_is_tried_again(self, log: Log, tmp_path: Path) -> None:
        def flaky(x: int) -> int:
            with (tmp_path / "calls").open("a") as calls:
                calls.write(f"{x}")
            count = (tmp_path / "calls").stat().st_size
            if count < 3:
                raise ConnectionResetError("again")
            return count

        retry = RetryConfig(attempts=5, wait="1ms", errors=["ConnectionError"])
        assert log.run([task("flaky", flaky, "x", retry=retry)], "flaky", given={"x": 7}) == {"flaky": 3}
        assert (tmp_path / "calls").read_text() == "777"
        assert log.started == ["flaky"]
        assert [event.attempts for event in log.events if isinstance(event, NodeEnd)] == [3]

    def test_others_run_while_one_waits_for_its_next_attempt(self, log: Log, tmp_path: Path) -> None:
        def flaky() -> int:
            if not (tmp_path / "other").exists():
                raise OSError("too early")
            return 1

        tasks = [
            task("flaky", flaky, retry=RetryConfig(attempts=200, wait="50ms")),
            task("other", (tmp_path / "other").touch),
        ]
        assert log.run(tasks, "flaky", "other") == {"flaky": 1, "other": None}

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
        threads: set[int] = set()  # of finish, which runs in the driver

        def finish(node: str, value: int) -> int:
            threads.add(threading.get_ident())
            return value * 10 if node == "a" else value

        log = Log(executor, finish=finish, finishes={"a", "b"})
        tasks = [task("a", lambda: 1), task("b", lambda a: a + 1, "a")]
        assert log.run(tasks, "a", "b") == {"a": 10, "b": 11}
        assert threads == {threading.get_ident()}

    def test_what_finish_raises_is_the_nodes_failure(self, executor: Executor) -> None:
        def finish(node: str, value: int) -> int:
            raise DataError(f"{node} is bad")

        log = Log(executor, finish=finish, finishes={"a"})
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

    def test_a_node_that_takes_too_long(self, log: Log, tmp_path: Path) -> None:
        def slow() -> int:
            time.sleep(1.5)
            (tmp_path / "slow").touch()
            return 1

        [(node, error, attempts)] = log.failures([task("slow", slow, timeout=0.3)], "slow")
        assert (node, error, attempts) == ("slow", "NodeTimeout('it took longer than its timeout of 0.3 s')", 1)
        if log.executor.isolated:  # the only ones that can stop it
            time.sleep(2)
            assert not (tmp_path / "slow").exists()

    def test_one_that_took_too_long_is_tried_again(self, log: Log, tmp_path: Path) -> None:
        def slow_at_first(one: int) -> int:
            if not (tmp_path / "tried").exists():
                (tmp_path / "tried").touch()
                time.sleep(3)
            return one + 1

        retry = RetryConfig(attempts=2, wait="1ms", errors=["TimeoutError"])
        tasks = [
            task("one", lambda: 1),
            task("slow", slow_at_first, "one", retry=retry, timeout=1.0),
            task("end", lambda slow: slow + 1, "slow"),
        ]
        assert log.run(tasks, "end") == {"end": 3}
        assert [event.attempts for event in log.events if isinstance(event, NodeEnd)] == [1, 2, 1]

    def test_a_fan_out(self, log: Log) -> None:
        assert log.run([*fan_out(range(60))], "total", "count", given={"k": 3}) == {
            "total": sum(range(60)) * 4,
            "count": 60,
        }
        assert {f"score[{i}]" for i in range(60)} | {f"both[{i}]" for i in range(60)} <= {*log.started}
        in_flight = 0
        for event in log.events:
            in_flight += 1 if isinstance(event, NodeStart) else -1
            assert in_flight <= log.executor.capacity.cpus

    def test_an_item_is_finished_before_the_next_is_begun(self, log: Log) -> None:
        log.run([*fan_out(range(20))], "total", given={"k": 3})
        started = [node for node in log.started if "[" in node]
        begun = [sum(node.startswith("score") for node in started[:place]) for place in range(len(started))]
        finished = [sum(node.startswith("both") for node in started[:place]) for place in range(len(started))]
        assert max(b - f for b, f in zip(begun, finished, strict=True)) <= log.executor.capacity.cpus + 1

    def test_a_fan_out_of_nothing(self, log: Log) -> None:
        assert log.run([*fan_out([])], "total", "count", given={"k": 3}) == {"total": 0, "count": 0}

    def test_a_fan_out_that_was_given(self, log: Log) -> None:
        tasks = [each for each in fan_out([]) if each.node != "items"]
        assert log.run(tasks, "total", "count", given={"k": 3, "items": [1, 2]}) == {"total": 12, "count": 2}

    def test_two_fan_outs_one_after_the_other(self, log: Log) -> None:
        def once(name: str, source: str) -> list[Task]:
            return [
                Task(name, lambda n: list(range(n)), {"n": source}, SETTINGS, expands=True),
                Task(f"{name}_one", lambda x, n: x + n, {"x": name, "n": source}, SETTINGS, within=name),
                Task(f"{name}_sum", total, {"both": f"{name}_one"}, SETTINGS, collects=f"{name}_one"),
            ]

        values = log.run(once("a", "n") + once("b", "a_sum"), "b_sum", given={"n": 3})
        assert values == {"b_sum": sum(range(12)) + 12 * 12}

    def test_the_item_of_a_failure_is_named(self, log: Log) -> None:
        tasks = fan_out([1, 2, 0, 3])
        tasks[1] = replace(tasks[1], function=lambda items, k: 1 / items)
        with pytest.raises(NodesFailed) as caught:
            log.run(tasks, "total", given={"k": 3})
        [failure] = [failure for failure in caught.value.failures if isinstance(failure.error, ZeroDivisionError)]
        assert (failure.node, failure.item) == ("score[2]", "0")

    def test_a_frame_goes_from_node_to_node(self, log: Log) -> None:
        frame = pl.DataFrame({"a": [3, 1, 2], "b": ["x", None, "z"]})
        tasks = [
            task("made", lambda: frame),
            task("lazy", lambda made: made.lazy().sort("a"), "made"),
            task("both", lambda made, lazy: {"rows": [made.height, lazy.collect().height]}, "made", "lazy"),
        ]
        values = log.run(tasks, "made", "lazy", "both")
        assert_frame_equal(values["made"], frame)
        assert_frame_equal(values["lazy"].collect(), frame.sort("a"))
        assert values["both"] == {"rows": [3, 3]}

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
