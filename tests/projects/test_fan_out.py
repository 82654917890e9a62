"""`Parallelizable` and `Collect` in a project: the same rows on every executor, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl
import pytest

from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]

FILES = {
    "conf/project.yml": "name: small\n",
    "conf/profiles/dev.yml": "stores:\n  here: {adapter: files, url: data}\n",
    "conf/catalog.yml": """
        rows: {store: here, path: rows.csv}
        total: {store: here, path: total.parquet}
        """,
    "conf/pipelines/scores.yml": "modules: [scores]\nwrites: [total]\n",
    "pipelines/scores.py": """
        from pathlib import Path

        import polars as pl
        from hamilton.htypes import Collect, Parallelizable


        def files(rows: pl.DataFrame) -> Parallelizable[str]:
            yield from rows["name"]


        def score(files: str, factor: int = 2) -> pl.DataFrame:
            if files == "bad":
                raise ValueError("no score")
            return pl.DataFrame({"name": [files], "score": [len(files) * factor]})


        def total(score: Collect[pl.DataFrame]) -> pl.DataFrame:
            return pl.concat(score)
        """,
    "data/rows.csv": "name\na\nbb\nccc\n",
}


@pytest.fixture
def scores(empty_project: Make) -> ProjectFolder:
    return empty_project(FILES)


def total(project: ProjectFolder) -> list[tuple[str, int]]:
    return pl.read_parquet(project.path / "data/total.parquet").select("name", "score").rows()


@pytest.mark.parametrize("executor", ["sync", "threads", "processes"])
def test_a_fan_out_gives_its_rows_in_order(scores: ProjectFolder, executor: str) -> None:
    done = scores.flowpipe("run", "--set", f"executor.type={executor}")
    assert (done.code, done.err) == (0, "")
    assert total(scores) == [("a", 2), ("bb", 4), ("ccc", 6)]
    scores.write({"data/rows.csv": "name\na\nbb\nbad\nd\n"})
    failed = scores.flowpipe("run", "--set", f"executor.type={executor}")
    assert failed.code == 1
    assert re.sub(r" on pid \d+ on [^:]+:", ":", failed.err) == (
        "error: pipelines/scores.py:11: node score[2] failed for item 'bad' of files: ValueError: no score\n"
        '  at pipelines/scores.py:13: raise ValueError("no score")\n'
        "  hint: run again with --debug to see the traceback\n"
    )
    assert total(scores) == [("a", 2), ("bb", 4), ("ccc", 6)]


@pytest.mark.parametrize("executor", ["sync", "threads", "processes"])
def test_thousands_of_items(scores: ProjectFolder, executor: str) -> None:
    names = [f"n{number}" for number in range(2000)]
    scores.write({"data/rows.csv": "\n".join(["name", *names, ""])})
    done = scores.flowpipe("run", "--set", f"executor.type={executor}")
    assert (done.code, done.err) == (0, "")
    assert total(scores) == [(name, 2 * len(name)) for name in names]


def test_what_runs_once_per_item_is_neither_written_nor_kept(scores: ProjectFolder) -> None:
    scores.write({"conf/pipelines/scores.yml": "modules: [scores]\nwrites: {score: total}\n"})
    checked = scores.flowpipe("check")
    assert (checked.code, checked.err) == (
        2,
        (
            "error: pipelines/scores.py:11: node score is written, but there is one for each item of files\n"
            "  hint: write the node that collects it\n"
        ),
    )
    scores.write({"conf/pipelines/scores.yml": "modules: [scores]\nwrites: {files: total}\n"})
    assert "node files is written, but there is one for each item of files\n" in scores.flowpipe("check").err
    kept = "modules: [scores]\nwrites: [total]\nnodes: {score: {checkpoint: true}}\n"
    scores.write({"conf/pipelines/scores.yml": kept})
    checked = scores.flowpipe("check")
    assert (checked.code, checked.err) == (
        2,
        (
            "error: conf/pipelines/scores.yml:3:29: checkpoint: node score is made for each item of a fan-out\n"
            "  hint: keep the node that collects them\n"
        ),
    )


FREE = """
    from pathlib import Path

    import polars as pl
    from hamilton.htypes import Collect, Parallelizable


    def files() -> Parallelizable[str]:
        yield from Path("names").read_text().split()


    def score(files: str{parameter}) -> int:
        return {score}


    def scores(score: Collect[int]) -> int:
        return sum(score)


    def total(rows: pl.LazyFrame, scores: int) -> pl.LazyFrame:
        return rows.with_columns(score=pl.lit(scores))
    """


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize(
    ("parameter", "score"),
    [("", "len(files)"), ("", 'len(files) + int(Path("more").read_text())'), (", rows: pl.LazyFrame", "len(files)")],
)
def test_items_of_no_dataset_are_never_skipped_wrongly(
    scores: ProjectFolder, executor: str, parameter: str, score: str
) -> None:
    scores.write({"pipelines/scores.py": FREE.format(parameter=parameter, score=score), "names": "a bb", "more": "0"})

    def found() -> list[tuple[str, int]]:
        done = scores.flowpipe("run", "--set", f"executor.type={executor}")
        assert (done.code, done.err) == (0, "")
        return total(scores)

    assert found() == [(name, 3) for name in ("a", "bb", "ccc")]
    assert found() == [(name, 3) for name in ("a", "bb", "ccc")]
    scores.write({"names": "a bb cccc"})
    assert found() == [(name, 7) for name in ("a", "bb", "ccc")]
    if "more" in score:
        scores.write({"more": "1"})
        assert found() == [(name, 10) for name in ("a", "bb", "ccc")]
