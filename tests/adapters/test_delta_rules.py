"""Tables of others with rules of their own: delta-rs keeps them, or the publish is refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from delta_lake import Lake
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import PrimitiveType, StructType

from flowpipe.adapters import Held
from flowpipe.adapters.abilities import Filling
from flowpipe.errors import DataError, PublishError

LONG = PrimitiveType("long")
INNER = StructType([Field("a", "long", nullable=False)])
RULES: dict[str, tuple[Field, str]] = {
    "check": (Field("x", "long"), "CHECK positive (x > 0)"),
    "invariant": (
        Field("x", "long", metadata={"delta.invariants": json.dumps({"expression": {"expression": "x > 0"}})}),
        'the invariant of "x" (x > 0)'),
    "generated": (Field("x", "long", metadata={"delta.generationExpression": "id * 10"}), '"x" is generated (id * 10)'),
    "nested": (Field("x", INNER), 'NOT NULL inside "x"'),
}  # fmt: skip
MODES: dict[str, dict[str, Any]] = {
    "overwrite": {},
    "append": {"partition": {"column": "day", "every": "month"}},
    "replace": {"partition": {"column": "slice", "every": "month"}},
    "merge": {"key": ["id"]},
}


def frame(kind: str, number: int, *, good: bool) -> pl.DataFrame:
    value: Any = number * 10 if good else -1
    dtype: pl.DataType = pl.Int64()
    if kind == "nested":
        value, dtype = {"a": 1 if good else None}, pl.Struct({"a": pl.Int64})
    columns = {"id": [number], "slice": ["all"], "x": [value]}
    return pl.DataFrame(columns, {"id": pl.Int64, "slice": pl.String, "x": dtype})


def made(root: Path, kind: str, mode: str, *fields: Field, **settings: str) -> Lake:
    lake = Lake(root, {"mode": mode, **MODES[mode]})
    columns = [Field("id", "long"), Field("slice", "string"), *(fields or (RULES[kind][0],))]
    DeltaTable.create(lake.path, Schema(columns), configuration=settings)
    if kind == "check":
        lake.table.alter.add_constraint({"positive": "x > 0"})
    return lake


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", RULES)
def test_rows_that_break_a_rule_are_data_errors_and_others_are_published(tmp_path: Path, kind: str, mode: str) -> None:
    if (kind, mode) == ("nested", "merge"):
        return
    lake = made(tmp_path, kind, mode)
    good = lake.publish(frame(kind, 1, good=True))
    lake.settings |= {"mode": mode}
    version = lake.table.version()
    assert lake.held() == Held(good.state)
    if mode == "append":
        lake = Lake(tmp_path, lake.settings, "more")
    with pytest.raises(DataError) as caught:
        lake.publish(frame(kind, 2, good=False), fingerprint="f2", run="r2")
    assert str(caught.value) == (
        f"{lake.name} (all): 1 rows break a rule of the table: {RULES[kind][1]}\n"
        "  hint: nothing was published; keep such rows out, for instance by the dataset's schema"
    )
    assert lake.table.version() == version
    lake.publish(frame(kind, 2, good=True), fingerprint="f3", run="r3")
    assert lake.read()["id"].sort().to_list() == ([1, 2] if mode in ("append", "merge") else [2])
    assert not [name for name in lake.data_files() if "r3" in name], "delta-rs wrote the rows"


def test_generated_columns_are_computed_where_rows_lack_them(tmp_path: Path) -> None:
    for mode in MODES:
        lake = made(tmp_path / mode, "generated", mode)
        assert isinstance(lake.store, Filling)
        assert lake.store.filled(lake.dataset) == ["x"]
        lake.publish(frame("generated", 3, good=True).drop("x"))
        assert lake.read().select("id", "x").rows() == [(3, 30)]


@pytest.mark.parametrize("mode", ["overwrite", "merge"])
def test_null_is_refused_by_delta_rs_too(tmp_path: Path, mode: str) -> None:
    lake = made(tmp_path, "check", mode, Field("x", "long", nullable=False))
    lake.publish(frame("check", 1, good=True))
    bad = frame("check", 2, good=True).with_columns(x=pl.lit(None, pl.Int64))
    with pytest.raises(DataError, match="1 rows break a rule of the table: "):
        lake.publish(bad, fingerprint="f2")
    assert lake.read()["id"].to_list() == [1]


def refusal(lake: Lake, kind: str = "check") -> str:
    with pytest.raises(PublishError) as caught:
        lake.publish(frame(kind, 1, good=True))
    return str(caught.value).replace(str(lake.path), "TABLE")


def test_what_nobody_implements_is_refused(tmp_path: Path) -> None:
    rest = "\n  hint: neither flowpipe nor delta-rs implements this; write to a table without it"
    mapped = made(tmp_path / "a", "", "append", Field("x", "long"), **{
        "delta.columnMapping.mode": "name", "delta.minReaderVersion": "2", "delta.minWriterVersion": "5"})  # fmt: skip
    assert refusal(mapped) == f"cannot write TABLE: the table uses column mapping{rest}"
    marked = made(tmp_path / "b", "", "append", Field("x", "long"), **{"delta.enableDeletionVectors": "true"})
    assert refusal(marked).startswith("cannot write TABLE: the table uses deletionVectors")
    counted = Field("x", "long", metadata={"delta.identity.start": "1", "delta.identity.step": "1"})
    numbered = made(tmp_path / "c", "", "append", counted)
    assert refusal(numbered) == f'cannot write TABLE: the table uses the identity column "x"{rest}'
    nested = made(tmp_path / "d", "nested", "merge")
    assert refusal(nested, "nested") == (
        'cannot write TABLE: delta-rs does not merge where there is NOT NULL inside "x"\n'
        "  hint: allow NULL there, or use another mode"
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_change_feed_sees_every_row(tmp_path: Path, mode: str) -> None:
    lake = made(tmp_path, "", mode, Field("x", "long"), **{"delta.enableChangeDataFeed": "true"})
    lake.publish(frame("", 1, good=True))
    lake = Lake(tmp_path, lake.settings, "more")
    lake.publish(frame("", 2, good=True), fingerprint="f2")
    feed = pl.DataFrame(lake.table.load_cdf(starting_version=1).read_all())
    found = sorted(feed.select("id", "_change_type", "_commit_version").rows())
    gone = [(1, "delete", 2)] if mode in ("overwrite", "replace") else []
    assert found == sorted([(1, "insert", 1), *gone, (2, "insert", 2)])
