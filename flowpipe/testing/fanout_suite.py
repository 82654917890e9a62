"""Nodes that run once per item of a list, on every executor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowpipe.executors import NodeStart
from flowpipe.executors.task import NodesFailed, Task
from flowpipe.testing.tasks import SETTINGS, ExecutorTests, Log, fan_out, total


class FanoutSuite(ExecutorTests):
    """See `ExecutorSuite`."""

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
