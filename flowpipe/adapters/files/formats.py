"""How rows become the bytes of each file format, and which options of Polars' readers and writers people may set."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from flowpipe.adapters.files import types
from flowpipe.errors import Problem, unknown

# What the adapter itself decides: where the bytes are, how they get there, and code, which YAML cannot hold.
_OURS = {
    "self", "source", "path", "file", "glob", "storage_options", "credential_provider", "mkdir", "lazy", "engine",
    "optimizations", "sync_on_close", "metadata", "sinked_paths_callback", "check_extension", "decryption",
    "encryption", "hidden_file_prefix", "with_column_names", "infer_schema_files", "arrow_schema", "retries",
}  # fmt: skip
_ADDED = ("row_index_name", "include_file_paths")
_TYPED = ("schema_overrides", "schema", "hive_schema")  # each a mapping of columns to types
_TYPE = re.compile(r"(\w+)(?:\(([^()]*)\))?")
# Of more fields than this Polars forgets the order: it is another one in each process.
_IN_ORDER = 31
_HEAD = 2**20
# A CSV value that does not fit an inferred type is an error, never a NULL (Polars 2.1). So inferring from part of a
# file is safe, and reading all of it twice costs eight times as much (336,776 flights: 2.4 s against 0.26 s). The other
# formats are inferred whole: a JSON field that comes late would be left out, an Excel cell of another type be NULL.
_INFER_ROWS = 10_000


@dataclass(frozen=True)
class Format:
    """One file format: its names and endings, and the Polars functions whose keywords are its options.

    `write` is None where Polars only reads. An `untyped` one is text, whose types are guessed when it is read; one of
    at most `empty_bytes` has neither rows nor columns to guess from. Polars itself reads a `native` one from S3.
    """

    name: str
    endings: tuple[str, ...]
    reader: Callable[..., Any]
    read: Callable[[list[str], dict[str, Any]], pl.LazyFrame]
    writer: Callable[..., Any] | None = None
    write: Callable[[pl.LazyFrame, str, dict[str, Any]], object] | None = None
    untyped: bool = False
    empty_bytes: int = -1
    native: bool = True

    def scan(
        self,
        paths: Sequence[str],
        options: Mapping[str, Any],
        schema: Mapping[str, pl.DataType] | None = None,
        storage: Mapping[str, str] | None = None,
    ) -> pl.LazyFrame:
        """The rows of the files; options that only the writer knows are left out.

        `schema` is what `guess` gave, or what the files were published with; `storage` how Polars reaches urls.
        """
        keywords = {name: _typed(name, value) for name, value in options.items() if name in _keywords(self.reader)}
        if schema is not None:
            keywords.pop("schema_overrides", None)
            keywords["schema"] = schema
        wanted = {name: dtype for key in _TYPED for name, dtype in keywords.get(key, {}).items()}
        for key in keywords.keys() & _TYPED:
            told = ((self._as_read(name), types.carried(self.name, dtype)) for name, dtype in keywords[key].items())
            keywords[key] = dict(told)
        if self.native and (reached := _for(paths[0], storage)):
            keywords["storage_options"] = reached
        frame = self.read(list(paths), keywords)
        if quoted := {self._as_read(name): name for name in schema or () if self._as_read(name) != name}:
            frame = frame.rename(quoted)
        return types.restored(frame, self.name, wanted)

    def _as_read(self, name: str) -> str:
        # Polars leaves the quotes in a CSV header doubled.
        return name.replace('"', '""') if self.name == "csv" else name

    def guess(
        self, paths: Sequence[str], options: Mapping[str, Any], storage: Mapping[str, str] | None = None
    ) -> Mapping[str, pl.DataType] | None:
        """The columns of text files for `scan`, without which Polars guesses anew in every query; None: let it.

        Dates are dear: to guess the columns of a CSV file with `try_parse_dates` takes four times as long as its rows.
        """
        if self.reader not in {pl.scan_csv, pl.scan_ndjson} or (self.of_several_kinds and len(paths) > 1):
            return None
        try:
            found = dict(self.scan(paths, options, storage=storage).collect_schema())
            if self.reader is pl.scan_ndjson and len(found) > _IN_ORDER:
                lines = pl.scan_lines(_escaped(paths[0]), storage_options=_for(paths[0], storage))
                found = {name: found[name] for name in _in_order(found, lines.head(1).collect().item())}
        except (ValueError, pl.exceptions.PolarsError):
            return None  # told when the rows are read
        if self.name == "csv":
            found = {name.replace('""', '"'): dtype for name, dtype in found.items()}
        return {name: dtype for name, dtype in found.items() if name not in {options.get(key) for key in _ADDED}}

    @property
    def of_several_kinds(self) -> bool:
        """Whether each file has columns of its own, whatever the first one has."""
        return self.reader is pl.scan_ndjson

    def sink(self, frame: pl.LazyFrame, path: str, options: Mapping[str, Any]) -> None:
        """Write the rows to exactly `path`; options that only the reader knows are left out."""
        assert self.write is not None
        assert self.writer is not None
        known = _keywords(self.writer)
        self.write(frame, path, {name: value for name, value in options.items() if name in known})

    def problems(self, options: Mapping[str, Any], *, written: bool) -> Iterator[tuple[tuple[str, ...], Problem]]:
        """What is wrong with a dataset's `options:`; one that is written may name the reader's too."""
        # Parquet is staged by flowpipe itself, so its writer's options would say nothing.
        writer = self.writer if written and self is not PARQUET else None
        known = _keywords(self.reader) | (_keywords(writer) if writer else set())
        for name, value in options.items():
            if name not in known:
                yield ("options", name), unknown(f"{self.name} option", name, known)
            elif name in _TYPED:
                yield from _type_problems(name, value)


def by_name(name: str) -> Format | None:
    """The format called `name`, or whose ending it is.

    >>> by_name("jsonl").name
    'ndjson'
    """
    return next((form for form in FORMATS if name == form.name or name in form.endings), None)


def by_ending(path: str) -> Format | None:
    """The format that a path's ending tells.

    >>> by_ending("airlines.csv.gz").name
    'csv'
    """
    name = PurePosixPath(path).name
    return next((form for form in FORMATS if any(name.endswith(f".{ending}") for ending in form.endings)), None)


def names() -> list[str]:
    """Every name a format may be called by."""
    return [name for form in FORMATS for name in dict.fromkeys((form.name, *form.endings))]


def type_named(text: str) -> pl.DataType | None:
    """A Polars type by its name; None when there is none.

    >>> type_named("Int64"), type_named("Decimal(12, 2)"), type_named("Datetime(us, UTC)"), type_named("Int46")
    (Int64, Decimal(precision=12, scale=2), Datetime(time_unit='us', time_zone='UTC'), None)
    """
    match = _TYPE.fullmatch(text.strip())
    found = getattr(pl, match[1], None) if match else None
    if match is None or not (isinstance(found, type) and issubclass(found, pl.DataType)):
        return None
    words = [word.strip() for word in match[2].split(",")] if match[2] else []
    try:
        return found(*(int(word) if word.isdigit() else word for word in words))
    except (TypeError, ValueError):
        return None


def _type_problems(name: str, value: Any) -> Iterator[tuple[tuple[str, ...], Problem]]:
    if not isinstance(value, Mapping):
        yield ("options", name), Problem(f"{name} must be a mapping of columns to types", None, "{year: Int64}")
        return
    for column, text in value.items():
        if type_named(str(text)) is None:
            yield ("options", name, str(column)), unknown("type", str(text), _type_names())


def _type_names() -> list[str]:
    found = {name: getattr(pl, name) for name in dir(pl) if name[0].isupper()}
    hidden = {"DataType", "BaseExtension", "Extension", "Object", "Unknown", "Utf8"}
    return [name for name, value in found.items()
            if isinstance(value, type) and issubclass(value, pl.DataType) and name not in hidden]  # fmt: skip


def _typed(name: str, value: Any) -> Any:
    return {column: type_named(str(text)) for column, text in value.items()} if name in _TYPED else value


def _keywords(function: Callable[..., Any]) -> set[str]:
    return {name for name in inspect.signature(function).parameters if not name.startswith("_")} - _OURS


def _for(path: str, storage: Mapping[str, str] | None) -> dict[str, str] | None:
    """How Polars reaches a path; None where it is on this machine."""
    return dict(storage) if storage is not None and "://" in path else None


def _escaped(path: str) -> str:
    """A path for the readers of lines, who alone take each for a glob; nothing can be escaped in a url."""
    return path if "://" in path else re.sub(r"([*?\[])", r"[\1]", path)


def _in_order(names: Iterable[str], text: str) -> list[str]:
    """The names in the order of the first object of a JSON text, the others after them by name.

    >>> _in_order(["c", "a", "b"], '[{"b": 1, "a": 2}')
    ['b', 'a', 'c']
    """
    try:
        first, _ = json.JSONDecoder().raw_decode(text, text.index("{"))
    except ValueError:
        first = {}
    known = set(names)
    return [name for name in first if name in known] + sorted(known - set(first))


def _scan_parquet(paths: list[str], options: dict[str, Any]) -> pl.LazyFrame:
    return pl.scan_parquet(paths, glob=False, **options)


def _scan_csv(paths: list[str], options: dict[str, Any]) -> pl.LazyFrame:
    return pl.scan_csv(
        paths, glob=False, infer_schema_files=len(paths), **{"infer_schema_length": _INFER_ROWS} | options
    )


def _scan_ndjson(paths: list[str], options: dict[str, Any]) -> pl.LazyFrame:
    keywords = {"infer_schema_length": None} | options
    # Of several files it looks at the first only.
    return pl.concat([pl.scan_ndjson(_escaped(path), **keywords) for path in paths], how="diagonal_relaxed")


def _scan_ipc(paths: list[str], options: dict[str, Any]) -> pl.LazyFrame:
    return pl.scan_ipc(paths, glob=False, **options)


def _read_json(paths: list[str], options: dict[str, Any]) -> pl.LazyFrame:
    keywords = {"infer_schema_length": None} | options
    frames = []
    for path in paths:
        frame = pl.read_json(path, **keywords)
        if "schema" not in options and frame.width > _IN_ORDER:
            with Path(path).open(encoding="utf-8") as file:
                frame = frame.select(_in_order(frame.columns, file.read(_HEAD)))
        frames.append(frame)
    return pl.concat(frames, how="diagonal_relaxed").lazy()


def _read_excel(paths: list[str], options: dict[str, Any]) -> pl.LazyFrame:
    keywords = {"infer_schema_length": None} | options
    frames: list[pl.DataFrame] = [pl.read_excel(path, **keywords) for path in paths]
    return pl.concat(frames, how="vertical_relaxed").lazy()


def _sink_csv(frame: pl.LazyFrame, path: str, options: dict[str, Any]) -> None:
    frame.sink_csv(path, check_extension=False, **options)


def _sink_ndjson(frame: pl.LazyFrame, path: str, options: dict[str, Any]) -> None:
    frame.sink_ndjson(path, check_extension=False, **options)


def _sink_ipc(frame: pl.LazyFrame, path: str, options: dict[str, Any]) -> None:
    frame.sink_ipc(path, **options)


def _write_json(frame: pl.LazyFrame, path: str, options: dict[str, Any]) -> None:
    frame.collect().write_json(path, **options)


PARQUET = Format("parquet", ("parquet", "pq"), pl.scan_parquet, _scan_parquet, pl.LazyFrame.sink_parquet)
FORMATS = (
    PARQUET,
    Format("csv", ("csv", "csv.gz"), pl.scan_csv, _scan_csv, pl.LazyFrame.sink_csv, _sink_csv, untyped=True),
    Format(
        "ndjson", ("ndjson", "jsonl"), pl.scan_ndjson, _scan_ndjson, pl.LazyFrame.sink_ndjson, _sink_ndjson,
        untyped=True, empty_bytes=0,
    ),
    Format(
        "json", ("json",), pl.read_json, _read_json, pl.DataFrame.write_json, _write_json,
        untyped=True, empty_bytes=len("[]"), native=False,
    ),
    Format("ipc", ("ipc", "arrow", "feather"), pl.scan_ipc, _scan_ipc, pl.LazyFrame.sink_ipc, _sink_ipc),
    Format("excel", ("xlsx", "xls", "xlsb"), pl.read_excel, _read_excel, native=False),
)  # fmt: skip
