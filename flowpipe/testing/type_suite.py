"""Which values of which Polars types come back from a store: exactly, in the type that `storable` says, or not at all.

Nothing may be silently wrong. A column is refused by `storable`, or its values do not survive the cast to what that
says, or `publish` refuses them with a DataError; else what is read back equals the frame cast to `storable`'s types.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flowpipe.adapters import Dataset, Held
from flowpipe.errors import DataError
from flowpipe.testing import type_values
from flowpipe.testing.store import Store, StoreTests

_REFUSED = "refused"
_seen = itertools.count()


class TypeSuite(StoreTests):
    """The part of `AdapterSuite` that is about types."""

    def test_values_at_the_edges_of_every_type(self, store: Store) -> None:
        wrong = []
        for dtype, values in type_values.EDGES.items():
            told = self._told(store, {str(dtype): _numbered(type_values.column(dtype, [*values, None]))})
            # Each by itself, so that a value that is refused hides no other.
            alone = {f"{dtype} {value!r}": _numbered(type_values.column(dtype, [value])) for value in values}
            wrong += self._told(store, alone) if told else []
        _none(wrong)

    def test_types_within_types(self, store: Store) -> None:
        _none(self._told(store, {str(column.dtype): _numbered(column) for column in type_values.nested()}))

    def test_odd_column_names(self, store: Store) -> None:
        frames = {repr(name): pl.DataFrame({"n": [0, 1], name: ["x", None]}) for name in type_values.NAMES}
        _none(self._told(store, frames | {"a clash of case": pl.DataFrame({"n": [0], "a": [1], "A": [2]})}))

    def test_odd_shapes(self, store: Store) -> None:
        wide = pl.DataFrame({"n": [0, 1]} | {f"c{number}": [number, None] for number in range(1000)})
        frames = {
            "1,000 columns": wide,
            "no row": wide.select("n", "c1").clear(),
            "only NULL": pl.DataFrame({"n": [0, 1], "v": pl.Series([None, None], dtype=pl.Int64)}),
            "long values": pl.DataFrame({"n": [0, 1], "t": ["ü" * 2**19, "x"], "b": [b"\0" * 2**20, b""]}),
        }
        _none(self._told(store, frames))

    def test_any_values_of_any_types(self, store: Store) -> None:
        # No database of examples, and seeded: the same values on every machine.
        @settings(
            max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(st.lists(type_values.columns(), min_size=1, max_size=4))
        def check(columns: list[pl.Series]) -> None:
            height = min(map(len, columns))
            named = [column.head(height).alias(f"v{number}") for number, column in enumerate(columns)]
            frame = pl.DataFrame([pl.Series("n", range(height), dtype=pl.Int64), *named])
            _none(self._told(store, {str(frame.schema): frame}))

        check()

    def _told(self, store: Store, frames: Mapping[str, pl.DataFrame]) -> list[str]:
        """What each frame came to that was not exact; refusals begin with "refused"."""
        return [f"{problem}: {name}" for name, frame in frames.items() if (problem := self._problem(store, frame))]

    def _problem(self, store: Store, frame: pl.DataFrame) -> str | None:
        name = f"types{next(_seen)}"
        # Options of a format may be about the columns of other tests.
        dataset = Dataset(name, self._own(self.dataset().config, name).model_copy(update={"options": {}}))
        try:
            wanted = frame.cast(pl.Schema(store.adapter.storable(dataset, frame.schema)))
        except (DataError, pl.exceptions.PolarsError):
            return _REFUSED
        try:
            store.publish(dataset, frame)
        except DataError:
            return _REFUSED if store.held(dataset) == Held() else "a refused publish left its state"
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return f"{type(error).__name__}: {error}"[:300]
        return _difference(store.read(dataset), wanted)


def _difference(found: pl.DataFrame, wanted: pl.DataFrame) -> str | None:
    if "n" in found.columns:
        found = found.sort("n")
    try:
        assert_frame_equal(found, wanted, check_exact=True)
    except AssertionError as error:
        return str(error)[:400]
    return None


def _numbered(column: pl.Series) -> pl.DataFrame:
    """A column beside one that tells its order."""
    return pl.DataFrame([pl.Series("n", range(len(column)), dtype=pl.Int64), column.alias("v")])


def _none(told: Sequence[str]) -> None:
    """Fail with all that is wrong; a refusal is not."""
    wrong = [line for line in told if not line.startswith(_REFUSED)]
    if wrong:
        raise AssertionError("\n".join(wrong))
