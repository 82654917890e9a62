"""What `flowpipe diff` tells of two states of a dataset: versions, runs, profiles; and what cannot be compared."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from flowpipe.cli import run_command
from flowpipe.difference import compare
from flowpipe.errors import UsageError
from tests.conftest import Finished, ProjectFolder

FILES = {
    "conf/project.yml": "name: shop\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
          base: {adapter: duckdb, database: data/base.duckdb}
        """,
    "conf/profiles/prod.yml": """
        extends: dev
        stores:
          base: {adapter: duckdb, database: data/prod.duckdb}
        """,
    "conf/catalog.yml": """
        stock: {store: here, path: stock.csv}
        items: {store: lake, table: items, key: [item], schema_change: replace}
        copy: {store: base, table: items, key: [item], schema_change: replace}
        seen: {store: lake, table: seen}
        """,
    "conf/pipelines/items.yml": "modules: [items]\nwrites: {items: items, copied: copy}\n",
    "conf/pipelines/seen.yml": "modules: [seen]\nwrites: [seen]\n",
    "pipelines/items.py": """
        import polars as pl


        def items(stock: pl.LazyFrame) -> pl.LazyFrame:
            return stock


        def copied(stock: pl.LazyFrame) -> pl.LazyFrame:
            return stock
        """,
    "pipelines/seen.py": """
        import polars as pl


        def seen(stock: pl.LazyFrame) -> pl.LazyFrame:
            return stock.select("item")
        """,
    "data/stock.csv": "item,sold,price,old\napple,3,1.5,a\npear,5,2.0,b\nplum,7,,c\n",
}
LATER = "item,sold,price,new\napple,3.5,1.5,1\nfig,9,4.0,2\nplum,7.0,2.5,3\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project that published its items three times, in two states."""
    project = ProjectFolder(tmp_path_factory.mktemp("shop") / "project").write(FILES)
    for arguments in (["run"], ["run", "items", "--profile", "prod", "--force"]):
        done = project.flowpipe(*arguments)
        assert done.code == 0, done.err
    (project.path / "data/stock.csv").write_text(LATER)
    done = project.flowpipe("run", "items")
    assert done.code == 0, done.err
    return project


@pytest.fixture(scope="module")
def runs(shop: ProjectFolder) -> list[str]:
    """The runs, oldest first."""
    return [run["run"] for run in reversed(json.loads(shop.flowpipe("runs", "--json").out))]


def diff(capfd: pytest.CaptureFixture[str], shop: ProjectFolder, *arguments: str) -> Finished:
    capfd.readouterr()
    code = run_command(["diff", *arguments, "--project", str(shop.path)], debug=False)
    return Finished(code, *capfd.readouterr())


TOLD = """\
column: ~ sold Int64 -> Float64
column: + new Int64
column: - old String
rows: 1 added, 1 removed, 2 changed, 0 the same
changed in: sold (1 row), price (1 row)

added, 1 row x 3 columns:
item       sold    price
String  Float64  Float64
fig         9.0      4.0

removed, 1 row x 3 columns:
item       sold    price
String  Float64  Float64
pear        5.0      2.0

changed, 2 rows:
item   COLUMN   OLD  NEW
apple  sold     3.0  3.5
plum   price   NULL  2.5
"""


def sides(text: str) -> tuple[str, str, str]:
    """The sides of what was told, without times, and the rest."""
    first, old, new, *rest = text.splitlines(keepends=True)
    return first.strip(), f"{old.partition(', 2')[0].strip()} {new.partition(', 2')[0].strip()}", "".join(rest)


def test_the_last_run(shop: ProjectFolder, runs: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    told = diff(capfd, shop, "items")
    assert (told.code, told.err) == (0, "")
    between = f"old  version 1 (run {runs[1]} new  version 2 (run {runs[2]}"
    assert sides(told.out) == ("items, by item", between, TOLD)
    for arguments in (
        ("--versions", "0", "2"),
        ("--between", runs[0], "last"),
        ("--between", runs[1], runs[2][:-1]),
        ("--with-profile", "prod"),
    ):
        name = ["copy" if "prod" in arguments else "items"]
        told = diff(capfd, shop, *name, *arguments, "--exit-code")
        assert (told.code, told.err, sides(told.out)[2]) == (1, "", TOLD)


def test_rows_as_wholes(shop: ProjectFolder, capfd: pytest.CaptureFixture[str]) -> None:
    told = diff(capfd, shop, "items", "--key", "", "--head", "0")
    assert sides(told.out)[2].splitlines()[3:] == ["rows: 3 added, 3 removed, 0 changed, 0 the same"]


def test_no_difference(shop: ProjectFolder, capfd: pytest.CaptureFixture[str]) -> None:
    told = diff(capfd, shop, "items", "--versions", "0", "1", "--exit-code")
    assert (told.code, told.err, sides(told.out)[2]) == (0, "", "no difference: 3 rows\n")


def test_json(shop: ProjectFolder, capfd: pytest.CaptureFixture[str]) -> None:
    told = json.loads(diff(capfd, shop, "copy", "--with-profile", "prod", "--json", "-n", "1").out)
    nothing = {"version": None, "run": None, "at": None}
    assert told == {
        "dataset": "copy",
        "old": {"profile": "prod", **nothing},
        "new": {"profile": "dev", **nothing},
        "differ": True,
        "key": ["item"],
        "columns": [
            {"column": "sold", "old": "Int64", "new": "Float64", "compared": True},
            {"column": "new", "old": None, "new": "Int64", "compared": False},
            {"column": "old", "old": "String", "new": None, "compared": False},
        ],
        "rows": {"old": 3, "new": 3, "added": 1, "removed": 1, "changed": 2, "same": 0},
        "changed_columns": {"sold": 1, "price": 1},
        "examples": {
            "added": [{"item": "fig", "sold": 9.0, "price": 4.0}],
            "removed": [{"item": "pear", "sold": 5.0, "price": 2.0}],
            "changed": [{"key": {"item": "apple"}, "old": {"sold": 3.0}, "new": {"sold": 3.5}}],
        },
    }


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["item"], 'unknown dataset "item"\n  hint: did you mean "items"? known: copy, items, seen, stock'),
        (
            ["copy"],
            (
                "dataset copy has no earlier versions: its store base, duckdb, keeps none\n"
                "  hint: compare it with another profile: --with-profile NAME; delta stores keep versions"
            ),
        ),
        (
            ["seen"],
            (
                "there is nothing of dataset seen before run {0}\n"
                "  hint: run its pipeline again after a change, or name two: --versions OLD NEW, --with-profile NAME"
            ),
        ),
        (
            ["seen", "--between", "{0}", "{2}"],
            "run {2} did not publish dataset seen\n  hint: those that did: {0}",
        ),
        (["items", "--between", "last", "zz"], 'unknown run "zz"\n  hint: known: {0}, {1}, {2}'),
        (
            ["items", "--between", "2", "last"],
            '"2" begins the names of 3 runs\n  hint: give more of one: {2}, {1}, {0}',
        ),
        (
            ["items", "--versions", "0", "9"],
            'items has no version "9"\n  hint: its versions are whole numbers, the newest is 2',
        ),
        (
            ["items", "--versions", "v1", "2"],
            'items has no version "v1"\n  hint: its versions are whole numbers, the newest is 2',
        ),
        (
            ["items", "--versions", "0", "1", "--with-profile", "prod"],
            "--versions and --with-profile exclude each other\n  hint: keep one of them",
        ),
        (
            ["items", "--key", "itm"],
            'unknown column of the key: "itm"\n  hint: did you mean "item"? known: item, price, sold',
        ),
        (
            ["items", "--partition", "2024-01"],
            "dataset items has no partitions\n  hint: leave --partition out; `--sql` can select rows",
        ),
    ],
)
def test_what_cannot_be_compared(
    shop: ProjectFolder, runs: list[str], capfd: pytest.CaptureFixture[str], arguments: list[str], error: str
) -> None:
    told = diff(capfd, shop, *(argument.format(*runs) for argument in arguments))
    assert told == Finished(2, "", f"error: {error.format(*runs)}\n")


def test_versions_that_are_gone(shop: ProjectFolder, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copied = ProjectFolder(Path(shutil.copytree(shop.path, tmp_path / "project")))
    hint = "  hint: `flowpipe maintain` keeps old versions for its --retention; choose a newer one\n"
    table = DeltaTable(str(copied.path / "data/lake/items"))
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    head = "error: version 0 of items can no longer be read: "
    told = diff(capfd, copied, "items", "--versions", "0", "2")
    assert told == Finished(2, "", f"{head}1 of its 1 data files are gone\n{hint}")
    table.create_checkpoint()
    (copied.path / "data/lake/items/_delta_log/00000000000000000000.json").unlink()
    told = diff(capfd, copied, "items", "--versions", "0", "2")
    assert told == Finished(2, "", f"{head}its entry is no longer in the log\n{hint}")


NAN = float("nan")


def test_null_nan_and_both_zeros_are_values() -> None:
    old = pl.LazyFrame({"k": [None, 1, 2], "v": [NAN, 0.0, None], "l": [[1, None], [], None]})
    same = old.with_columns(pl.col("v").replace(0.0, -0.0))
    other = pl.LazyFrame({"k": [None, 1, 2], "v": [None, NAN, 0.0], "l": [[None, 1], None, []]})
    assert not compare(old, same, ["k"], 5)
    assert not compare(old, same, [], 5)
    found = compare(old, other, ["k"], 1)
    assert (found.changed, found.same, dict(found.changed_columns)) == (3, 0, {"v": 3, "l": 3})
    assert found.changed_examples[0].key == {"k": None}
    assert found.changed_examples[0].values["l"] == ([1, None], [None, 1])


def test_equal_rows_are_counted() -> None:
    old, new = pl.LazyFrame({"a": [1, 1, 1, 2]}), pl.LazyFrame({"a": [1, 2, 2, 2, 3]})
    found = compare(old, new, [], 5)
    assert (found.added, found.removed, found.same) == (3, 2, 2)
    assert sorted(found.added_examples["a"]) == [2, 3]


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        (pl.Series([1, 2]), pl.Series([1.0, 2.5]), 1),
        (pl.Series(["1", "x"]), pl.Series([1, 2]), 1),
        (pl.Series([0, 1], dtype=pl.Datetime("us")), pl.Series([0, 1], dtype=pl.Datetime("us", "UTC")), 2),
        (pl.Series([0, 1], dtype=pl.Date), pl.Series([0, 86_400_000], dtype=pl.Datetime("ms")), 0),
        (pl.Series(["a", "b"], dtype=pl.Categorical), pl.Series(["a", "c"]), 1),
        (pl.Series([[1], [2]]), pl.Series([[1], [3]], dtype=pl.List(pl.Int8)), 1),
        (pl.Series([[1], [2]]), pl.Series(["1", "2"]), 0),
        (pl.Series([{"x": 1}, None]), pl.Series([1, 2]), 0),
    ],
)
def test_types_that_changed(old: pl.Series, new: pl.Series, changed: int) -> None:
    key = pl.Series("k", [1, 2])
    found = compare(key.to_frame().with_columns(v=old).lazy(), key.to_frame().with_columns(v=new).lazy(), ["k"], 5)
    assert (found.changed, found.columns[0].old, found.columns[0].new) == (changed, old.dtype, new.dtype)
    assert found


def test_a_key_tells_rows_apart() -> None:
    twice = pl.LazyFrame({"k": ["a", "a", None], "v": [1, 2, 3]})
    with pytest.raises(UsageError) as told:
        compare(twice, twice, ["k"], 5)
    assert str(told.value) == (
        "the key (k) does not tell rows apart: 2 rows of the old side have k=a\n"
        "  hint: name more columns: --key a,b; or none, to compare whole rows: --key ''"
    )


ROWS = st.dictionaries(
    st.one_of(st.none(), st.integers(0, 5)),
    st.tuples(
        st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.5, NAN])), st.one_of(st.none(), st.text("ab", max_size=2))
    ),
)


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS)
def test_it_counts_as_python_does(
    old: dict[int | None, tuple[Any, ...]], new: dict[int | None, tuple[Any, ...]]
) -> None:
    def frame(rows: dict[int | None, tuple[Any, ...]]) -> pl.LazyFrame:
        schema = {"k": pl.Int64, "x": pl.Float64, "s": pl.String}
        return pl.LazyFrame([(key, *values) for key, values in rows.items()], schema=schema, orient="row")

    def told(rows: dict[int | None, tuple[Any, ...]]) -> dict[int | None, str]:
        return {key: str([x if x is None or x != 0 else 0.0, s]) for key, (x, s) in rows.items()}

    before, after = told(old), told(new)
    changed = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    by_key = compare(frame(old), frame(new), ["k"], 99)
    counted = (by_key.added, by_key.removed, by_key.changed, by_key.same)
    assert counted == (
        len(after.keys() - before.keys()),
        len(before.keys() - after.keys()),
        len(changed),
        len(before.keys() & after.keys()) - len(changed),
    )
    assert {row.key["k"] for row in by_key.changed_examples} == changed
    assert set(by_key.added_examples["k"]) == after.keys() - before.keys()
    whole = compare(frame(old).drop("k"), frame(new).drop("k"), [], 99)
    counts = Counter(after.values()), Counter(before.values())
    assert (whole.added, whole.removed) == ((counts[0] - counts[1]).total(), (counts[1] - counts[0]).total())
