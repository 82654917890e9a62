"""How one staging pass coerces rows, computes their checks beside them and splits the good from the bad."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from flowpipe.contract import REFUSED, differences, sample, text_casts
from flowpipe.errors import ConfigError, Problem
from flowpipe.rules import (
    CHECKS,
    ROW,
    Barrier,
    DataType,
    OnInvalid,
    RowCheck,
    barriers,
    fields,
    first_line,
    is_coerced,
    load,
    missing,
    row_checks,
    run_barrier,
    unsupported,
)

__all__ = ["NO_AUDIT", "Audit", "Audited", "Barrier", "Barriered", "compile_schema", "unsupported"]

Schema = Mapping[str, pl.DataType]
_INVALID = "__flowpipe_invalid"
_RAW = "__flowpipe_raw_"
_LOST = "__flowpipe_lost_"
_FLAG = "__flowpipe_flag_"


@dataclass(frozen=True)
class Audited:
    """Rows with their checks beside them; whatever of it is collected in one query is computed once.

    `columns` are the data columns in order, `altered` those that coercion or a default may have changed.
    """

    frame: pl.LazyFrame
    columns: tuple[str, ...]
    altered: frozenset[str]
    checks: tuple[RowCheck, ...]

    @property
    def all(self) -> pl.LazyFrame:
        """Every row, coerced."""
        return self.frame.select(self.columns)

    @property
    def good(self) -> pl.LazyFrame:
        """The rows that failed nothing, coerced."""
        return self.frame.filter(~pl.col(_INVALID)).select(self.columns)

    @property
    def bad(self) -> pl.LazyFrame:
        """The other rows as they came, before coercion and defaults, and in `CHECKS` the list of what they failed."""
        names = [pl.when(check.failed).then(pl.lit(check.name)) for check in self.checks if not check.advisory]
        failed = pl.concat_list(names).list.drop_nulls() if names else pl.lit(None, pl.List(pl.String))
        rows = [pl.col(_RAW + name if name in self.altered else name).alias(name) for name in self.columns]
        return self.frame.filter(_INVALID).select(*rows, failed.alias(CHECKS))

    @property
    def counts(self) -> pl.LazyFrame:
        """One row: `rows`, `invalid` (rows that failed any check), and how many failed each (see `Counts.of`)."""
        failed = [check.failed.sum().alias(check.name) for check in self.checks]
        return self.frame.select(pl.len().alias("rows"), pl.col(_INVALID).sum().alias("invalid"), *failed)


@dataclass(frozen=True)
class Barriered:
    """What the barriers found in staged rows.

    `failed` counts failing rows by check, `invalid` the rows that failed any (under `fail` and `warn` the sum over
    checks, which is never too low), `whole_failures` says what failed without naming rows. `good` and `bad` split the
    rows under `quarantine`; while `invalid` is 0 the staged files are the good rows.
    """

    failed: Mapping[str, int]
    invalid: int
    whole_failures: tuple[str, ...]
    good: pl.LazyFrame
    bad: pl.LazyFrame


@dataclass(frozen=True)
class Audit:
    """Pandera's schema (none: every row passes) and what becomes of rows that are not as it says."""

    schema: Any = None
    on_invalid: OnInvalid = "fail"

    @property
    def declared(self) -> tuple[tuple[str, str], ...]:
        """The columns that the schema names, or patterns of names, each with its type."""
        columns = {} if self.schema is None else self.schema.columns
        return tuple((name, str(column.dtype or "any type")) for name, column in columns.items())

    def schema_problems(self, schema: Schema) -> list[str]:
        """How columns and types differ from what is declared, and checks that cannot run on them; reads no row."""
        if self.schema is None:
            return []
        if found := differences(self.schema, schema):
            return found
        parsed = _parse(self.schema, sample(schema), schema)
        together = [check.failed.alias(str(number)) for number, check in enumerate(parsed.checks)]
        try:
            parsed.frame.select(together).collect()
        except REFUSED:
            return list(_not_computable(parsed))
        return []

    def way_out(self, schema: Schema) -> str:
        """What to do about the problems of a schema."""
        written = ", ".join(text_casts(self.schema, schema)) if self.schema is not None else ""
        return f"return the columns that the schema declares{f'; cast text: {written}' if written else ''}"

    def apply(self, lf: pl.LazyFrame, schema: Schema) -> Audited:
        """Coerce, fill in defaults and compute every row check beside the rows; `schema` has no problems."""
        parsed = _parse(self.schema, lf, schema)
        flags = {f"{_FLAG}{number}": check for number, check in enumerate(parsed.checks)}
        fatal = [flag for flag, check in flags.items() if not check.advisory]
        # One cache under all branches: a source that is not deterministic would put a row into both good and bad.
        frame = (
            parsed.frame.with_columns(check.failed.alias(flag) for flag, check in flags.items())
            .with_columns((pl.any_horizontal(fatal) if fatal else pl.lit(False)).alias(_INVALID))
            .cache()
        )
        computed = tuple(replace(check, failed=pl.col(flag)) for flag, check in flags.items())
        return Audited(frame, tuple(parsed.types), parsed.altered, computed)

    def barriers(self, columns: Iterable[str]) -> tuple[Barrier, ...]:
        """What must be checked on staged rows of these columns; mostly nothing."""
        return () if self.schema is None else tuple(barriers(self.schema, list(columns)))

    def check_staged(self, lf: pl.LazyFrame) -> Barriered:
        """Check the barriers on staged rows: every row, or under `quarantine` those that passed the row checks.

        `lf` scans files: it must give the same rows in the same order each time.
        """
        rows = lf.select(pl.len()).collect().item()
        found = [(barrier, run_barrier(barrier, lf, rows)) for barrier in self.barriers(lf.collect_schema().names())]
        failed = {barrier.name: failing.rows for barrier, failing in found}
        whole = tuple(f"{barrier.name}: {failing.whole}" for barrier, failing in found if failing.whole)
        fatal = [(barrier, failing) for barrier, failing in found if failing.rows and not barrier.advisory]
        if self.on_invalid != "quarantine" or not fatal:
            invalid = min(rows, sum(failing.rows for _, failing in fatal))
            return Barriered(
                failed, invalid, whole, lf, lf.clear().with_columns(pl.lit(None, pl.List(pl.String)).alias(CHECKS))
            )
        indexes = [
            failing.where.with_columns(pl.lit(barrier.name).alias(CHECKS))
            for barrier, failing in fatal
            if failing.where is not None
        ]
        bad = pl.concat(indexes).group_by(ROW).agg(pl.col(CHECKS).sort()).collect()
        numbered = lf.with_row_index(ROW)
        split = [
            numbered.join(bad.lazy(), on=ROW, how=how, maintain_order="left").drop(ROW) for how in ("anti", "inner")
        ]
        return Barriered(failed, bad.height, whole, *split)


NO_AUDIT = Audit()


def compile_schema(schema: object, *, on_invalid: OnInvalid) -> Audit:
    """The audit of a `pandera.polars` DataFrameModel class or DataFrameSchema.

    Raises:
        ConfigError: it is neither, or it asks for what `unsupported` lists.
    """
    if problems := unsupported(schema):
        told = (problem.rpartition("; ") for problem in problems)
        raise ConfigError(Problem(what, None, hint) for what, _, hint in told)
    return Audit(load(schema), on_invalid)


@dataclass(frozen=True)
class _Parsed:
    """Rows as Pandera has them before its checks; `types` are the data columns in order."""

    frame: pl.LazyFrame
    types: Schema
    altered: frozenset[str] = frozenset()
    checks: tuple[RowCheck, ...] = ()


def _not_computable(parsed: _Parsed) -> Iterator[str]:
    for check in parsed.checks:
        try:
            parsed.frame.select(check.failed).collect()
        except REFUSED as error:
            yield f"{check.name} cannot be computed: {first_line(error)}"


def _parse(declared: Any, lf: pl.LazyFrame, schema: Schema) -> _Parsed:
    """Filter columns, coerce, fill in defaults and add missing columns, as Pandera does before it checks."""
    if declared is None:
        return _Parsed(lf, schema)
    present = dict(fields(declared, schema))
    types = {name: dtype for name, dtype in schema.items() if declared.strict != "filter" or name in present}
    targets = {name: column.dtype.type for name, column in present.items() if is_coerced(declared, column)}
    casts = {name: target for name, target in targets.items() if target != types[name]}
    filled = {name: column for name, column in present.items() if column.default is not None}
    added = dict(missing(declared, schema)) if declared.add_missing_columns else {}
    altered = casts.keys() | filled.keys()
    frame = lf.with_columns(
        *(pl.col(name).alias(_RAW + name) for name in altered),
        *(_is_lost(name, types[name], target).alias(_LOST + name) for name, target in casts.items()),
        *(pl.col(name).cast(target, strict=False) for name, target in casts.items()),
    ).with_columns(
        *(_filled(name, targets.get(name, types[name]), column) for name, column in filled.items()),
        *(_default(column).alias(name) for name, column in added.items()),
    )
    types |= casts | {name: column.dtype.type if column.dtype else pl.Null() for name, column in added.items()}
    if added:
        order = [name for name in declared.columns if name in types]
        types = {name: types[name] for name in [*order, *(name for name in types if name not in order)]}
    lost = {name: pl.col(_LOST + name) for name in casts}
    return _Parsed(frame, types, frozenset(altered), tuple(row_checks(declared, types, lost, schema)))


def _default(column: Any) -> pl.Expr:
    dtype = None if column.dtype is None else column.dtype.type
    return column.default if isinstance(column.default, pl.Expr) else pl.lit(column.default, dtype)


def _filled(name: str, dtype: DataType, column: Any) -> pl.Expr:
    value = pl.col(name)
    return (value.fill_nan(_default(column)) if dtype.is_float() else value).fill_null(_default(column))


def _is_lost(name: str, source: DataType, target: DataType) -> pl.Expr:
    """Where a cast made a NULL of a value, at any depth of it."""
    value = pl.col(name)
    return _nulls(value, source).ne_missing(_nulls(value.cast(target, strict=False), target))


def _nulls(value: pl.Expr, dtype: DataType) -> pl.Expr:
    """How many NULLs there are at the leaves of a value."""
    match dtype:
        case pl.List():
            return value.list.eval(_nulls(pl.element(), dtype.inner)).list.sum()
        case pl.Array():
            return _nulls(value.arr.to_list(), pl.List(dtype.inner))
        case pl.Struct():
            return pl.sum_horizontal(_nulls(value.struct.field(field.name), field.dtype) for field in dtype.fields)
    return value.is_null().cast(pl.UInt32)
