"""How an exception reaches another process whole: class, text, traceback, causes, or what is nearest to it."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import cloudpickle


class RemoteError(Exception):
    """Stands for an exception that cannot leave its process; its class has the name and builtin kin of the original.

    `names` are the dotted names of the original's class and of those that it is made of, nearest first.
    """

    names: tuple[str, ...] = ()

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class TravellingError:
    """An exception as it travels; each of its causes for itself, so that one bad one spoils no other."""

    pickled: bytes | None
    names: tuple[str, ...]
    text: str
    traceback: bytes
    notes: tuple[str, ...] = ()
    cause: TravellingError | None = None
    of_context: TravellingError | None = None
    suppresses: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """An exception of this process; the frame that caught it is left out of its traceback."""
        return cls._of(error, skip=1, seen=frozenset())

    @classmethod
    def _of(cls, error: BaseException, skip: int, seen: frozenset[int]) -> Self:
        seen |= {id(error)}
        cause, before = (
            None if other is None or id(other) in seen else cls._of(other, 0, seen)
            for other in (error.__cause__, error.__context__)
        )
        return cls(
            pickled=_pickled(error),
            names=tuple(f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.") for kind in _kin(error)),
            text=str(error),
            traceback=_traceback(error, skip),
            notes=tuple(map(str, getattr(error, "__notes__", ()))),
            cause=cause,
            of_context=None if error.__context__ is error.__cause__ else before,
            suppresses=error.__suppress_context__,
        )

    def error(self) -> BaseException:
        """The exception again, or a `RemoteError` like it."""
        error = self._own()
        error.__traceback__ = cloudpickle.loads(self.traceback)
        error.__cause__ = self.cause.error() if self.cause else None
        error.__context__ = self.of_context.error() if self.of_context else error.__cause__
        error.__suppress_context__ = self.suppresses
        if self.notes:
            error.__notes__ = list(self.notes)
        return error

    def _own(self) -> BaseException:
        if self.pickled is not None:
            try:
                found: BaseException = cloudpickle.loads(self.pickled)
                return found
            except Exception:  # noqa: BLE001, S110 - this process cannot have its class: the stand-in follows
                pass
        return _stand_in(self.names, self.text)


def _kin(error: BaseException) -> list[type]:
    return [kind for kind in type(error).__mro__ if kind is not object]


def _pickled(error: BaseException) -> bytes | None:
    """The exception without causes, in the first way that gives the same again: many classes pickle wrongly."""
    ways: tuple[Callable[[BaseException], Any], ...] = (lambda each: each, _Called, _Bare)
    for way in ways:
        try:
            data: bytes = cloudpickle.dumps(way(error), protocol=5)
            again = cloudpickle.loads(data)
            if type(again) is type(error) and str(again) == str(error):
                return data
        except Exception:  # noqa: BLE001, S112 - whatever a class of the user's raises; the next way is tried
            continue
    return None


class _Called:
    """Pickles as an exception that is made again of its arguments, whatever others have made of its pickling."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self._error), self._error.args, vars(self._error) or None


class _Bare:
    """Pickles as an exception that is made again without its `__init__`, which may want other arguments."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self._error), self._error.args, vars(self._error))


def _made(kind: type[BaseException], arguments: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(state)
    return error


def _traceback(error: BaseException, skip: int) -> bytes:
    from tblib import Traceback

    found = error.__traceback__
    for _ in range(skip):
        found = found.tb_next if found and found.tb_next else found
    data: bytes = cloudpickle.dumps(_Frames(Traceback(found).as_dict()) if found else None)
    return data


@dataclass(frozen=True)
class _Frames:
    """Unpickles as a traceback."""

    frames: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        return _frames_again, (self.frames,)


def _frames_again(frames: dict[str, Any]) -> Any:
    from tblib import Traceback

    return Traceback.from_dict(frames).as_traceback()


def _stand_in(names: tuple[str, ...], text: str) -> RemoteError:
    kin = next((kind for kind in map(_builtin, names) if kind), Exception)
    module, _, own = names[0].rpartition(".")
    body = {"names": names, "__module__": module or "builtins"}
    for bases in ((RemoteError, kin), (RemoteError,)):
        try:
            made: RemoteError = type(own, bases, body)(text)
        except TypeError:  # some builtins do not mix, or want more arguments
            continue
        return made
    raise AssertionError(names)


def _builtin(name: str) -> type[BaseException] | None:
    found = vars(builtins).get(name)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
