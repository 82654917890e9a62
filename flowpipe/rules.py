"""What a Pandera schema asks of rows and columns, read from Pandera's own objects; only this file imports Pandera.

Its built-in checks become Polars expressions, made by Pandera's own functions so that their meaning is Pandera's.
What no expression can say of a single row (uniqueness, checks the user wrote) is a barrier, run on staged rows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import polars as pl

DataType = pl.DataType | pl.datatypes.DataTypeClass
OnInvalid = Literal["fail", "quarantine", "warn"]
# Private names: a dataset may have a column `checks` of its own.
CHECKS = "__flowpipe_checks"
ROW = "__flowpipe_row"
_LENGTH = "__flowpipe_length"
_LONGEST_LABEL = 80


@dataclass(frozen=True)
class RowCheck:
    """A check of single rows: `failed` is True where the row fails, never NULL; an advisory one only warns."""

    name: str
    failed: pl.Expr
    advisory: bool = False


@dataclass(frozen=True)
class Barrier:
    """A check that needs staged rows: that columns are unique together, or a Pandera check of a column or the frame."""

    name: str
    unique: tuple[str, ...] = ()
    check: Any = None
    column: str | None = None
    advisory: bool = False


@dataclass(frozen=True)
class Failing:
    """How many staged rows fail a barrier and their indexes (a column `ROW`), or what failed without naming rows."""

    rows: int
    where: pl.LazyFrame | None = None
    whole: str | None = None


_Named = TypeVar("_Named", RowCheck, Barrier)


def load(schema: object) -> Any:
    """Pandera's DataFrameSchema of a `pandera.polars` model class or schema.

    Raises:
        ValueError: it is something else, or a model that Pandera does not build.
    """
    import pandera.polars as pa

    if isinstance(schema, pa.DataFrameSchema):
        return schema
    if isinstance(schema, type) and issubclass(schema, pa.DataFrameModel):
        model: Any = schema
        try:
            return model.to_schema()
        except Exception as error:
            text = f"{model.__name__} is not a usable schema: {first_line(error).rstrip('.')}; "
            raise ValueError(text + "annotate each column with a type that Pandera knows") from error
    kind = schema if isinstance(schema, type) else type(schema)
    said = f"the class {kind.__name__}" if schema is kind else f"of type {kind.__name__}"
    foreign = any(cls.__module__.startswith("pandera.") for cls in kind.__mro__)
    raise ValueError(
        f"not a Pandera DataFrameModel or DataFrameSchema for Polars, it is {said}; "
        + ("import pandera.polars instead" if foreign else "name one that is made with pandera.polars")
    )


def unsupported(schema: object) -> list[str]:
    """What a schema asks for that Pandera would ignore on Polars, or that no row can be held to: "what; what to do"."""
    try:
        declared = load(schema)
    except ValueError as error:
        return [str(error)]
    config = getattr(schema, "__config__", None)
    multiindex = [
        name for name in ("coerce", "name", "strict", "unique") if getattr(config, f"multiindex_{name}", None)
    ]
    asked = {
        "an index means nothing on Polars; declare a column": declared.index is not None,
        "a dtype for the whole frame is not supported; give each column its own": declared.dtype is not None,
        "on_missing_columns has no effect on Polars; remove it": declared.on_missing_columns,
        **{f"multiindex_{name} means nothing on Polars; remove it": True for name in multiindex},
        **_ignored(declared),
    }
    found = [message for message, is_asked in asked.items() if is_asked]
    found += [message for check in declared.checks for message in _unsupported_check(check)]
    for name, column in declared.columns.items():
        asked = {
            f"{type(column.dtype).__name__} coerces in a way of its own; cast it in the pipeline": _coerces_oddly(
                declared, column
            ),
            **_ignored(column),
        }
        messages = [message for message, is_asked in asked.items() if is_asked]
        messages += [message for check in column.checks for message in _unsupported_check(check)]
        found += [f"{name}: {message}" for message in messages]
    return found


def _ignored(component: Any) -> dict[str, bool]:
    """What a schema and a column can ask for in vain, and whether this one does."""
    return {
        "drop_invalid_rows would lose rows in silence; use on_invalid: quarantine": component.drop_invalid_rows,
        "parsers are not supported on Polars; transform in the pipeline": bool(component.parsers),
        "report_duplicates has no effect; remove it: duplicates are all rejected": component.report_duplicates != "all",
    }


def _coerces_oddly(declared: Any, column: Any) -> bool:
    from pandera.engines.polars_engine import DataType, Decimal

    return is_coerced(declared, column) and type(column.dtype).coerce not in (DataType.coerce, Decimal.coerce)


def _unsupported_check(check: Any) -> Iterator[str]:
    from pandera.polars import Check

    if not isinstance(check, Check):
        yield f"{type(check).__name__} is not supported on Polars; use a Check"
    elif check.groupby is not None:
        yield f"{_label(check)} groups by columns, which Pandera ignores on Polars; write a check of the frame"


def fields(declared: Any, columns: Iterable[str]) -> list[tuple[str, Any]]:
    """Each column that is there with Pandera's Column for it; a pattern does not govern columns declared by name."""
    names = list(columns)
    found = []
    for key, column in declared.columns.items():
        if not column.regex:
            found += [(key, column)] if key in names else []
            continue
        found += [(name, column) for name in names if re.fullmatch(key, name) and not _is_named(declared, name)]
    return found


def missing(declared: Any, columns: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The columns that are declared by name and required, and not there."""
    for name, column in declared.columns.items():
        if column.required and not column.regex and name not in columns:
            yield name, column


def is_coerced(declared: Any, column: Any) -> bool:
    """Whether values of the column are made to fit its type."""
    return column.dtype is not None and (declared.coerce or column.coerce)


def _is_named(declared: Any, name: str) -> bool:
    return name in declared.columns and not declared.columns[name].regex


def unique_sets(declared: Any) -> list[tuple[str, ...]]:
    """The sets of columns that the schema as a whole wants unique together."""
    unique = declared.unique or []
    sets = [unique] if all(isinstance(name, str) for name in unique) else unique
    return [tuple(names) for names in sets if names]


def row_checks(
    declared: Any, types: Mapping[str, DataType], lost: Mapping[str, pl.Expr], original: Iterable[str]
) -> list[RowCheck]:
    """The checks of single rows, in the order of the schema, over coerced columns of these `types`.

    `lost` is, for each coerced column, where a value did not fit its type: there no other check of the column is made.
    Columns that are not `original` were added with their defaults, which Pandera does not check.
    """
    found = []
    for name, column in fields(declared, original):
        here = []
        if name in lost:
            found.append(RowCheck(f"{name}: coerce {column.dtype}", lost[name]))
        if not column.nullable:
            here.append(RowCheck(f"{name}: not_nullable", _is_null(name, types[name])))
        fused = [check for check in column.checks if _is_fused(check)]
        here += [RowCheck(f"{name}: {_label(check)}", _fails(check, [name]), check.raise_warning) for check in fused]
        found += [replace(check, failed=check.failed & ~lost[name]) if name in lost else check for check in here]
    for check in declared.checks:
        if _is_fused(check):
            found.append(RowCheck(f"every column: {_label(check)}", _fails(check, list(types)), check.raise_warning))
    return _distinct(found)


def barriers(declared: Any, columns: Sequence[str]) -> list[Barrier]:
    """The checks that need staged rows of these columns, in the order of the schema."""
    found = []
    for name, column in fields(declared, columns):
        found += [Barrier(f"{name}: unique", unique=(name,))] if column.unique else []
        found += [_barrier(f"{name}: ", check, name) for check in column.checks if not _is_fused(check)]
    found += [Barrier(f"unique({', '.join(names)})", unique=names) for names in unique_sets(declared)]
    found += [_barrier("", check, None) for check in declared.checks if not _is_fused(check)]
    return _distinct(found)


def _barrier(prefix: str, check: Any, column: str | None) -> Barrier:
    return Barrier(prefix + _label(check), check=check, column=column, advisory=check.raise_warning)


def run_barrier(barrier: Barrier, lf: pl.LazyFrame, rows: int) -> Failing:
    """Check a barrier on staged rows, of which there are `rows`."""
    return _repeated(lf, barrier.unique) if barrier.unique else _run_check(barrier, lf, rows)


def _repeated(lf: pl.LazyFrame, columns: Sequence[str]) -> Failing:
    """The rows whose values occur more than once; NULLs are equal. Nothing but the groups is held in memory."""
    repeated = lf.group_by(columns).len(name=_LENGTH).filter(pl.col(_LENGTH) > 1)
    count = repeated.select(pl.col(_LENGTH).sum()).collect().item()
    numbered = lf.select(columns).with_row_index(ROW)
    return Failing(count, numbered.join(repeated, on=columns, how="semi", nulls_equal=True).select(ROW))


def _run_check(barrier: Barrier, lf: pl.LazyFrame, rows: int) -> Failing:
    from pandera.constants import CHECK_OUTPUT_KEY

    # Pandera's own functions collect the whole frame they are given.
    frame = lf.select(barrier.column) if barrier.column and _builtin(barrier.check) else lf
    try:
        result = barrier.check(frame, barrier.column)
        passed = result.check_output.collect()[CHECK_OUTPUT_KEY]
    except Exception as error:  # noqa: BLE001 - a check is the user's code and may raise anything
        return Failing(0, whole=f"raised {type(error).__name__}: {first_line(error)}")
    if result.failure_cases is not None and len(passed) == rows:
        return Failing(int((~passed).sum()), pl.LazyFrame({ROW: (~passed).arg_true()}))
    if len(passed) != 1:
        return Failing(0, whole=f"returned {len(passed):,} values for {rows:,} rows")
    if passed[0]:
        return Failing(0)
    return Failing(rows) if barrier.advisory else Failing(0, whole="failed for the rows as a whole")


class _Recorder:
    """Stands in for a frame, so that a check function of Pandera's hands over its expression."""

    def select(self, expression: pl.Expr) -> pl.Expr:
        return expression


def _builtin(check: Any) -> Any:
    """Pandera's function behind a built-in check, or None."""
    from pandera.api.function_dispatch import Dispatcher
    from pandera.backends.polars import builtin_checks

    function = check._check_fn
    return getattr(builtin_checks, function.__name__) if isinstance(function, Dispatcher) else None


def _is_fused(check: Any) -> bool:
    builtin = _builtin(check)
    return builtin is not None and not check.element_wise and builtin.__name__ != "unique_values_eq"


def _fails(check: Any, columns: Sequence[str]) -> pl.Expr:
    """Where a built-in check fails in any of the columns; NULL fails only with `ignore_na=False`."""
    from pandera.api.polars.types import PolarsData

    builtin = _builtin(check)
    passed = [builtin(PolarsData(_Recorder(), name), **check._check_kwargs) for name in columns]
    return pl.all_horizontal(passed).not_().fill_null(not check.ignore_na)


def _is_null(name: str, dtype: DataType) -> pl.Expr:
    value = pl.col(name)
    return value.is_null() | value.is_nan().fill_null(False) if dtype.is_float() else value.is_null()


def _label(check: Any) -> str:
    """What people call a check: the text they gave it, Pandera's for a built-in one, or the function's name."""
    label = str(check.error or check.name)
    return label if len(label) <= _LONGEST_LABEL else f"{label[:_LONGEST_LABEL]}…"


def _distinct(named: Iterable[_Named]) -> list[_Named]:
    """The same with a number added to every name that came before."""
    seen: dict[str, int] = {}
    found = []
    for each in named:
        seen[each.name] = number = seen.get(each.name, 0) + 1
        found.append(replace(each, name=f"{each.name} ({number})") if number > 1 else each)
    return found


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return str(error).strip().partition("\n")[0]
