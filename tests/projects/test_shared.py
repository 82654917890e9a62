"""What several outputs are made of is computed once."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from flowpipe.project import Project

PROJECT = {
    "conf/project.yml": "name: shared\n",
    "conf/profiles/dev.yml": "stores: {here: {adapter: files, url: data}}\n",
    "conf/catalog.yml": (
        "numbers: {store: here, path: numbers.csv}\n"
        "evens: {store: here, path: evens.parquet}\nsums: {store: here, path: sums.parquet}\n"
    ),
    "conf/pipelines/split.yml": "modules: [split]\nwrites: [evens, sums]\n",
    "pipelines/split.py": """
import polars as pl


def _noted(rows: pl.DataFrame) -> pl.DataFrame:
    with open("computed.txt", "a") as notes:
        notes.write(f"{rows.height}\\n")
    return rows


def doubled(numbers: pl.LazyFrame) -> pl.LazyFrame:
    return numbers.select(pl.col("n") * 2).map_batches(_noted, schema={"n": pl.Int64})


def evens(doubled: pl.LazyFrame) -> pl.LazyFrame:
    return doubled.filter(pl.col("n") % 4 == 0)


def sums(doubled: pl.LazyFrame) -> pl.LazyFrame:
    return doubled.select(pl.col("n").sum())
""",
    "data/numbers.csv": "n\n1\n2\n3\n",
}


def test_a_lazy_node_is_computed_once_for_all_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = Project.load(tmp_path).run()
    assert result.error is None
    assert pl.read_parquet("data/evens.parquet")["n"].to_list() == [4]
    assert pl.read_parquet("data/sums.parquet")["n"].to_list() == [12]
    assert sum(map(int, (tmp_path / "computed.txt").read_text(encoding="utf-8").split())) == 3
