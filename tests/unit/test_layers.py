"""Merging of documents: what wins, what survives, and where each value is said to be."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from flowpipe.conffile import Document, parse
from flowpipe.errors import Where
from flowpipe.layers import at, join, layered, merge, under, value

KEYS = st.sampled_from(["a", "b", "c"])
TREES = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2), lambda inner: st.dictionaries(KEYS, inner, max_size=3)
)
MAPPINGS = st.dictionaries(KEYS, TREES, max_size=3)


def document(data: Any, file: str) -> Document:
    return parse(yaml.safe_dump(data), file)


def leaves(data: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(data, dict) or not data:
        return {path: data}
    return {inner: leaf for key, each in data.items() for inner, leaf in leaves(each, (*path, key)).items()}


def reaches(data: Any, path: tuple[str, ...]) -> bool:
    """Whether `data` says something at `path` or puts something that is no mapping above it."""
    for key in path:
        if not isinstance(data, dict):
            return True
        if key not in data:
            return False
        data = data[key]
    return True


@given(MAPPINGS, MAPPINGS)
def test_the_upper_value_wins_and_the_rest_of_the_lower_survives(below: dict[str, Any], above: dict[str, Any]) -> None:
    merged = merge(document(below, "below"), document(above, "above"))
    for path, leaf in leaves(above).items():
        if leaf != {}:
            assert value(merged, path) == leaf
            assert merged.values[path].file == "above"
    for path, leaf in leaves(below).items():
        if not reaches(above, path):
            assert value(merged, path) == leaf
            assert merged.values[path].file == "below"
    for path, leaf in leaves(merged.data).items():
        assert leaf in (leaves(above).get(path), leaves(below).get(path), {})


@given(MAPPINGS, MAPPINGS)
def test_every_place_is_that_of_a_value_that_is_there(below: dict[str, Any], above: dict[str, Any]) -> None:
    merged = merge(document(below, "below"), document(above, "above"))
    for path in merged.values:
        here = merged.data
        for part in path:
            here = here[part]


@given(MAPPINGS)
def test_a_part_moved_back_is_the_whole(data: dict[str, Any]) -> None:
    whole = document({"x": {"y": data}}, "f")
    part = at(whole, "x", "y")
    assert part is not None
    assert part.data == data
    back = under(part, "x", "y")
    assert back.data == whole.data
    assert back.values.items() <= whole.values.items()
    assert back.keys[("x", "y")] == whole.keys[("x", "y")]


def test_lists_and_scalars_replace() -> None:
    merged = layered(document({"a": [1, 2], "b": {"c": 1}}, "1"), None, document({"a": [3], "b": 2}, "2"))
    assert merged.data == {"a": [3], "b": 2}
    assert merged.values[("a", 0)] == Where("2", 2, 3)
    assert ("a", 1) not in merged.values


def test_a_mapping_whose_kind_changes_replaces_whole() -> None:
    below = document({"lake": {"adapter": "files", "url": "x"}, "m": {"type": "a", "n": 1}, "k": {"n": 1}}, "1")
    above = document({"lake": {"adapter": "delta"}, "m": {"type": "a", "o": 2}, "k": {"type": "b"}}, "2")
    merged = merge(below, above)
    assert merged.data == {
        "lake": {"adapter": "delta"},
        "m": {"type": "a", "n": 1, "o": 2},
        "k": {"n": 1, "type": "b"},
    }
    assert ("lake", "url") not in merged.values


def test_a_param_named_type_does_not_replace_its_neighbours() -> None:
    merged = merge(document({"type": "a", "x": 1}, "1"), document({"type": "b"}, "2"))
    assert merged.data == {"type": "b", "x": 1}


def test_secrets_and_what_is_unresolved_follow_the_winner() -> None:
    below = parse("a: ${env:A}\nb: ${env:B}\n", "1", resolve=False)
    merged = merge(below, parse("a: 1\nc: ${env:C}\n", "2", resolve=False))
    assert merged.secret_paths == merged.unresolved == {("b",), ("c",)}


def test_documents_side_by_side() -> None:
    both = join({"x": document({"a": 1}, "1"), "y": document([2], "2")})
    assert both.data == {"x": {"a": 1}, "y": [2]}
    assert both.values[("y", 0)].file == "2"
    assert value(both, ("y", 0)) == 2
    assert value(both, ("y", 1, "z")) is None
    assert at(both, "x", "b") is None
