"""Each single thing that decides a node's value makes another fingerprint; what cannot be compared makes none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from flowpipe import partition, reuse
from flowpipe.adapters import Dataset
from flowpipe.audit import Audit
from flowpipe.bound import Bound, Read, Write
from flowpipe.config import PipelineConfig
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import Where
from flowpipe.partition import WHOLE
from flowpipe.pipeline import Input, Node, Pipeline
from flowpipe.reuse import Incomparable, key_of

HERE = Where("pipelines/job.py", 1)
ORDERS = Dataset("orders", DatasetConfig(store="lake", table="orders"))
CLEAN = Dataset("clean", DatasetConfig(store="lake", table="clean"))


def node(name: str, *inputs: str) -> Node:
    return Node(name, pl.LazyFrame, HERE, "job", inputs, {})


def bound(**changes: Any) -> Bound:
    """`rate` (no dataset) and `clean` (written, of `orders`) make `joined`, which makes `out`."""
    nodes = [node("rate"), node("clean", "orders"), node("joined", "clean", "rate", "late"), node("out", "joined")]
    inputs = {name: Input(name, pl.LazyFrame, False, None, ("clean",)) for name in ("orders", "late")}
    config = changes.pop("config", PipelineConfig(modules=["job"], params={"late": 15}, writes={"clean": "clean"}))
    read = changes.pop("read", Read("orders", ORDERS, "lazy"))
    write = changes.pop("write", Write("clean", CLEAN, "lazy", Audit(), "schemas:Clean 1"))
    shown = changes.pop("shown", {"late": 15})
    graph = Pipeline("job", inputs, {each.name: each for each in nodes}, None, None)  # type: ignore[arg-type]  # no code
    return Bound(
        name="job",
        config=config,
        graph=graph,
        params=config.params,
        shown_params=shown,
        shown_config=config.config,
        reads={"orders": read},
        writes=(write,),
        code=changes.pop("code", {"job": "1"}),
        settings={},
        **changes,
    )


def key(made: Bound, **facts: Any) -> str:
    known: dict[str, Any] = {"versions": {"orders": "7"}, "digests": {"rate": "r"}, "tables": {"clean": "Delta {}"}}
    part = facts.pop("part", WHOLE)
    return key_of(made, facts.pop("node", "joined"), part, **{**known, **facts})


def dataset(dataset: Dataset, **changes: Any) -> Dataset:
    return replace(dataset, config=dataset.config.model_copy(update=changes))


def with_config(**changes: Any) -> PipelineConfig:
    return PipelineConfig(modules=["job"], params={"late": 15}, writes={"clean": "clean"}, **changes)


WINDOWS = {"every": "month", "start": "2013-01"}
BOUNDS: Mapping[str, Bound] = {
    "code": bound(code={"job": "2"}),
    "param": bound(
        shown={"late": 20}, config=PipelineConfig(modules=["job"], params={"late": 20}, writes={"clean": "clean"})
    ),
    "config": bound(config=with_config(config={"fast": True})),
    "windows": bound(config=with_config(partitions=WINDOWS)),
    "zone": bound(config=with_config(partitions=WINDOWS | {"timezone": "Europe/Berlin"})),
    "dataset read": bound(read=Read("orders", dataset(ORDERS, format="csv"), "lazy")),
    "query": bound(read=Read("orders", dataset(ORDERS, query="SELECT 1"), "lazy")),
    "contract": bound(read=Read("orders", ORDERS, "lazy", schema_code="schemas:Orders 1")),
    "schema above": bound(write=Write("clean", CLEAN, "lazy", Audit(), "schemas:Clean 2")),
    "on_invalid above": bound(
        write=Write("clean", dataset(CLEAN, on_invalid="quarantine"), "lazy", Audit(), "schemas:Clean 1")
    ),
}
FACTS: Mapping[str, dict[str, Any]] = {
    "version": {"versions": {"orders": "8"}},
    "nothing there": {"versions": {}},
    "value": {"digests": {"rate": "s"}},
    "table above": {"tables": {"clean": "Delta {'a': Int64}"}},
    "slice": {"part": partition.of_window(partition.parse("2013-01", "month"))},
    "node": {"node": "out"},
}


def test_each_part_makes_another_fingerprint() -> None:
    keys = [key(bound()), *map(key, BOUNDS.values()), *(key(bound(), **facts) for facts in FACTS.values())]
    assert len(set(keys)) == len(keys)
    assert key(bound()) == key(bound())


def test_what_is_not_above_does_not_count() -> None:
    config = PipelineConfig(modules=["job"], params={"late": 15, "other": 1}, writes={"clean": "clean"})
    assert key(bound(config=config, shown={"late": 15, "other": 1})) == key(bound())
    assert key(bound(), versions={"orders": "7", "others": "1"}) == key(bound())


@pytest.mark.parametrize(
    ("made", "facts", "reason"),
    [
        (bound(), {"versions": {"orders": None}}, "orders has no version"),
        (bound(), {"digests": {}}, "the value of rate cannot be compared"),
        (bound(shown={"late": "***"}), {}, "the param late came through ${...}, so that it is in no fingerprint"),
        (bound(config=with_config(always=True)), {}, "node joined is of a pipeline that is `always: true`"),
        (
            bound(config=with_config(nodes={"rate": {"always": True}})),
            {},
            "node joined is made of node rate, which is `always: true`",
        ),
        (
            bound(read=Read("orders", ORDERS, "lazy", watermark="id")),
            {},
            "node joined is made of the new rows of orders, which are others at any moment",
        ),
        (
            bound(write=Write("clean", dataset(CLEAN, mode="snapshot"), "lazy", Audit())),
            {},
            "node joined is made of the snapshot clean, whose rows say when they were seen",
        ),
    ],
)
def test_what_cannot_be_compared_has_none(made: Bound, facts: dict[str, Any], reason: str) -> None:
    with pytest.raises(Incomparable) as caught:
        key(made, **facts)
    assert str(caught.value) == reason


def test_a_newer_form_of_files_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(bound())
    monkeypatch.setattr(reuse, "FORMAT", "2")
    assert key(bound()) != before
