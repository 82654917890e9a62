"""One dataset of `conf/catalog.yml` as it is written: its keys, and which of them go together."""

# Annotations are no texts here: Pydantic would compile each at every start.
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field

from flowpipe.fields import DeleteWhen, Freshness, Limit, Name, Reference, Rows, TimeZone
from flowpipe.interpolable import absent, excludes, is_one, one_of, present, ruled
from flowpipe.partition import Every
from flowpipe.validation import Flaw, Model

Mode = Literal["overwrite", "replace", "append", "merge", "snapshot"]
_OF_MODES: dict[str, tuple[Mode, ...]] = {
    "order_by": ("merge",),
    "delete_when": ("merge",),
    "missing": ("merge", "snapshot"),
    "max_deleted": ("merge", "snapshot"),
    "track": ("snapshot",),
    "effective": ("snapshot",),
}


_TEXTS = ("mode", "missing", "schema_change", "effective")


def _only_with(key: str) -> str:
    return f"{key} goes with mode: {' or '.join(_OF_MODES[key])} only"


# What `flaws` finds, as editors are told of it.
_RULES: list[dict[str, Any]] = [
    {"anyOf": [present(key, "one of path, table and query is missing") for key in ("path", "table", "query")]},
    excludes("path", ["table", "query"], "{key} and {other} exclude each other"),
    excludes("table", ["query"], "{key} and {other} exclude each other"),
    {
        "if": is_one("mode", "merge", "snapshot"),
        "then": present("key", "merge and snapshot need a key", unless=[None, []]),
    },
    {
        "if": is_one("mode", "replace"),
        "then": {"anyOf": [present(key, "replace needs a partition") for key in ("partition", "partition_by")]},
    },
    *(
        {
            "if": {"properties": {"mode": {"enum": [mode for mode in get_args(Mode) if mode not in modes]}}},
            "then": {"properties": {key: absent(_only_with(key))}},
        }
        for key, modes in _OF_MODES.items()
    ),
    {"if": is_one("mode", "merge"), "then": {"properties": {"missing": one_of("keep", "delete")}}},
    {"if": is_one("mode", "snapshot"), "then": {"properties": {"missing": one_of("keep", "close")}}},
    {"if": is_one("missing", "delete", "close"), "then": present("max_deleted", "missing needs a bound: max_deleted")},
    {
        "if": is_one("missing", "close"),
        "then": {
            "properties": {
                "effective": one_of("run_time"),
                "partition": absent("missing: close needs all keys, and a window has some of them"),
            }
        },
    },
    {"if": is_one("schema_change", "replace"), "then": {"properties": {"mode": one_of("overwrite")}}},
]


class PartitionBy(Model):
    """A dataset's grain: one window of time per slice."""

    every: Every = Field(description="the length of a window")
    column: str | None = Field(
        None,
        description="the column that tells a row's window; files whose path names the window may do without",
        examples=["date"],
    )
    timezone: TimeZone = Field(
        "UTC", description="the time zone whose calendar cuts the windows; the project's `timezone` if absent"
    )


class Expect(Model):
    """Table-level checks, made on what is about to be published."""

    rows: Rows | None = Field(None, description="how many rows a slice has: exactly, at least, at most, or between")
    freshness: Freshness | None = Field(None, description='"COLUMN within 2d": the newest value is at most that old')
    unique: list[str] | None = Field(
        None, description="columns whose values together occur once", examples=[["carrier", "date"]]
    )


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class DatasetConfig(Model):
    """One dataset of `conf/catalog.yml`."""

    model_config = ConfigDict(json_schema_extra=ruled(_RULES))

    store: str = Field(description="the store of the profile that it is in", examples=["lake"])
    path: str | None = Field(
        None,
        description="files: below the store's url; a glob to read, or `{partition:%Y-%m}` for one file per window",
        examples=["airlines.csv", "events/*.parquet", "flights/{partition:%Y-%m}.parquet"],
    )
    table: str | None = Field(
        None,
        description="delta and databases: the table's name; in a database also `SCHEMA.NAME`",
        examples=["flights", "sales.orders"],
    )
    query: str | None = Field(
        None,
        description="databases: SQL that is read instead of a table, and never written; $start and $end are the "
        "bounds of the window",
        examples=["SELECT * FROM orders WHERE total > 1000"],
    )
    format: str | None = Field(
        None,
        description="files: parquet, csv, ndjson, json, ipc or excel (read only); by the path's ending if absent",
        examples=["csv"],
    )
    options: dict[str, Any] = Field(
        {},
        description="files: keywords of Polars' reader and writer of the format",
        examples=[{"separator": ";", "null_values": "NA", "schema_overrides": {"zip": "String"}}],
    )
    mode: Mode = Field(
        "overwrite",
        description="how it is written: overwrite the whole, replace the step's window, append once per slice, "
        "merge on `key`, or snapshot: keep the history of each `key`",
    )
    key: list[str] = Field(
        [],
        description="merge, snapshot: the columns that identify a row; not NULL, once each",
        examples=[["carrier", "month"]],
    )
    order_by: str | None = Field(
        None,
        description="merge: the newest row per key by this column; an older one never overwrites a newer one",
        examples=["updated_at"],
    )
    delete_when: DeleteWhen | None = Field(None, description='merge: "COLUMN = VALUE", such rows delete their key')
    missing: Literal["keep", "delete", "close"] = Field(
        "keep", description="keys that are not in the new rows: merge may delete them, snapshot close them"
    )
    max_deleted: Limit | None = Field(
        None,
        description="how much `missing` may take; more fail before anything is published",
    )
    track: list[str] = Field(
        [],
        description="snapshot: a change of these columns begins a new version; all but the key if absent",
        examples=[["city"]],
    )
    effective: str = Field(
        "run_time", description="snapshot: the column that says since when a row is so, or `run_time`"
    )
    partition: PartitionBy | None = Field(None, description="its grain: one slice per window of time")
    partition_by: list[str] = Field([], description="delta: the hive columns of the table", examples=[["country"]])
    schema_: Reference | None = Field(
        None,
        alias="schema",
        description='Pandera model or schema in `pipelines/`, "module:Name"; a contract where the dataset is only read',
    )
    on_invalid: Literal["fail", "quarantine", "warn"] = Field(
        "fail",
        description="rows that break the schema: fail publishes nothing, quarantine puts them into NAME__rejected, "
        "warn counts and publishes them",
    )
    max_invalid: Limit | None = Field(None, description="quarantine, warn: how many rows may be invalid")
    expect: Expect = Field(Expect(), description="checks of the table as a whole")
    allow_empty: bool = Field(False, description="let zero rows replace some")
    schema_change: Literal["strict", "add", "replace"] = Field(
        "strict",
        description="columns that differ from the table's: strict refuses them, add lets columns come and grow, "
        "replace (mode overwrite) makes them those of the new rows",
    )
    swap: bool = Field(False, description="postgres, overwrite: a new table takes the place of the old one")
    after_publish: Annotated[list[str], BeforeValidator(_one_or_more, json_schema_input_type=str | list[str])] = Field(
        [],
        description="databases: SQL that runs in the transaction of each publish; one statement or a list",
        examples=["GRANT SELECT ON carrier_rank TO reporting"],
    )
    was: Name | None = Field(
        None, description="the name it had before, so that what it holds is still known", examples=["delays"]
    )


def flaws(dataset: Mapping[str, Any]) -> Iterator[Flaw]:
    """What is wrong between the keys of a dataset as written, whatever else is wrong with it."""
    # A mapping or a list in the place of a text is told elsewhere.
    dataset = {key: value for key, value in dataset.items() if key not in _TEXTS or isinstance(value, str | None)}
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
            yield Flaw((key,), _only_with(key), "remove it", at_key=True)
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
