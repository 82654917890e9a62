"""An attempt always comes back from a worker, and its error reads the same as if it had been raised here."""

from __future__ import annotations

import json
import pickle
import threading
import traceback
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from tblib import pickling_support

from flowpipe.errors import ConfigError, DataError, FlowpipeError, Interrupted, NodeError, Problem, Where
from flowpipe.executors import Gathered, worker
from flowpipe.executors.travelling import RemoteError, TravellingError
from flowpipe.executors.values import pack, pack_function
from flowpipe.executors.worker import Ended, Job


def ran(function: Callable[..., Any], **arguments: Any) -> tuple[Ended, Any]:
    ended, packed = worker.run(pickle.loads(pickle.dumps(Job("x", pack_function("x", function), arguments))))
    return pickle.loads(pickle.dumps(ended)), packed and packed.unpack()


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def again(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        sent = TravellingError.of(raised)
    found: BaseException = pickle.loads(pickle.dumps(sent)).error()
    return found


class Wants(Exception):
    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code


class Doubles(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(f"bad {name}")


class Holds(ConnectionError):
    def __init__(self) -> None:
        super().__init__("the line is dead")
        self.lock = threading.Lock()


class Grumpy(UnicodeDecodeError):
    def __init__(self, *parts: Any, wants: bool) -> None:
        del wants
        super().__init__(*parts)

    def __reduce__(self) -> Any:
        raise ValueError("never")


class TestRun:
    def test_a_value(self) -> None:
        ended, value = ran(lambda a, b, c: [a, b, c], a=pack(1), b=Gathered((pack(2), pack(3))), c="plain")
        assert (value, ended.error, ended.rows, ended.warning) == ([1, [2, 3], "plain"], None, None, None)
        assert ended.worker.startswith("pid ")
        assert " on " in ended.worker

    def test_time_is_that_of_the_function(self) -> None:
        waited = threading.Event()
        ended, _ = ran(lambda: __import__("time").sleep(0.05))
        assert not waited.is_set()
        assert 0.05 <= ended.seconds < 5

    def test_rows_and_warning(self) -> None:
        assert ran(lambda: pl.DataFrame({"a": [1, 2]}))[0].rows == 2

        def locked(frame: pl.DataFrame) -> pl.DataFrame:
            return frame

        def lazy() -> pl.LazyFrame:
            lock = threading.Lock()
            return pl.LazyFrame({"a": [1]}).map_batches(lambda frame: locked(frame) if lock else frame)

        assert str(ran(lazy)[0].warning).startswith("its LazyFrame cannot travel as a plan (")

    def test_what_cannot_travel_is_the_nodes_error(self) -> None:
        ended, _ = ran(lambda: (n for n in [1]))
        assert ended.error is not None
        error = ended.error.error()
        assert isinstance(error, NodeError)
        assert str(error) == (
            "node x gives a generator, which cannot travel to another process\n"
            "  hint: return a list or a frame, or run it with `executor: {type: threads}`"
        )

    def test_as_a_result(self) -> None:
        ended, value = ran(lambda: 1)
        result = ended.result(value)
        assert (result.value, result.error, result.worker) == (1, None, ended.worker)
        failed = ran(raising(KeyError("a")))[0].result("never seen")
        assert (failed.value, repr(failed.error)) == (None, "KeyError('a')")


class TestErrors:
    @pytest.mark.parametrize(
        "error",
        [
            ValueError("text"),
            KeyError("a"),
            OSError(2, "No such file", "x.csv"),
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad byte"),
            json.JSONDecodeError("odd", "{", 1),
            KeyboardInterrupt(),
            SystemExit(3),
            ExceptionGroup("many", [ValueError("one")]),
            pl.exceptions.ColumnNotFoundError("b"),
            Wants(7, reason="why"),
            Doubles("name"),
        ],
        ids=lambda error: type(error).__name__,
    )
    @pytest.mark.parametrize("others", [False, True])
    def test_they_are_the_same_again(self, error: BaseException, others: bool) -> None:
        if others:  # as Dask does, for all that pickles in its process
            pickling_support.install(type(error))
        found = again(error)
        assert (type(found), str(found), repr(found)) == (type(error), str(error), repr(error))
        assert vars(found).get("code") == vars(error).get("code")

    @pytest.mark.parametrize(
        ("error", "kin", "text"),
        [
            (Holds(), ConnectionError, "the line is dead"),
            (
                Grumpy("utf-8", b"\xff", 0, 1, "bad byte", wants=True),
                UnicodeDecodeError,
                "'utf-8' codec can't decode byte 0xff in position 0: bad byte",
            ),
        ],
        ids=["lock", "reduce"],
    )
    def test_a_stand_in_reads_like_the_original(self, error: BaseException, kin: type, text: str) -> None:
        found = again(error)
        assert isinstance(found, RemoteError)
        assert isinstance(found, kin)
        assert (type(found).__name__, str(found)) == (type(error).__name__, text)
        assert found.names[:2] == (f"{__name__}.{type(error).__name__}", kin.__name__)
        assert traceback.format_exception_only(found)[-1].endswith(f"{type(error).__name__}: {text}\n")

    def test_a_class_that_this_process_lacks(self) -> None:
        from dataclasses import replace

        sent = replace(TravellingError.of(Doubles("x")), pickled=b"cnowhere\nGone\n.")
        assert (type(sent.error()).__name__, str(sent.error())) == ("Doubles", "bad x")

    def test_the_traceback_begins_in_the_function(self) -> None:
        def inner() -> None:
            raise ValueError("deep")

        def outer() -> None:
            inner()

        ended, _ = ran(outer)
        assert ended.error is not None
        frames = traceback.extract_tb(ended.error.error().__traceback__)
        assert [(frame.filename, frame.name) for frame in frames] == [(__file__, "outer"), (__file__, "inner")]

    def test_causes_come_along_each_for_itself(self) -> None:
        def fail() -> None:
            try:
                raise Holds
            except Holds as lost:
                try:
                    raise KeyError("k") from lost
                except KeyError:
                    raise ValueError("last")  # noqa: B904

        ended, _ = ran(fail)
        assert ended.error is not None
        error = ended.error.error()
        assert (repr(error), repr(error.__context__)) == ("ValueError('last')", "KeyError('k')")
        assert error.__context__ is not None
        assert str(error.__context__.__cause__) == "the line is dead"
        assert not error.__suppress_context__

    def test_notes(self) -> None:
        error = Holds()
        error.add_note("a note")
        assert again(error).__notes__ == ["a note"]
        plain = ValueError()
        plain.add_note("a note")
        assert again(plain).__notes__ == ["a note"]

    def test_an_error_that_is_its_own_context(self) -> None:
        one, other = ValueError("one"), ValueError("other")
        one.__context__, other.__context__ = other, one
        assert str(again(one).__context__) == "other"

    @pytest.mark.parametrize(
        "error",
        [
            FlowpipeError("message", where=Where("a.yml", 1, 2), hint="do"),
            DataError.of([Problem("one"), Problem("two", hint="do")]),
            ConfigError([Problem("b", Where("b.yml", 1)), Problem("a", Where("a.yml", 1))]),
            Interrupted(15),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_flowpipes_own(self, error: FlowpipeError) -> None:
        for found in (again(error), pickle.loads(pickle.dumps(error))):
            assert type(found) is type(error)
            assert isinstance(found, FlowpipeError)
            assert (str(found), found.problems, found.exit_code) == (str(error), error.problems, error.exit_code)

    def test_secrets_stay(self) -> None:
        error = DataError("no route to hunter2")
        error.hide(lambda text: text.replace("hunter2", "***"))
        data = pickle.dumps(error)
        assert b"hunter2" not in data
        assert pickle.loads(data).redact("x") == "x"


class TestTrace:
    def test_spans_hang_below_the_drivers(self) -> None:
        tracer = TracerProvider().get_tracer("test")

        def parent() -> int:
            return trace.get_current_span().get_span_context().trace_id

        with tracer.start_as_current_span("node") as span:
            carrier = worker.trace_parent()
        assert set(carrier) == {"traceparent"}
        _, packed = worker.run(Job("x", pack_function("x", parent), {}, carrier))
        assert packed is not None
        assert packed.unpack() == span.get_span_context().trace_id
        assert trace.get_current_span().get_span_context().trace_id == 0

    def test_nothing_where_nobody_traces(self) -> None:
        assert worker.trace_parent() == {}
