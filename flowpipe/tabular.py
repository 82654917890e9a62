"""How arrays and frames are hashed by their types and rows alone, not by how they lie in memory.

Chunks, padding, garbage under nulls and the codes of categories differ between processes for the same data. What is
not known to be free of that raises TypeError, ValueError or NotImplementedError.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

Of = Callable[[object], bytes]
"""The digest of a member, such as a column's name."""


def digest(tag: str, parts: Iterable[bytes | memoryview]) -> bytes:
    """The SHA-256 of a tagged sequence; members of varying length must be digests themselves."""
    found = hashlib.sha256(tag.encode() + b"\0")
    for part in parts:
        found.update(part)
    return found.digest()


def of_numpy(value: Any, of: Of) -> bytes:
    import numpy as np

    if type(value) is not np.ndarray and not isinstance(value, np.generic):
        raise TypeError(type(value))
    array = np.asarray(value)
    tag = f"{type(value).__name__} {array.dtype.str} {array.shape}"
    if array.dtype.kind == "O":
        return digest(tag, [of(array.tolist())])
    flat = np.ravel(array)
    if array.dtype.kind == "c":
        flat = flat.view(flat.real.dtype)
    if flat.dtype.kind == "f" and flat.dtype.itemsize <= 8:
        flat = np.where(np.isnan(flat), np.nan, flat)
    elif flat.dtype.kind not in "biumMSU":
        # Structures and long doubles have padding, whose bytes mean nothing.
        raise TypeError(array.dtype)
    return digest(tag, [flat.tobytes()])


def of_polars(value: Any, of: Of) -> bytes:
    import polars as pl

    if isinstance(value, pl.Series):
        return digest("polars.Series", [of(value.to_frame())])
    if not isinstance(value, pl.DataFrame | pl.LazyFrame):
        raise TypeError(type(value))
    frame = value.lazy().collect()
    types = repr(list(frame.schema.items()))
    if re.search(r"\bObject\b", types):
        # Arrow would be given the addresses of Python objects.
        raise TypeError(types)
    return digest("polars.DataFrame", [of(types), of(frame.height), _columns(frame.to_arrow())])


def of_pyarrow(value: Any, of: Of) -> bytes:
    import pyarrow as pa

    table = pa.Table.from_batches([value]) if isinstance(value, pa.RecordBatch) else value
    if not isinstance(table, pa.Table):
        raise TypeError(type(value))
    types = [(field.name, str(field.type), field.nullable) for field in table.schema]
    return digest("pyarrow.Table", [of(types), of(table.num_rows), _columns(table)])


def of_pandas(value: Any, of: Of) -> bytes:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if isinstance(value, pd.Timestamp | pd.Timedelta):
        return digest(type(value).__name__, [of(pd.Series([value]))])
    if isinstance(value, pd.Series):
        return digest("pandas.Series", [of(value.name), of(value.to_frame("values"))])
    if type(value) is not pd.DataFrame:
        raise TypeError(type(value))

    def column(series: Any) -> bytes:
        if series.dtype == object:
            return of(series.tolist())
        if isinstance(series.dtype, np.dtype):
            return of(series.to_numpy())
        if isinstance(series.dtype, pd.CategoricalDtype):
            categories = series.cat.categories
            return digest(str(series.cat.ordered), [column(categories.to_series()), of(series.cat.codes.to_numpy())])
        return digest(str(series.dtype), [_columns(pa.table({"": pa.array(series)}))])

    def columns(frame: Any) -> list[bytes]:
        # By position: labels may occur twice.
        return [column(frame.iloc[:, index]) for index in range(frame.shape[1])]

    labels = [of(value.columns.tolist()), of(list(value.columns.names)), of(list(value.index.names))]
    index = columns(value.index.to_frame(index=False, name=range(value.index.nlevels)))
    return digest("pandas.DataFrame", [of(list(value.shape)), *labels, *index, *columns(value)])


def _columns(table: Any) -> bytes:
    # One running hash per kind of buffer, so that chunks do not count.
    streams: dict[str, Any] = defaultdict(hashlib.sha256)
    for index, column in enumerate(table.columns):
        for chunk in column.chunks:
            _feed(_plain(chunk), str(index), streams)
    return digest("columns", (path.encode() + streams[path].digest() for path in sorted(streams)))


def _plain(array: Any) -> Any:
    import pyarrow as pa

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    return array.cast(pa.large_binary()) if _is_text(array.type) else array


def _feed(array: Any, path: str, streams: dict[str, Any]) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(array):
        return
    streams[f"{path} valid"].update(_fixed(array.is_valid()))
    kept = array.drop_null()
    if not len(kept):
        return
    if pa.types.is_struct(kept.type):
        for index, field in enumerate(kept.flatten()):
            _feed(_plain(field), f"{path}.{index}", streams)
    elif hasattr(kept.type, "value_field"):
        # Every kind of list, but not maps.
        streams[f"{path} length"].update(_fixed(pc.list_value_length(kept).cast(pa.int64())))
        _feed(_plain(kept.flatten()), f"{path}.0", streams)
    elif pa.types.is_large_binary(kept.type):
        _, offsets, data = kept.buffers()
        ends = np.frombuffer(offsets, np.int64)[kept.offset : kept.offset + len(kept) + 1]
        streams[f"{path} length"].update(_fixed(pc.binary_length(kept)))
        streams[f"{path} data"].update(memoryview(data or b"")[ends[0] : ends[-1]])
    else:
        streams[f"{path} data"].update(_fixed(kept))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return any(test(kind) for test in (*texts, types.is_binary, types.is_large_binary, types.is_binary_view))


def _fixed(array: Any) -> memoryview | bytes:
    """The bytes of an array without nulls whose values have one width; ValueError for any other layout."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_floating(array.type):
        numbers = array.to_numpy(zero_copy_only=False)
        return bytes(np.where(np.isnan(numbers), np.nan, numbers).tobytes())
    width = array.type.bit_width // 8
    return memoryview(array.buffers()[1])[array.offset * width : (array.offset + len(array)) * width]
