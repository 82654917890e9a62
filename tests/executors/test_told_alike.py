"""What goes wrong in a node reads the same wherever it ran: what, where, why, and after how many attempts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import EXECUTORS, ProjectFolder

ISOLATED = ("processes", "dask", "ray")
PIPELINE = "modules: [double]\nwrites: [doubled]\n"
LINES = {"pipelines/double.py": "", "conf/pipelines/double.yml": ""}
HINT = "  hint: run again with --debug to see the traceback\n"
WORKER = re.compile(r" on pid \d+ on [\w.-]+(?=:)")


@dataclass(frozen=True)
class Case:
    """A pipeline that fails, the exit code, and what is told; `on WORKER` stands where only workers have a name."""

    nodes: str
    told: str
    code: int = 1
    yaml: str = PIPELINE
    catalog: str = "doubled: {store: here, path: doubled.parquet}\n"


HEAD = "import time\nfrom pathlib import Path\n\nimport pandera.polars as pa\nimport polars as pl\n\n\n"
CASES = {
    "an error": Case(
        'def doubled(numbers: pl.DataFrame) -> pl.DataFrame:\n    raise ValueError("no such carrier: ZZ")\n',
        "pipelines/double.py:8: node doubled failed after 2 attempts on WORKER: ValueError: no such carrier: ZZ\n"
        '  at pipelines/double.py:9: raise ValueError("no such carrier: ZZ")\n' + HINT,
        yaml=PIPELINE + "retry: {attempts: 2, wait: 1ms}\n",
    ),
    "an error where the step goes as a whole": Case(
        'def doubled(numbers: pl.LazyFrame) -> pl.LazyFrame:\n    raise ValueError("no such carrier: ZZ")\n',
        "pipelines/double.py:8: node doubled failed after 2 attempts on WORKER: ValueError: no such carrier: ZZ\n"
        '  at pipelines/double.py:9: raise ValueError("no such carrier: ZZ")\n' + HINT,
        yaml=PIPELINE + "retry: {attempts: 2, wait: 1ms}\n",
    ),
    "one that cannot travel": Case(
        "class Odd(ValueError):\n"
        "    def __init__(self, what, where):\n"
        '        super().__init__(f"{what} in {where}")\n'
        '        self.file = open("data/numbers.csv")\n\n\n'
        'def doubled(numbers: pl.DataFrame) -> pl.DataFrame:\n    raise Odd("mice", "the cellar")\n',
        "pipelines/double.py:14: node doubled failed on WORKER: Odd: mice in the cellar\n"
        '  at pipelines/double.py:15: raise Odd("mice", "the cellar")\n' + HINT,
    ),
    "nothing where a frame should be": Case(
        "def half(numbers: pl.DataFrame) -> pl.DataFrame:\n    if numbers.is_empty():\n        return numbers\n\n\n"
        "def doubled(half: pl.DataFrame) -> pl.DataFrame:\n    return half\n",
        "pipelines/double.py:8: node half gives None, but is annotated polars.DataFrame\n"
        "  hint: return such a value on every path, or correct the annotation\n",
    ),
    "an error of flowpipe's": Case(
        "from flowpipe.errors import DataError\n\n\n"
        "def doubled(numbers: pl.DataFrame) -> pl.DataFrame:\n"
        '    raise DataError("the feed is of yesterday", hint="wait for it")\n',
        "pipelines/double.py:11: the feed is of yesterday\n  hint: wait for it\n",
        code=3,
    ),
    "rows that are not valid": Case(
        "class Small(pa.DataFrameModel):\n    n: int = pa.Field(le=2)\n\n\n"
        "def doubled(numbers: pl.LazyFrame) -> pl.LazyFrame:\n    return numbers\n",
        "pipelines/double.py:12: dataset doubled (node doubled): n: less_than_or_equal_to(2): 1 of 3 rows\n"
        "  hint: nothing was published; mend the data or its schema and run again\n",
        code=3,
        catalog="doubled: {store: here, path: doubled.parquet, schema: 'double:Small', on_invalid: fail}\n",
    ),
    "one item of a fan-out": Case(
        "from hamilton.htypes import Collect, Parallelizable\n\n\n"
        'def item(numbers: pl.DataFrame) -> Parallelizable[int]:\n    yield from numbers["n"]\n\n\n'
        "def share(item: int) -> float:\n    return 1 / (item - 2)\n\n\n"
        "def doubled(share: Collect[float]) -> pl.DataFrame:\n    return pl.DataFrame({'n': share})\n",
        "pipelines/double.py:15: node share[1] failed for item 2 of item on WORKER: "
        "ZeroDivisionError: division by zero\n"
        "  at pipelines/double.py:16: return 1 / (item - 2)\n" + HINT,
    ),
    "two nodes": Case(
        'def left(numbers: pl.DataFrame) -> int:\n    Path("left").touch()\n'
        '    while BOTH and not Path("right").exists():\n        time.sleep(0.01)\n    raise KeyError("left")\n\n\n'
        'def right(numbers: pl.DataFrame) -> int:\n    Path("right").touch()\n    time.sleep(0.5)\n'
        '    raise OSError(28, "No space left")\n\n\n'
        "def doubled(left: int, right: int) -> pl.DataFrame:\n    return pl.DataFrame({'n': [left, right]})\n",
        "pipelines/double.py:8: node left failed on WORKER: KeyError: 'left'\n"
        '  at pipelines/double.py:12: raise KeyError("left")\n'
        "  node right failed as well: OSError: [Errno 28] No space left\n" + HINT,
    ),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("case", CASES)
def test_it_reads_the_same(
    project: ProjectFolder, executor_yaml: Callable[[str], str], executor: str, case: str
) -> None:
    one = CASES[case]
    profile = (project.path / "conf/profiles/dev.yml").read_text()
    # A worker of a cluster of others' has another working folder.
    nodes = one.nodes.replace("BOTH", str(executor != "sync")).replace('"data', f'"{project.path}/data')
    nodes = re.sub(r'Path\("', f'Path("{project.path}/', nodes)
    project.write(
        {
            "conf/catalog.yml": f"numbers: {{store: here, path: numbers.csv}}\n{one.catalog}",
            "conf/pipelines/double.yml": one.yaml,
            "conf/profiles/dev.yml": f"{profile}executor: {executor_yaml(executor)}\n",
        }
    )
    (project.path / "pipelines/double.py").write_text(HEAD + nodes)
    done = project.flowpipe("run")
    expected = one.told if executor in ISOLATED else one.told.replace(" on WORKER", "")
    if executor == "sync":
        expected = "".join(line for line in expected.splitlines(keepends=True) if "as well" not in line)
    assert WORKER.sub(" on WORKER", done.err) == f"error: {expected}"
    assert done.code == one.code
    assert not Path(project.path / "data/doubled.parquet").exists()


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("frame", ["DataFrame", "LazyFrame"])
def test_the_traceback_of_debug_has_the_users_frames(
    project: ProjectFolder, executor_yaml: Callable[[str], str], executor: str, frame: str
) -> None:
    profile = (project.path / "conf/profiles/dev.yml").read_text()
    project.write(
        {
            "conf/profiles/dev.yml": f"{profile}executor: {executor_yaml(executor)}\n",
            "pipelines/double.py": f"""
                import polars as pl


                def _deeper(rows):
                    raise LookupError("no rate")


                def doubled(numbers: pl.{frame}, factor: int) -> pl.{frame}:
                    return _deeper(numbers)
                """,
        }
    )
    done = project.flowpipe("run", "--debug")
    frames = re.findall(r'File "(?:[^"]*/)?pipelines/double.py", line (\d+), in (\w+)', done.err)
    assert frames == [("9", "doubled"), ("5", "_deeper")]
    assert 'raise LookupError("no rate")' in done.err
    assert "RayTaskError" not in done.err
