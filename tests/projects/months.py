"""A project whose steps are months; what its node does beside its work, a test says in `beside.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from tests.conftest import ProjectFolder

FILES = {
    "conf/project.yml": "name: small\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
          base: {adapter: duckdb, database: data/base.duckdb}
        """,
    "conf/catalog.yml": """
        rows: {store: here, path: rows.csv, options: {try_parse_dates: true}}
        out: {store: here, path: "out/{partition}.parquet", mode: replace, partition: {every: month, column: day}}
        """,
    "conf/pipelines/cut.yml": "modules: [cut]\nwrites: [out]\n"
    "partitions: {every: month, start: 2024-01, end: 2024-03}\n",
    "pipelines/beside.py": """
        def in_node(month: str) -> None: ...
        def in_staging(month: str) -> None: ...
        """,
    "pipelines/waiting.py": '''
        import os
        import time
        from pathlib import Path


        def until(*names: str) -> None:
            """Wait for files."""
            last = time.monotonic() + 20
            while not all(Path(name).exists() for name in names):
                assert time.monotonic() < last, f"waited in vain for {names}"
                time.sleep(0.01)


        def tell(name: str) -> None:
            """Write this process's number into a file, whole."""
            Path(f"{name}.part").write_text(str(os.getpid()))
            Path(f"{name}.part").rename(name)
        ''',
    "pipelines/cut.py": """
        from functools import partial

        import beside
        import polars as pl


        def _staged(frame: pl.DataFrame, month: str) -> pl.DataFrame:
            beside.in_staging(month)
            return frame


        def out(rows: pl.LazyFrame, partition: str) -> pl.LazyFrame:
            beside.in_node(partition)
            mine = rows.filter(pl.col("day").dt.strftime("%Y-%m") == partition)
            return mine.map_batches(partial(_staged, month=partition))
        """,
    "data/rows.csv": "id,day\n1,2024-01-05\n2,2024-02-05\n3,2024-03-05\n",
}

IDLE = FILES["pipelines/beside.py"]


def beside(node: str = "pass", staging: str = "pass") -> dict[str, str]:
    """The file that says what a month does beside: a line of Python in its node, and while its rows are computed."""
    return {
        "pipelines/beside.py": "import os\nfrom pathlib import Path\n\nfrom waiting import tell, until\n\n\n"
        f"def in_node(month: str) -> None:\n    {node}\n\n\ndef in_staging(month: str) -> None:\n    {staging}\n"
    }


def ids(project: ProjectFolder) -> list[int]:
    """What is published."""
    return sorted(pl.read_parquet(project.path / "data/out/*.parquet")["id"].to_list())


def published(project: ProjectFolder) -> set[str]:
    return {path.name for path in (project.path / "data/out").glob("*.parquet")}


def shown(project: ProjectFolder) -> Any:
    """The last run, as the ledger keeps it."""
    return json.loads(project.flowpipe("show", "last", "--json").out)


def steps(project: ProjectFolder) -> dict[str, str]:
    """The outcomes of the last run's steps."""
    return {f"{step['pipeline']} {step['slice']}": step["outcome"] for step in shown(project)["steps"]}


def shared_memory(run: str) -> list[Path]:
    """What a run has left there."""
    return list(Path("/dev/shm").glob(f"flowpipe-{run}*"))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextmanager
def running(project: ProjectFolder, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run in the background."""
    command = [sys.executable, "-m", "flowpipe", "run", *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=project.path, env=os.environ | {"COLUMNS": "200"}, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()
