"""How frames of each kind are taken apart into Arrow memory that can be shared, and made again on it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from flowpipe import frames

# So many pieces cost more one by one than copied into one.
_MOST_CHUNKS = 64
_NEWEST = pl.CompatLevel.newest()


def _reduce_eager(frame: pl.DataFrame) -> tuple[Any, ...]:
    if not frame.width:
        return _no_columns, (frame.height,)
    if "Object" in str(frame.dtypes):
        return _objects, ([list(column) for column in frame], frame.schema)
    try:
        table = frame.to_arrow(compat_level=_NEWEST)
    except pa.ArrowInvalid:  # pyarrow does not know integers of 128 bits
        return pl.read_ipc_stream, (_ipc(frame),)
    texts = sum(dtype in {pl.String, pl.Binary} for dtype in frame.dtypes) * 16 * frame.height
    if _is_part(table, frame.estimated_size() + texts) or frame.n_chunks() > _MOST_CHUNKS:
        # Polars writes only the texts that are seen, pyarrow all that they were cut out of.
        return _streamed, (_ipc(frame),)
    return _eager, (table,)


def _reduce_table(table: Any) -> Any:
    if not _is_part(table, table.nbytes):
        return NotImplemented
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return _read, (pickle.PickleBuffer(sink.getvalue()),)


def _is_part(table: Any, size: float) -> bool:
    """Whether a table stands on much more memory than it shows: a slice would take all of it along."""
    return bool(table.get_total_buffer_size() > 1.5 * size + 65536)


def _ipc(frame: pl.DataFrame) -> pickle.PickleBuffer:
    file = io.BytesIO()
    frame.write_ipc_stream(file, compat_level=_NEWEST)
    return pickle.PickleBuffer(file.getbuffer().toreadonly())


def _read(memory: Any) -> Any:
    return pa.ipc.open_stream(pa.py_buffer(memory)).read_all()


def _eager(table: Any) -> Any:
    return pl.from_arrow(table, rechunk=False)


def _streamed(memory: Any) -> Any:
    return _eager(_read(memory))


def _no_columns(height: int) -> pl.DataFrame:
    return pl.DataFrame(height=height)


def _objects(columns: list[list[Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([pl.Series(name, values, schema[name]) for name, values in zip(schema, columns, strict=True)])


def _series(frame: pl.DataFrame, name: str) -> pl.Series:
    return frame.to_series().alias(name)


def _batch(table: Any) -> Any:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _reader(table: Any) -> Any:
    return table.to_reader()


def _reduce_reader(reader: Any) -> tuple[Any, ...]:
    return _reader, (frames.to_table(reader),)


def _reduce_relation(relation: Any) -> tuple[Any, ...]:
    return frames.to_relation, (frames.to_table(relation),)


def _reduce_series(series: pl.Series) -> tuple[Any, ...]:
    return _series, (series.to_frame(), series.name)


def _reduce_batch(batch: Any) -> tuple[Any, ...]:
    return _batch, (pa.Table.from_batches([batch]),)


# What `pickle` is to call instead, by kind of frame or by class.
REDUCERS: Mapping[Any, Callable[[Any], Any]] = {
    "eager": _reduce_eager,
    "arrow": _reduce_table,
    "reader": _reduce_reader,
    "relation": _reduce_relation,
    pl.Series: _reduce_series,
    pa.RecordBatch: _reduce_batch,
}
