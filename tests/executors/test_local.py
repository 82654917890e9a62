"""The executors of the driver's own process: the suite, and what only they promise."""

from __future__ import annotations

import contextvars
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flowpipe import executors, loading
from flowpipe.config import Configuration, RetryConfig
from flowpipe.errors import ConfigError
from flowpipe.executors import Executor, Site
from flowpipe.executors.local import Sync, SyncOptions, Threads, ThreadsOptions
from flowpipe.executors.retry import errors_named
from flowpipe.executors.scheduler import Scheduler
from flowpipe.executors.task import NodesFailed, Watch
from flowpipe.importer import Importer
from flowpipe.testing import ExecutorSuite
from flowpipe.testing.tasks import ONCE, Log, task
from flowpipe.validation import MalformedError

SITE = Site("run", Path("scratch"), Importer("_flowpipe_none", {}))


class Big:
    """A value that can be watched."""


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether something becomes true; threads may hold a reference a moment longer than the driver."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


class LocalSuite(ExecutorSuite):
    """What only executors in the driver's own process promise: values are handed on as they are."""

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


class TestSync(LocalSuite):
    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        executor = Sync(SyncOptions(), SITE)
        yield executor
        executor.close()

    def test_nodes_run_in_order_in_the_drivers_thread(self, log: Log) -> None:
        tasks = [task(f"n{i}", threading.get_ident) for i in range(5)]
        assert log.run(tasks, "n0", "n4") == dict.fromkeys(["n0", "n4"], threading.get_ident())
        assert log.started == [f"n{i}" for i in range(5)]


class TestThreads(LocalSuite):
    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        executor = Threads(ThreadsOptions(workers=3), SITE)
        yield executor
        executor.close()

    def test_independent_nodes_run_at_the_same_time(self, log: Log) -> None:
        barrier = threading.Barrier(3, timeout=60)
        tasks = [task(f"n{i}", barrier.wait) for i in range(3)]
        assert sorted(log.run(tasks, "n0", "n1", "n2").values()) == [0, 1, 2]

    def test_no_more_than_the_workers_run_at_once(self, log: Log) -> None:
        now: list[int] = []
        most: list[int] = []

        def count() -> None:
            now.append(1)
            most.append(len(now))
            threading.Event().wait(0.001)
            now.pop()

        log.run([task(f"n{i}", count) for i in range(60)], "n0")
        assert max(most) <= 3

    def test_running_nodes_end_after_a_failure_and_theirs_is_noted(self, log: Log) -> None:
        started, failed = threading.Barrier(3, timeout=60), threading.Event()

        def bad() -> None:
            started.wait()
            raise ValueError("first")

        def also_bad() -> None:
            started.wait()
            assert failed.wait(60)
            raise ValueError("second")

        def good() -> int:
            started.wait()
            assert failed.wait(60)
            return 1

        def tell(event: object) -> None:
            if isinstance(event, executors.NodeEnd) and event.node == "bad":
                failed.set()

        watch = Watch(lambda: None, lambda node, value: value, tell)
        tasks = [task("bad", bad), task("good", good), task("also_bad", also_bad), task("next", lambda: 1)]
        with pytest.raises(NodesFailed) as caught:
            Scheduler(log.executor).run(tasks, {}, ["next"], watch)
        assert [(f.node, str(f.error)) for f in caught.value.failures] == [("bad", "first"), ("also_bad", "second")]

    def test_context_variables_are_carried(self, log: Log) -> None:
        trace = contextvars.ContextVar("trace", default="none")
        trace.set("mine")
        assert log.run([task("a", trace.get)], "a") == {"a": "mine"}

    def test_there_are_at_least_four_workers_by_default(self) -> None:
        assert ThreadsOptions().workers >= 4


def configured(root: Path, executor: str) -> Configuration:
    for name, text in {
        "project.yml": "name: small\n",
        "catalog.yml": "{}\n",
        "profiles/dev.yml": f"stores: {{here: {{adapter: files, url: data}}}}\nexecutor: {executor}\n",
    }.items():
        (root / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "conf" / name).write_text(text)
    return loading.load(root)


class TestCreate:
    def test_the_built_in_ones_are_entry_points(self) -> None:
        assert {"sync", "threads"} <= set(executors.installed())

    @pytest.mark.parametrize(
        ("executor", "kind", "slots"),
        [("{type: sync}", Sync, 1), ("{type: threads, workers: 7}", Threads, 7)],
    )
    def test_by_name(self, tmp_path: Path, executor: str, kind: type, slots: int) -> None:
        configuration = configured(tmp_path, executor)
        assert executors.problems(configuration.executor, configuration) == ()
        with closing(executors.create(configuration.executor, configuration, SITE)) as made:
            assert (type(made), made.capacity.cpus) == (kind, slots)

    @pytest.mark.parametrize(
        ("executor", "lines"),
        [
            (
                "{type: thread}",
                [
                    'conf/profiles/dev.yml:2:18: unknown executor "thread"',
                    '  hint: did you mean "threads"? known: dask, processes, ray, sync, threads',
                ],
            ),
            (
                "{type: threads, worker: 4}",
                [
                    'conf/profiles/dev.yml:2:27: unknown key "worker"',
                    '  hint: did you mean "workers"? known: memory, workers',
                ],
            ),
            ("{type: threads, workers: 0}", ["conf/profiles/dev.yml:2:36: workers: 0 must be at least 1"]),
        ],
    )
    def test_problems(self, tmp_path: Path, executor: str, lines: list[str]) -> None:
        configuration = configured(tmp_path, executor)
        with pytest.raises(ConfigError) as caught:
            executors.create(configuration.executor, configuration, SITE)
        assert str(caught.value) == "\n".join(lines)
        assert executors.problems(configuration.executor, configuration) == caught.value.problems


class TestErrorsNamed:
    def test_builtins_and_dotted_names(self) -> None:
        import json

        assert errors_named(["OSError", "json.JSONDecodeError"]) == (OSError, json.JSONDecodeError)

    @pytest.mark.parametrize(
        ("name", "message", "hint"),
        [
            ("ConectionError", 'unknown exception "ConectionError"', 'did you mean "ConnectionError"?'),
            (
                "json.JSONDecodError",
                'unknown exception "json.JSONDecodError"',
                'did you mean "json.JSONDecodeError"? known: json.JSONDecodeError',
            ),
            ("json.dumps", 'unknown exception "json.dumps"', "known: json.JSONDecodeError"),
            ("zzyzx.Error", 'unknown exception "zzyzx.Error"', "No module named 'zzyzx'"),
        ],
    )
    def test_an_unknown_one(self, name: str, message: str, hint: str) -> None:
        with pytest.raises(MalformedError) as caught:
            errors_named([name])
        assert (str(caught.value), caught.value.hint) == (message, hint)
