"""What runs when, and what goes from node to node, on every executor."""

from __future__ import annotations

import threading

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowpipe.executors import Executor
from flowpipe.running import RetryConfig
from flowpipe.testing.tasks import ONCE, ExecutorTests, Log, task


class OrderSuite(ExecutorTests):
    """See `ExecutorSuite`."""

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

    def test_consumers_get_what_finish_gives(self, executor: Executor) -> None:
        threads: set[int] = set()  # of finish, which runs in the driver

        def finish(node: str, value: int) -> int:
            threads.add(threading.get_ident())
            return value * 10 if node == "a" else value

        log = Log(executor, finish=finish, finishes={"a", "b"})
        tasks = [task("a", lambda: 1), task("b", lambda a: a + 1, "a")]
        assert log.run(tasks, "a", "b") == {"a": 10, "b": 11}
        assert threads == {threading.get_ident()}

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

    @pytest.mark.parametrize("retry", [ONCE, RetryConfig(attempts=2, wait="1ms")])
    def test_parameters_of_any_name(self, log: Log, retry: RetryConfig) -> None:
        names = ("self", "fn", "call", "node", "function", "arguments", "done", "args", "kwargs", "retry")
        given = dict.fromkeys(names, 1)
        function = eval(f"lambda {', '.join(names)}: {' + '.join(names)}")
        assert log.run([task("end", function, *names, retry=retry)], "end", given=given) == {"end": len(names)}
