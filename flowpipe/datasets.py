"""One dataset of `conf/catalog.yml` as it is written: its keys, and which of them go together."""

# Annotations are no texts here: Pydantic would compile each at every start.
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from flowpipe.fields import DeleteWhen, Freshness, Limit, Name, Reference, Rows, TimeZone
from flowpipe.partition import Every
from flowpipe.validation import Flaw, Model

_OF_MODES: dict[str, tuple[str, ...]] = {
    "order_by": ("merge",),
    "delete_when": ("merge",),
    "missing": ("merge", "snapshot"),
    "max_deleted": ("merge", "snapshot"),
    "track": ("snapshot",),
    "effective": ("snapshot",),
}


class PartitionBy(Model):
    """A dataset's grain: one window of time per slice."""

    every: Every
    column: str | None = Field(None, description="the column that tells a row's window; files may do without")
    timezone: TimeZone = Field("UTC", description="the time zone whose calendar cuts the windows")


class Expect(Model):
    """Table-level checks, made on what is about to be published."""

    rows: Rows | None = Field(None, description='how many rows a slice has: `1000`, `">= 1"`, `"10..500"`')
    freshness: Freshness | None = Field(None, description='"COLUMN within 2d": the newest value is at most that old')
    unique: list[str] | None = Field(None, description="columns whose values together occur once")


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class DatasetConfig(Model):
    """One dataset of `conf/catalog.yml`."""

    store: str
    path: str | None = Field(
        None, description="files: below the store's url; a glob, or `{partition:%Y-%m}` for windows"
    )
    table: str | None = None
    query: str | None = Field(None, description="SQL to read from a database; such a dataset is never written")
    format: str | None = Field(
        None, description="files: parquet, csv, ndjson, json, ipc, excel; else by the path's ending"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="reader and writer options of the format")
    mode: Literal["overwrite", "replace", "append", "merge", "snapshot"] = "overwrite"
    key: list[str] = Field(default_factory=list)
    order_by: str | None = Field(None, description="merge: an older row never overwrites a newer one")
    delete_when: DeleteWhen | None = Field(None, description='merge: "COLUMN = VALUE", such rows delete their key')
    missing: Literal["keep", "delete", "close"] = Field(
        "keep", description="keys that are not in the new rows: merge may delete them, snapshot close them"
    )
    max_deleted: Limit | None = Field(None, description='rows (`100`) or share (`"5%"`) that `missing` may take')
    track: list[str] = Field(default_factory=list, description="snapshot: a change of these begins a new version")
    effective: str = Field("run_time", description="snapshot: the column that says since when, or `run_time`")
    partition: PartitionBy | None = None
    partition_by: list[str] = Field(default_factory=list, description="delta: hive columns of the table")
    schema_: Reference | None = Field(None, alias="schema", description='Pandera model or schema, "module:Name"')
    on_invalid: Literal["fail", "quarantine", "warn"] = "fail"
    max_invalid: Limit | None = Field(None, description='rows (`100`) or share (`"5%"`) that may be invalid')
    expect: Expect = Expect()
    allow_empty: bool = False
    schema_change: Literal["strict", "add", "replace"] = "strict"
    swap: bool = Field(False, description="postgres, overwrite: a new table takes the place of the old one")
    after_publish: Annotated[list[str], BeforeValidator(_one_or_more)] = Field(
        default_factory=list, description="databases: SQL that runs in the transaction of each publish"
    )
    was: Name | None = Field(None, description="the name this dataset had before")


def flaws(dataset: Mapping[str, Any]) -> Iterator[Flaw]:
    """What is wrong between the keys of a dataset as written, whatever else is wrong with it."""
    given = {key for key, value in dataset.items() if value is not None}
    sources = [key for key in dataset if key in given & {"path", "table", "query"}]
    if not sources:
        hint = "write path: NAME.parquet for files, table: NAME for tables"
        yield Flaw((), "one of path, table and query is missing", hint)
    for key in sources[1:]:
        yield Flaw((key,), f"{sources[0]} and {key} exclude each other", "keep one of them", at_key=True)
    mode = dataset.get("mode")
    if mode in {"merge", "snapshot"} and not dataset.get("key"):
        yield Flaw(("mode",), f"{mode} needs a key", "add key: [COLUMN]")
    if mode == "replace" and not given & {"partition", "partition_by"}:
        yield Flaw(("mode",), "replace needs a partition", "add partition: {every: month, column: COLUMN}")
    for key in dataset:
        if key in given & _OF_MODES.keys() and mode not in _OF_MODES[key]:
            yield Flaw((key,), f"{key} goes with mode: {' or '.join(_OF_MODES[key])} only", "remove it", at_key=True)
    yield from _missing_flaws(dataset, mode)
    if dataset.get("schema_change") == "replace" and mode not in {None, "overwrite"}:
        hint = "use `schema_change: add`, or overwrite the whole dataset"
        yield Flaw(("schema_change",), "schema_change: replace goes with mode: overwrite only", hint)


def _missing_flaws(dataset: Mapping[str, Any], mode: Any) -> Iterator[Flaw]:
    """What is wrong with what happens to keys that are not in the new rows."""
    missing, other = dataset.get("missing"), {"merge": "close", "snapshot": "delete"}.get(str(mode))
    if missing is not None and missing == other:
        right = {"merge": "delete", "snapshot": "close"}[str(mode)]
        yield Flaw(("missing",), f"mode: {mode} cannot {missing} rows", f"write `missing: {right}`")
    elif missing in {"delete", "close"} and dataset.get("max_deleted") is None:
        hint = 'add `max_deleted: "5%"`: a publish that would take more is refused'
        yield Flaw(("missing",), f"missing: {missing} needs a bound", hint)
    if missing == "close" and dataset.get("effective", "run_time") != "run_time":
        hint = "a row that is not there says no time: use `effective: run_time`"
        yield Flaw(("missing",), "missing: close goes with effective: run_time only", hint)
    if missing == "close" and dataset.get("partition") is not None:
        hint = "take `partition:` out, and let one step see all keys"
        yield Flaw(("missing",), "missing: close needs all keys, and a window has some of them", hint)
