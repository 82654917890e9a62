"""Somebody else's executor passes the suite, and runs a project through the command once its package is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from flowpipe_pool import Pool, PoolOptions

from flowpipe.executors import Executor, Site
from flowpipe.importer import Importer
from flowpipe.testing import ExecutorSuite
from tests.conftest import ProjectFolder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    site = Site("run", tmp_path_factory.mktemp("scratch"), Importer("_flowpipe_none", {}))
    with closing(Pool(PoolOptions(workers=2), site)) as made:
        yield made


class TestPool(ExecutorSuite):
    many = 200
    patience = 5.0

    @pytest.fixture
    def executor(self, running: Pool) -> Executor:
        return running


def test_a_project_uses_it_through_the_command(project: ProjectFolder, install: Callable[[Path], str]) -> None:
    path = install(Path(__file__).parent)
    profile = (project.path / "conf/profiles/dev.yml").read_text()
    project.write(
        {
            "conf/profiles/dev.yml": f"{profile}executor: {{type: pool, workers: 1}}\n",
            "pipelines/double.py": """
                import os

                import polars as pl


                def eager(numbers: pl.DataFrame) -> pl.DataFrame:
                    return numbers.with_columns(process=pl.lit(os.getpid()), driver=pl.lit(os.getppid()))


                def doubled(eager: pl.DataFrame, factor: int) -> pl.DataFrame:
                    return eager.with_columns(pl.col("n") * factor)
                """,
        }
    )
    done = project.flowpipe("run", PYTHONPATH=path)
    assert (done.code, done.err) == (0, "")
    rows = pl.read_parquet(project.path / "data/doubled.parquet")
    assert rows["n"].to_list() == [2, 4, 6]
    assert rows.filter(pl.col("process") == pl.col("driver")).is_empty()
    assert "up to date" in project.flowpipe("run", PYTHONPATH=path).out

    told = project.flowpipe("check", "--set", "executor.workers=none", PYTHONPATH=path)
    assert (told.code, "workers" in told.err) == (2, True)
    without = project.flowpipe("check")
    assert (without.code, 'unknown executor "pool"' in without.err) == (2, True)
