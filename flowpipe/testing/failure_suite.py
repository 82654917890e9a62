"""What becomes of nodes that fail, hang, or are given up, on every executor."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from flowpipe.errors import DataError, Interrupted
from flowpipe.executors import Executor, NodeEnd
from flowpipe.running import RetryConfig
from flowpipe.testing.tasks import ExecutorTests, Log, task


class FailureSuite(ExecutorTests):
    """See `ExecutorSuite`."""

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
        patience = self.patience

        def slow_at_first(one: int) -> int:
            if not (tmp_path / "tried").exists():
                (tmp_path / "tried").touch()
                time.sleep(2 * patience)
            return one + 1

        retry = RetryConfig(attempts=2, wait="1ms", errors=["TimeoutError"])
        tasks = [
            task("one", lambda: 1),
            task("slow", slow_at_first, "one", retry=retry, timeout=patience),
            task("end", lambda slow: slow + 1, "slow"),
        ]
        assert log.run(tasks, "end") == {"end": 3}
        assert [event.attempts for event in log.events if isinstance(event, NodeEnd)] == [1, 2, 1]

    def test_an_interrupt_inside_a_node(self, log: Log) -> None:
        def bad() -> None:
            raise KeyboardInterrupt

        with pytest.raises(Interrupted) as caught:
            log.run([task("bad", bad), task("next", lambda bad: 1, "bad")], "next")
        assert (caught.value.exit_code, log.started) == (130, ["bad"])
