"""How a staged Parquet file enters a Delta log: its path, its partition and the statistics that readers skip it by.

A wrong bound loses rows silently in every reader, and so does a missing one: delta-rs gives PyArrow (and through it
DuckDB) a bound of NULL for every column that should have statistics and has none. So a new table's property says which
columns have them: those whose bounds are always known. Floats are not among them, since footers leave NaN out. A file
that lacks one of those bounds all the same carries its number of rows and nothing else.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from flowpipe.adapters import StagedFile
from flowpipe.adapters.delta.folder import Folder
from flowpipe.errors import DataError, PublishError
from flowpipe.sinks import hive_folder

# Between two checkpoints every opening reads every entry; delta-rs' own interval is 100.
_CHECKPOINTS = {"delta.checkpointInterval": "10"}
TRACKED = "delta.dataSkippingStatsColumns"
# The property's grammar differs between writers for all other names, and one bad name voids the list.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TRACKABLE = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Boolean, pl.String, pl.Date, pl.Datetime, pl.Decimal)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_DAY = date.max.toordinal() - date(1970, 1, 1).toordinal()


def table_properties(schema: Mapping[str, pl.DataType], hive: Sequence[str]) -> dict[str, str | None]:
    """What a new table says of its statistics and its log."""
    names = [
        name
        for name, dtype in schema.items()
        if name not in hive and isinstance(dtype, _TRACKABLE) and _PLAIN.fullmatch(name)
    ]
    return {TRACKED: ",".join(names), **_CHECKPOINTS}


def add_action(
    file: StagedFile,
    folder: Folder,
    schema: Mapping[str, pl.DataType],
    properties: Mapping[str, str | None],
    required: set[str],
) -> AddAction:
    """The log's entry for one staged file; `schema` is that of the staged rows, `required` the columns without NULL.

    Raises:
        DataError: a value that the table does not allow.
        PublishError: the file is not what the stager said.
    """
    path = folder.relative(file.path)
    place = "/".join(f"{column}={hive_folder(value)}" for column, value in file.hive.items())
    if str(PurePosixPath(path).parent) != (place or "."):
        raise PublishError(f"the staged file {path} does not lie in the folder of its partition")
    for column, value in file.hive.items():
        if value in ("", hive_folder(None)):
            raise DataError(
                f'the partition column "{column}" holds "{value}", which Delta reads as NULL', hint="use another value"
            )
    with folder.fs.open(folder.path_of(file.path), "rb") as source:
        footer = pq.read_metadata(source)
    columns = {name: dtype for name, dtype in schema.items() if name not in file.hive}
    if dict(pl.Schema(footer.schema.to_arrow_schema())) != columns or footer.num_rows != file.rows:
        raise PublishError(f"the staged file {path} does not hold the columns and rows it should")
    nulls = {**null_counts(footer), **{column: int(value is None) for column, value in file.hive.items()}}
    for column in sorted(required & schema.keys()):
        if nulls.get(column) != 0:
            raise DataError(f'column "{column}" holds NULL, which the table does not allow')
    tracked = properties.get(TRACKED)
    stats = statistics(footer, columns.keys() if tracked is None else tracked.replace("`", "").split(","))
    return AddAction(path, file.bytes, dict(file.hive), int(time.time() * 1000), True, stats)


def null_counts(footer: pq.FileMetaData) -> dict[str, int]:
    """How often each top-level primitive is NULL, where the footer knows."""
    found = {name: _column(footer, leaf) for leaf, name, _ in _top_level(footer)}
    return {
        name: sum(item.null_count for item in groups)
        for name, groups in found.items()
        if all(item is not None and item.has_null_count for item in groups)
    }


def statistics(footer: pq.FileMetaData, tracked: Iterable[str]) -> str:
    """The statistics of one file as the log's JSON text; numbers are written out, so that decimals stay exact."""
    leaves = {name: (leaf, kind) for leaf, name, kind in _top_level(footer)}
    counts, lows, highs, nulls = null_counts(footer), [], [], []
    bare = f'{{"numRecords":{footer.num_rows}}}'
    for name in filter(footer.schema.to_arrow_schema().names.__contains__, tracked):
        if name not in counts:
            return bare
        key = json.dumps(name)
        nulls.append(f"{key}:{counts[name]}")
        if counts[name] == footer.num_rows:
            continue
        leaf, kind = leaves[name]
        bounds = _bounds(kind, [item for item in _column(footer, leaf) if item.num_values])
        if bounds is None:
            return bare
        lows.append(f"{key}:{bounds[0]}")
        highs.append(f"{key}:{bounds[1]}")
    parts = (("minValues", lows), ("maxValues", highs), ("nullCount", nulls))
    body = "".join(f',"{name}":{{{",".join(items)}}}' for name, items in parts)
    return f"{bare[:-1]}{body}}}"


def _column(footer: pq.FileMetaData, leaf: int) -> list[pq.Statistics]:
    return [footer.row_group(group).column(leaf).statistics for group in range(footer.num_row_groups)]


def _top_level(footer: pq.FileMetaData) -> Iterator[tuple[int, str, pa.DataType]]:
    """Every top-level primitive with the number of its leaf; a name would not do: "st.x" may be a column or a field."""
    leaf = 0
    for field in footer.schema.to_arrow_schema():
        if field.type.num_fields == 0:
            yield leaf, field.name, field.type
        leaf += _leaves(field.type)


def _leaves(kind: pa.DataType) -> int:
    return sum(_leaves(kind.field(i).type) for i in range(kind.num_fields)) if kind.num_fields else 1


def _bounds(kind: pa.DataType, found: list[pq.Statistics]) -> tuple[str, str] | None:
    """Least and greatest value as JSON text."""
    if not found or not all(item.has_min_max for item in found):
        return None
    if pa.types.is_integer(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _counted(kind, min(item.min_raw for item in found), max(item.max_raw for item in found))
    low, high = min(item.min for item in found), max(item.max for item in found)
    if pa.types.is_decimal(kind):
        return format(low, "f"), format(high, "f")
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        # Polars cuts bounds of text at 64 bytes, outward.
        return json.dumps(low), json.dumps(high)
    return None


def _counted(kind: pa.DataType, low: int, high: int) -> tuple[str, str] | None:
    """Integers, and what Parquet counts from 1970: days and microseconds."""
    if pa.types.is_integer(kind):
        return str(low), str(high)
    return _dates(low, high) if pa.types.is_date(kind) else _moments(low, high, zoned=kind.tz is not None)


def _dates(low: int, high: int) -> tuple[str, str] | None:
    """Days since 1970; years that Python's calendar lacks have no bound."""
    if low <= -date(1970, 1, 1).toordinal() or high > _LAST_DAY:
        return None
    first = date(1970, 1, 1)
    return f'"{first + timedelta(low)}"', f'"{first + timedelta(high)}"'


def _moments(low: int, high: int, *, zoned: bool) -> tuple[str, str] | None:
    """Microseconds since 1970 as whole milliseconds, outward: some readers cut what is finer, some do not."""
    try:
        ends = [_EPOCH + timedelta(milliseconds=end) for end in (low // 1000, -(-high // 1000))]
    except OverflowError:
        return None
    texts = [end.replace(tzinfo=None).isoformat(timespec="milliseconds") for end in ends]
    first, last = (f'"{text}{"Z" if zoned else ""}"' for text in texts)
    return first, last
