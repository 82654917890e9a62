"""Fan-outs while they run: items are opened one by one, results come back in the order of the items."""

from __future__ import annotations

import random

from flowpipe.config import RetryConfig
from flowpipe.executors.fanout import Fanouts
from flowpipe.executors.retry import Policy
from flowpipe.executors.task import Settings, Task

SETTINGS = Settings(Policy(RetryConfig()))


def nothing() -> None: ...


TASKS = [
    Task("files", nothing, {}, SETTINGS, expands=True),
    Task("score", nothing, {"files": "files", "k": "k"}, SETTINGS, within="files"),
    Task("both", nothing, {"score": "score", "files": "files"}, SETTINGS, within="files"),
    Task("total", nothing, {"both": "both"}, SETTINGS, collects="both"),
    Task("names", nothing, {"files": "files"}, SETTINGS, collects="files"),
]


def test_items_are_opened_one_by_one_and_collected_in_order() -> None:
    fanouts = Fanouts(TASKS)
    assert list(fanouts.nodes()) == [("files", {"k"})]
    assert fanouts.begin("files", ["a", "b", "c"]) is None
    opened = []
    while item := fanouts.open():
        opened.append(item)
    assert [(name, value) for name, value, _ in opened] == [("files[0]", "a"), ("files[1]", "b"), ("files[2]", "c")]
    _, _, tasks = opened[1]
    assert [(task.node, task.needs) for task in tasks] == [
        ("score[1]", {"files": "files[1]", "k": "k"}),
        ("both[1]", {"score": "score[1]", "files": "files[1]"}),
    ]
    assert (fanouts.item("score[1]"), fanouts.item("total")) == ("'b'", None)
    ends = [(f"{name}[{number}]", f"{name}{number}") for name in ("score", "both") for number in range(3)]
    random.Random(7).shuffle(ends)
    done = [fanout for node, value in ends if (fanout := fanouts.end(node, value))]
    assert len(done) == 1
    gathered = {name: values.values for name, values in done[0].gathered()}
    assert gathered == {"both": ("both0", "both1", "both2"), "files": ("a", "b", "c")}
    assert done[0].outside() == {"k"}
    assert fanouts.end("total", 1) is None


def test_nothing_to_do_for_no_items() -> None:
    fanout = Fanouts(TASKS).begin("files", [])
    assert fanout
    assert {name: values.values for name, values in fanout.gathered()} == {"both": (), "files": ()}


def test_the_fan_out_begun_last_goes_first() -> None:
    other = [
        Task("days", nothing, {}, SETTINGS, expands=True),
        Task("day", nothing, {"days": "days"}, SETTINGS, within="days"),
        Task("last", nothing, {"day": "day"}, SETTINGS, collects="day"),
    ]
    fanouts = Fanouts([*TASKS, *other])
    fanouts.begin("files", ["a", "b"])
    first = fanouts.open()
    fanouts.begin("days", [1])
    names = [first and first[0]]
    while item := fanouts.open():
        names.append(item[0])
    assert names == ["files[0]", "days[0]", "files[1]"]


def test_a_long_item_is_told_short() -> None:
    fanouts = Fanouts(TASKS)
    fanouts.begin("files", ["x" * 1000])
    fanouts.open()
    told = fanouts.item("score[0]")
    assert told
    assert len(told) <= 83
