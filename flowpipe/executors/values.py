"""What values become on their way between processes: a small pickle, and the memory of frames and arrays beside it.

Frames travel as Arrow and are not copied where the memory is shared. Pickling them would take seconds (FACTS).
"""

from __future__ import annotations

import io
import pickle
import re
import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsIndex

import cloudpickle
import polars as pl

from flowpipe import frames
from flowpipe.errors import NodeError
from flowpipe.executors.arrow import REDUCERS

# What is smaller stays in the pickle: a buffer of its own costs more than the copy.
_SMALL = 4096
# A plan holds the rows of `frame.lazy()` too, and Polars needs 12 s to write 300 MB of them and 17 s to read them.
_LONGEST_PLAN = 1_000_000


class Carried(ABC):
    """What stands for a value until a function needs it."""

    __slots__ = ()

    @abstractmethod
    def unpack(self) -> Any:
        """The value."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed(Carried):
    """A value as bytes: a pickle, and buffers that belong to it, which are not copied.

    Pickled with protocol 5 its memory stays outside the pickle again. `is_fixed` tells which buffers were read-only;
    what was not is writable after `unpack`, so that a function may change an array that it was given. `warning` is
    what the node's user should know.
    """

    data: Any
    buffers: tuple[Any, ...] = ()
    is_fixed: tuple[bool, ...] = ()
    rows: int | None = None
    warning: str | None = None

    @property
    def nbytes(self) -> int:
        return sum(memoryview(part).nbytes for part in (self.data, *self.buffers))

    def unpack(self) -> Any:
        """The value again; frames lie in the same memory."""
        buffers = (
            part if fixed or not memoryview(part).readonly else bytearray(part)
            for part, fixed in zip(self.buffers, self.is_fixed, strict=True)
        )
        return pickle.loads(self.data, buffers=buffers)  # noqa: S301 - made by a process of the same run

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        wrap: Callable[[Any], Any] = pickle.PickleBuffer if int(protocol) >= 5 else bytes
        parts = (wrap(self.data), tuple(map(wrap, self.buffers)))
        return Packed, (*parts, self.is_fixed, self.rows, self.warning)


class CannotTravel(Exception):
    """A value that no other process can have; the text says what it is."""


def pack(value: Any) -> Packed:
    """A value as bytes.

    Raises:
        CannotTravel: it is or holds something that belongs to this process, such as a lock or a generator.
    """
    file, kept = io.BytesIO(), list[memoryview]()

    def keep(buffer: pickle.PickleBuffer) -> bool:
        memory = buffer.raw()
        is_small = memory.nbytes < _SMALL
        if not is_small:
            kept.append(memory)
        return is_small

    pickler = _Pickler(file, 5, keep)
    try:
        pickler.dump(value)
    except Exception as error:
        raise CannotTravel(_what(value, error)) from error
    warning = "; ".join(dict.fromkeys(pickler.warnings)) or None
    fixed = tuple(memory.readonly for memory in kept)
    return Packed(file.getvalue(), tuple(kept), fixed, frames.rows_of(value), warning)


def pack_function(node: str, function: Callable[..., Any]) -> bytes:
    """A node's function as bytes; also a lambda, a closure, a partial.

    Raises:
        NodeError: it holds what cannot travel.
    """
    try:
        return _dumps(function)
    except Exception as error:
        raise NodeError(
            f"the function of node {node} is or holds {_what(function, error)}, which cannot travel to another process",
            hint="make it inside the function, or run it with `executor: {type: threads}`",
        ) from error


def pack_argument(node: str, name: str, value: Any) -> Packed:
    """What a node's function gets for a parameter, as bytes.

    Raises:
        NodeError: it cannot travel.
    """
    try:
        return pack(value)
    except CannotTravel as error:
        raise NodeError(
            f"node {node} gets {error} as {name}, which cannot travel to another process",
            hint="give it a list or a frame, or run it with `executor: {type: threads}`",
        ) from error


def pack_result(node: str, value: Any) -> Packed:
    """What a node's function gave, as bytes.

    Raises:
        NodeError: it cannot travel.
    """
    try:
        return pack(value)
    except CannotTravel as error:
        raise NodeError(
            f"node {node} gives {error}, which cannot travel to another process",
            hint="return a list or a frame, or run it with `executor: {type: threads}`",
        ) from error


def _dumps(value: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file, 5, lambda _: True).dump(value)
    return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle is untyped
    """Takes frames out of what it pickles, wherever they stand in it."""

    def __init__(self, file: io.BytesIO, protocol: int, keep: Callable[[pickle.PickleBuffer], bool]) -> None:
        super().__init__(file, protocol=protocol, buffer_callback=keep)
        self.warnings: list[str] = []

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.CodeType):
            made, arguments = self.dispatch_table[types.CodeType](obj)
            return _placed, (made, arguments, obj.co_filename)
        if isinstance(obj, types.FunctionType | type):
            return super().reducer_override(obj)
        if isinstance(obj, pl.LazyFrame):
            return self._reduce_lazy(obj)
        reduce = REDUCERS.get(frames.kind_of(type(obj)) or type(obj))
        return reduce(obj) if reduce else super().reducer_override(obj)

    def _reduce_lazy(self, frame: pl.LazyFrame) -> tuple[Any, ...]:
        plan = _Plan()
        try:
            frame.serialize(plan)
        except Exception as error:  # noqa: BLE001 - whatever a function in it raises when it is pickled
            if not plan.is_too_long:
                self._warn(str(error).strip().splitlines()[-1].removeprefix("error: python: "))
            return _lazy, (frames.collected(frame),)
        if b"__main__" in plan.getvalue():  # Polars names such a function, but each process has a main of its own
            self._warn("it has a function of __main__")
            return _lazy, (frames.collected(frame),)
        return _planned, (plan.getvalue(),)

    def _warn(self, reason: str) -> None:
        self.warnings.append(f"its LazyFrame cannot travel as a plan ({reason}), so its rows were computed")


class _Plan(io.BytesIO):
    """Takes a plan as long as it is short."""

    is_too_long = False

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > _LONGEST_PLAN:
            self.is_too_long = True
            raise OverflowError("the plan holds rows")
        return super().write(data)


def _placed(made: Callable[..., types.CodeType], arguments: tuple[Any, ...], file: str) -> types.CodeType:
    """Code that knows its file, which cloudpickle forgets: errors tell it."""
    return made(*arguments).replace(co_filename=file)


def _lazy(frame: pl.DataFrame) -> pl.LazyFrame:
    return frame.lazy()


def _planned(plan: bytes) -> pl.LazyFrame:
    return pl.LazyFrame.deserialize(io.BytesIO(plan))


def _what(value: Any, error: Exception) -> str:
    """What it is that cannot travel.

    >>> _what({}, TypeError("cannot pickle '_thread.lock' object")), _what({}, ValueError("odd"))
    ('a dict with a lock', 'a dict (ValueError: odd)')
    """
    own = type(value).__qualname__
    found = re.search(r"cannot pickle '([^']+)' object", str(error))
    if found is None:
        return f"a {own} ({type(error).__name__}: {error})"
    kind = found[1].rpartition(".")[2]
    return f"a {own}" if kind == own else f"a {own} with a {kind}"
