"""What two states of a dataset have not in common: columns, rows by key or as a multiset, and examples of each.

Both sides stream: of each row only its key and a digest are kept, whole rows only of those that differ. (2026-11: 4M
rows of 12 columns on either side take 0.5 GB beside the process, a join of them 2.5 GB; so would two queries by one
`collect_all`, which share their scans and buffer them.) NULL equals NULL and NaN equals NaN. A column whose type
differs is compared in the type that holds both; where there is none (a list and a date), its values are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from flowpipe.errors import UsageError, unknown
from flowpipe.stop import interruptibly

_OLD, _NEW, _SIGN = "__flowpipe_old", "__flowpipe_new", "__flowpipe_sign"
_DIGEST, _CHANGED = "__flowpipe_digest", "__flowpipe_changed"
_LONGEST = 100


@dataclass(frozen=True)
class Column:
    """A column that is not the same: its types, None where it is not there; `compared`: whether its values were."""

    name: str
    old: pl.DataType | None
    new: pl.DataType | None
    compared: bool = False


@dataclass(frozen=True)
class ChangedRow:
    """One row by its key: the values of the columns that changed, the old and the new one."""

    key: Mapping[str, Any]
    values: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Difference:
    """All that differs; without a `key`, a changed row is one removed and one added.

    `changed_columns` are the numbers of changed rows by column; `examples` are the first rows, by key.
    """

    key: tuple[str, ...]
    columns: tuple[Column, ...]
    old_rows: int
    new_rows: int
    added: int
    removed: int
    changed: int
    changed_columns: Mapping[str, int]
    added_examples: pl.DataFrame
    removed_examples: pl.DataFrame
    changed_examples: tuple[ChangedRow, ...]

    @property
    def same(self) -> int:
        return self.old_rows - self.removed - self.changed

    def __bool__(self) -> bool:
        return bool(self.columns or self.added or self.removed or self.changed)


@dataclass(frozen=True)
class _Pair:
    """Two frames and the columns that are compared, in one type each."""

    old: pl.LazyFrame
    new: pl.LazyFrame
    columns: tuple[Column, ...]
    shared: tuple[str, ...]

    @property
    def digest(self) -> pl.Expr:
        """64 bits that stand for a row: the same for equal values, also for NULL, NaN and both zeros."""
        return pl.struct(self.shared).hash().alias(_DIGEST)

    @classmethod
    def of(cls, old: pl.LazyFrame, new: pl.LazyFrame) -> _Pair:
        before, after = old.collect_schema(), new.collect_schema()
        both = {name: _type_of_both(before[name], dtype) for name, dtype in after.items() if name in before}
        columns = [
            Column(name, before.get(name), after.get(name), compared=both.get(name) is not None)
            for name in dict.fromkeys([*after, *before])
            if before.get(name) != after.get(name)
        ]
        casts = [pl.col(name).cast(dtype) for name, dtype in both.items() if dtype is not None]
        shared = tuple(name for name, dtype in both.items() if dtype is not None)
        return cls(old.select(casts), new.select(casts), tuple(columns), shared)


def compare(old: pl.LazyFrame, new: pl.LazyFrame, key: Sequence[str], examples: int) -> Difference:
    """Compare by `key`; without one, rows as wholes.

    Raises:
        UsageError: a column of the key is not in both, or two rows have the same key.
    """
    pair = _Pair.of(old, new)
    if strange := [name for name in key if name not in pair.shared]:
        raise UsageError.of(unknown("column of the key:", name, pair.shared) for name in strange)
    identity = list(key) or [_DIGEST]
    sides = [
        frame.select(*key, pair.digest, pl.lit(sign).alias(_SIGN)) for frame, sign in ((pair.old, -1), (pair.new, 1))
    ]
    digests = pl.col(_DIGEST)
    grouped = pl.concat(sides).group_by(identity if key else digests).agg(
        (pl.col(_SIGN) < 0).sum().cast(pl.Int64).alias(_OLD),
        (pl.col(_SIGN) > 0).sum().cast(pl.Int64).alias(_NEW),
        *([(digests.min() != digests.max()).alias(_CHANGED)] if key else [pl.lit(value=False).alias(_CHANGED)]),
    )  # fmt: skip
    is_twin = (pl.col(_OLD) > 1) | (pl.col(_NEW) > 1) if key else pl.lit(value=False)
    differs = is_twin | (pl.col(_OLD) != pl.col(_NEW)) | pl.col(_CHANGED)
    found = _collected(grouped.filter(differs))
    _refuse_twins(found.filter(is_twin), key)
    return _Found(pair, identity, found).told(examples)


@dataclass(frozen=True)
class _Found:
    """What differs by its identity: the key, or the digest of the whole row."""

    pair: _Pair
    identity: list[str]
    found: pl.DataFrame

    def told(self, examples: int) -> Difference:
        surplus = self.found[_NEW] - self.found[_OLD]
        changed = self.found.filter(pl.col(_CHANGED) & (pl.col(_NEW) == pl.col(_OLD)))
        by_column, changed_rows = self._changes(changed, examples)
        return Difference(
            key=() if self.identity == [_DIGEST] else tuple(self.identity),
            columns=self.pair.columns,
            old_rows=_collected(self.pair.old.select(pl.len())).item(),
            new_rows=_collected(self.pair.new.select(pl.len())).item(),
            added=int(surplus.clip(lower_bound=0).sum()),
            removed=int((-surplus).clip(lower_bound=0).sum()),
            changed=changed.height,
            changed_columns=by_column,
            added_examples=self._first(self.pair.new, self.found.filter(surplus > 0), examples),
            removed_examples=self._first(self.pair.old, self.found.filter(surplus < 0), examples),
            changed_examples=changed_rows,
        )

    def _few(self, found: pl.DataFrame, number: int) -> pl.LazyFrame:
        # Not lazily: a join holds the side in memory that it takes for the smaller one.
        return found.select(self.identity).sort(self.identity).head(number).lazy()

    def _first(self, frame: pl.LazyFrame, found: pl.DataFrame, number: int) -> pl.DataFrame:
        """Whole rows of some of what was found; of rows without a key one of each."""
        rows = frame.with_columns(self.pair.digest) if self.identity == [_DIGEST] else frame
        few = rows.join(self._few(found, number), on=self.identity, how="semi", nulls_equal=True)
        return _collected(few.unique(self.identity).sort(self.identity).select(self.pair.shared))

    def _changes(self, changed: pl.DataFrame, number: int) -> tuple[dict[str, int], tuple[ChangedRow, ...]]:
        """How many changed rows differ in each column, and the first of them."""
        if changed.is_empty():
            return {}, ()
        key, others = self.identity, [name for name in self.pair.shared if name not in self.identity]

        def joined(which: pl.LazyFrame) -> pl.LazyFrame:
            old, new = (
                frame.join(which, on=key, how="semi", nulls_equal=True).select(*key, pl.struct(others).alias(side))
                for frame, side in ((self.pair.old, _OLD), (self.pair.new, _NEW))
            )
            both = old.join(new, on=key, nulls_equal=True)
            differing = [_field(_OLD, name).ne_missing(_field(_NEW, name)).alias(name) for name in others]
            return both.with_columns(pl.struct(differing).alias(_CHANGED))

        every = joined(changed.lazy().select(key))
        counts = _collected(every.select(_field(_CHANGED, name).sum() for name in others))
        rows = _collected(joined(self._few(changed, number)).sort(key))
        by_column = {name: number for name, number in counts.row(0, named=True).items() if number}
        return by_column, tuple(_changed(row, key) for row in rows.iter_rows(named=True))


def _refuse_twins(twins: pl.DataFrame, key: Sequence[str]) -> None:
    """Say no to a key that several rows of one side have."""
    for row in twins.sort(key).head(1).iter_rows(named=True):
        times, side = max((row[_OLD], "old"), (row[_NEW], "new"))
        value = ", ".join(f"{name}={row[name]}" for name in key)[:_LONGEST]
        text = f"the key ({', '.join(key)}) does not tell rows apart: {times:,} rows of the {side} side have {value}"
        raise UsageError(text, hint="name more columns: --key a,b; or none, to compare whole rows: --key ''")


def _collected(frame: pl.LazyFrame) -> pl.DataFrame:
    return interruptibly(frame.collect)


def _field(side: str, name: str) -> pl.Expr:
    return pl.col(side).struct.field(name)


def _changed(row: Mapping[str, Any], key: Sequence[str]) -> ChangedRow:
    names = [name for name, differs in row[_CHANGED].items() if differs]
    return ChangedRow({name: row[name] for name in key}, {name: (row[_OLD][name], row[_NEW][name]) for name in names})


def _type_of_both(old: pl.DataType, new: pl.DataType) -> pl.DataType | None:
    """The type that holds the values of both; None: there is none.

    >>> _type_of_both(pl.Int32(), pl.Float64()), _type_of_both(pl.Datetime("us", "UTC"), pl.Datetime("us"))
    (Float64, String)
    """
    if old == new:
        return new
    if old.is_nested() != new.is_nested():
        return None
    try:
        empty = [pl.LazyFrame(schema={"": dtype}) for dtype in (old, new)]
        found = pl.concat(empty, how="vertical_relaxed").collect_schema()[""]
    except pl.exceptions.PolarsError:
        found = pl.String()
    return None if old.is_nested() and not found.is_nested() else found
