"""Resume inside a step: frames that are kept, read back, computed again when anything changed, and tidied."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from flowpipe.testing import servers
from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]

KINDS = {
    "lazy": ("pl.LazyFrame", "numbers.with_columns(doubled=pl.col('n') * factor)"),
    "eager": ("pl.DataFrame", "numbers.with_columns(doubled=pl.col('n') * factor).collect()"),
    "pandas": (
        "pd.DataFrame",
        "numbers.with_columns(doubled=pl.col('n') * factor).collect().to_pandas().set_index('n')",
    ),
    "arrow": ("pa.Table", "numbers.with_columns(doubled=pl.col('n') * factor).collect().to_arrow()"),
    "reader": (
        "pa.RecordBatchReader",
        "numbers.with_columns(doubled=pl.col('n') * factor).collect().to_arrow().to_reader()",
    ),
    "relation": (
        "duckdb.DuckDBPyRelation",
        "duckdb.connect().from_arrow(numbers.with_columns(doubled=pl.col('n') * factor).collect().to_arrow())",
    ),
}
ROWS = {
    "lazy": "joined.collect()",
    "eager": "joined",
    "pandas": "pl.from_pandas(joined.reset_index())",
    "arrow": "pl.from_arrow(joined)",
    "reader": "pl.from_arrow(joined.read_all())",
    "relation": "joined.pl()",
}
STORES = "stores: {here: {adapter: files, url: data}, lake: {adapter: delta, url: data/lake}}\n"
CODE = """
    import os, signal
    from pathlib import Path

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa


    def _count(name: str) -> None:
        with Path(name).open("a") as file:
            file.write("x")


    def read(numbers: pl.LazyFrame) -> pl.LazyFrame:
        _count("read")
        return numbers


    def joined(read: pl.LazyFrame, factor: int) -> KIND:
        _count("joined")
        numbers = read
        return MADE


    def out(joined: KIND) -> pl.DataFrame:
        rows = ROWS
        if Path("kill").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if Path("broken").exists():
            raise ValueError("not yet")
        return rows
    """


def files(kind: str = "eager", **more: str) -> dict[str, str]:
    annotation, made = KINDS[kind]
    return {
        "conf/project.yml": "name: kept\n",
        "conf/profiles/dev.yml": STORES,
        "conf/catalog.yml": "numbers: {store: here, path: numbers.csv}\nout: {store: here, path: out.parquet}\n",
        "conf/pipelines/job.yml": PIPELINE,
        "pipelines/job.py": CODE.replace("KIND", annotation).replace("MADE", made).replace("ROWS", ROWS[kind]),
        "data/numbers.csv": "n\n1\n2\n3\n",
        "broken": "",
        **more,
    }


PIPELINE = "modules: [job]\nparams: {factor: 2}\nwrites: [out]\nnodes: {joined: {checkpoint: true}}\n"


def fails(project: ProjectFolder, *arguments: str, **env: str) -> str:
    """A run whose last node fails."""
    done = project.flowpipe("run", *arguments, **env)
    assert done.code == 1, done.err
    assert "not yet" in done.err
    return done.err


def runs(project: ProjectFolder, *arguments: str, **env: str) -> str:
    """A run whose last node is mended."""
    (project.path / "broken").unlink(missing_ok=True)
    done = project.flowpipe("run", *arguments, **env)
    assert done.code == 0, done.err
    assert done.err == ""
    return done.out


def computed(project: ProjectFolder, name: str = "joined") -> int:
    path = project.path / name
    return len(path.read_text()) if path.exists() else 0


def rows(project: ProjectFolder) -> list[tuple[object, ...]]:
    return pl.read_parquet(project.path / "data/out.parquet").rows()


def kept(project: ProjectFolder) -> list[Path]:
    return sorted((project.path / ".flowpipe/dev/checkpoints").rglob("*.*"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_kept_is_not_computed_again(empty_project: Make, kind: str) -> None:
    project = empty_project(files(kind))
    fails(project)
    assert (computed(project), len(kept(project))) == (1, 1)
    told = runs(project, "-v")
    assert (computed(project), computed(project, "read")) == (1, 1)
    assert rows(project) == [(1, 2), (2, 4), (3, 6)]
    assert "\n    joined  reused from its checkpoint" in told
    shown = project.flowpipe("show", "last").out
    assert "  node    joined  reused from its checkpoint" in shown
    assert "node    read" not in shown


def test_killed_after_it_was_kept(empty_project: Make) -> None:
    project = empty_project(files("lazy", kill=""))
    assert project.flowpipe("run").code == -signal.SIGKILL
    (project.path / "kill").unlink()
    runs(project)
    assert (computed(project), rows(project)) == (1, [(1, 2), (2, 4), (3, 6)])


CHANGES: dict[str, dict[str, str]] = {
    "param": {"conf/pipelines/job.yml": PIPELINE.replace("factor: 2", "factor: 3")},
    "code": {"pipelines/job.py": files()["pipelines/job.py"].replace("* factor", "* factor * 1")},
    "input": {"data/numbers.csv": "n\n1\n2\n3\n4\n"},
    "format": {"conf/catalog.yml": files()["conf/catalog.yml"].replace("numbers.csv}", "numbers.csv, format: csv}")},
    "config": {"conf/pipelines/job.yml": PIPELINE + "config: {fast: true}\n"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_computed_again(empty_project: Make, change: str) -> None:
    used = "from hamilton.function_modifiers import config\n\n\n"
    used += "@config.when(fast=True)\ndef unused() -> int:\n    return 1\n"
    project = empty_project(files(**{"pipelines/other.py": used}))
    fails(project)
    project.write(CHANGES[change])
    if change == "config":
        project.write(
            {"conf/pipelines/job.yml": CHANGES[change]["conf/pipelines/job.yml"].replace("[job]", "[job, other]")}
        )
    runs(project)
    assert computed(project) == 2


def test_a_read_that_is_no_trigger_counts(empty_project: Make) -> None:
    pipeline = PIPELINE + "reads: {numbers: {trigger: false}}\n"
    project = empty_project(files(**{"conf/pipelines/job.yml": pipeline}))
    fails(project)
    project.write({"data/numbers.csv": "n\n7\n"})
    runs(project)
    assert (computed(project), rows(project)) == (2, [(7, 14)])


def test_an_input_that_moves_meanwhile_is_not_kept(empty_project: Make) -> None:
    moving = (
        'path = Path("data/numbers.csv")\n        path.write_text(path.read_text() + "9\\n")\n        numbers = read'
    )
    code = files()["pipelines/job.py"].replace("numbers = read", moving)
    project = empty_project(files(**{"pipelines/job.py": code}))
    assert project.flowpipe("run").err.startswith("error: input numbers changed 3 times")
    assert (computed(project), kept(project)) == (3, [])


def test_force_computes_again_and_replaces(empty_project: Make) -> None:
    project = empty_project(files())
    fails(project)
    (before,) = kept(project)
    inode = before.stat().st_ino
    fails(project, "--force")
    (after,) = kept(project)
    assert (computed(project), after, after.stat().st_ino == inode) == (2, before, False)
    runs(project)
    assert computed(project) == 2


@pytest.mark.parametrize("kind", ["lazy", "eager", "pandas"])
@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_a_damaged_file_is_computed_again(empty_project: Make, kind: str, size: int) -> None:
    project = empty_project(files(kind))
    fails(project)
    (path,) = kept(project)
    os.truncate(path, size % path.stat().st_size)
    runs(project)
    assert (computed(project), rows(project)) == (2, [(1, 2), (2, 4), (3, 6)])


TAGGED = (
    files()["pipelines/job.py"]
    .replace("    def joined", '    @tag(checkpoint="true")\n    def joined')
    .replace("    import duckdb\n", "    import duckdb\n    from hamilton.function_modifiers import tag\n")
)


def test_a_tag_asks_for_it_and_yaml_has_the_last_word(empty_project: Make) -> None:
    pipeline = PIPELINE.partition("nodes")[0]
    project = empty_project(files(**{"pipelines/job.py": TAGGED, "conf/pipelines/job.yml": pipeline}))
    fails(project)
    assert len(kept(project)) == 1
    project.write({"conf/pipelines/job.yml": pipeline + "nodes: {joined: {checkpoint: false}}\n"})
    runs(project)
    assert computed(project) == 2


def test_what_was_kept_expires(empty_project: Make) -> None:
    profile = STORES + "checkpoints: {expire: 1d, max_size: 1MB}\n"
    project = empty_project(files(**{"conf/profiles/dev.yml": profile}))
    fails(project)
    (path,) = kept(project)
    torn = path.with_name("x.parquet.0123.aside")
    torn.write_bytes(b"0" * 10)
    old = time.time() - 2 * 86400
    os.utime(path, (old, old))
    assert project.flowpipe("clean", "--dry-run").out == (
        f"checkpoint (of a killed run): {torn}  10 B\n"
        f"checkpoint (expired): {path}  {path.stat().st_size} B\n"
        f"would remove 2, {path.stat().st_size + 10} B\n"
    )
    runs(project)
    assert (computed(project), [each.name for each in kept(project)]) == (2, [path.name])
    others = [path.with_name(f"{name}.parquet") for name in "ab"]
    for age, other in enumerate(others):
        other.write_bytes(b"0" * 600_000)
        os.utime(other, (time.time() - 60 * (age + 1),) * 2)
    runs(project)
    assert kept(project) == sorted([path, others[0]])


def test_use_renews(empty_project: Make) -> None:
    project = empty_project(files(**{"conf/profiles/dev.yml": STORES + "checkpoints: {expire: 1d}\n"}))
    fails(project)
    (path,) = kept(project)
    os.utime(path, (time.time() - 80_000,) * 2)
    fails(project)
    assert time.time() - path.stat().st_mtime < 1000


def test_clean(empty_project: Make) -> None:
    project = empty_project(files())
    assert project.flowpipe("clean").out == "nothing to clean\n"
    fails(project)
    state = project.path / ".flowpipe/dev"
    for name in ("scratch/20260101-000000-dead/x", "spill/1/y", "scratch/20260101-000000-live/z"):
        (state / name).parent.mkdir(parents=True)
        (state / name).write_text("12345")
    (state / "intents").mkdir(exist_ok=True)
    (state / "intents/20260101-000000-live-job-all.json").write_text("{}")
    (path,) = kept(project)
    told = [json.loads(line) for line in project.flowpipe("clean", "--all", "--dry-run", "--json").out.splitlines()]
    assert told == [
        {"what": "checkpoint", "place": str(path), "bytes": path.stat().st_size},
        {"what": "scratch folder", "place": str(state / "scratch/20260101-000000-dead"), "bytes": 5},
        {"what": "spilled rows", "place": str(state / "spill/1"), "bytes": 5},
    ]
    assert project.flowpipe("clean", "--checkpoints").out == "nothing to clean\n"
    assert project.flowpipe("clean", "--checkpoints", "--all").out.startswith(f"checkpoint: {path}  ")
    assert project.flowpipe("clean").out.endswith("\nremoved 2, 10 B\n")
    assert [each.name for each in (state / "scratch").iterdir()] == ["20260101-000000-live"]
    assert project.flowpipe("clean").out == "nothing to clean\n"


def test_clean_waits_for_no_run(empty_project: Make) -> None:
    project = empty_project(files())
    held = "from filelock import FileLock; lock = FileLock('.flowpipe/dev/lock')"
    held += "; lock.acquire(); print(flush=True); input()"
    (project.path / ".flowpipe/dev").mkdir(parents=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", held], cwd=project.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        done = project.flowpipe("clean")
    finally:
        holder.communicate(b"\n")
    assert done.code == 75
    assert "another run of this project and profile holds" in done.err


AUDITED = {
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv, schema: "schemas:Numbers", on_invalid: quarantine}
        out: {store: here, path: out.parquet}
        """,
    "pipelines/schemas.py": """
        import pandera.polars as pa


        class Numbers(pa.DataFrameModel):
            n: int = pa.Field(lt=3)
        """,
}


def test_the_contract_of_an_input_is_kept_to_although_its_rows_are_not_needed(empty_project: Make) -> None:
    project = empty_project(files(**AUDITED))
    fails(project)
    runs(project)
    assert (computed(project), rows(project)) == (1, [(1, 2), (2, 4)])
    assert pl.read_parquet(project.path / "data/numbers__rejected").height == 1
    project.write({"broken": "", "data/numbers.csv": "n\n1\n2\n8\n9\n"})
    fails(project)
    project.write({"conf/catalog.yml": AUDITED["conf/catalog.yml"].replace("quarantine", "fail")})
    (project.path / "broken").unlink()
    done = project.flowpipe("run")
    assert done.code == 3
    assert done.err.startswith("error: input numbers: ")


WRITTEN = {
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        first: {store: here, path: first.parquet, schema: "schemas:Numbers", on_invalid: quarantine}
        out: {store: here, path: out.parquet}
        """,
    "conf/pipelines/job.yml": PIPELINE.replace("[out]", "{read: first, out: out}"),
    "pipelines/schemas.py": AUDITED["pipelines/schemas.py"],
}


def test_what_is_written_above_is_made_again_and_what_is_made_of_it_is_not(empty_project: Make) -> None:
    project = empty_project(files("lazy", **WRITTEN))
    fails(project)
    assert (computed(project), computed(project, "read")) == (1, 1)
    runs(project)
    assert (computed(project), computed(project, "read"), rows(project)) == (1, 2, [(1, 2), (2, 4)])
    assert pl.read_parquet(project.path / "data/first.parquet").rows() == [(1,), (2,)]


@pytest.mark.parametrize(
    "change",
    [
        {"pipelines/schemas.py": WRITTEN["pipelines/schemas.py"].replace("lt=3", "lt=2")},
        {"conf/catalog.yml": WRITTEN["conf/catalog.yml"].replace("quarantine", "warn")},
    ],
)
def test_another_audit_above_is_another_frame(empty_project: Make, change: dict[str, str]) -> None:
    project = empty_project(files("lazy", **WRITTEN))
    fails(project)
    project.write(change)
    runs(project)
    assert computed(project) == 2


FREE = """
    from pathlib import Path

    import polars as pl


    def rate() -> float:
        return float(Path("rate").read_text())


    def joined(numbers: pl.LazyFrame, rate: float) -> pl.DataFrame:
        with Path("joined").open("a") as file:
            file.write("x")
        return numbers.select(pl.col("n") * rate).collect()


    def out(joined: pl.DataFrame) -> pl.DataFrame:
        if Path("broken").exists():
            raise ValueError("not yet")
        return joined
    """


def test_the_value_of_a_node_without_datasets_counts(empty_project: Make) -> None:
    pipeline = PIPELINE.replace("params: {factor: 2}\n", "")
    project = empty_project(files(**{"pipelines/job.py": FREE, "conf/pipelines/job.yml": pipeline, "rate": "2"}))
    fails(project)
    fails(project)
    assert computed(project) == 1
    project.write({"rate": "3"})
    runs(project)
    assert (computed(project), rows(project)) == (2, [(3.0,), (6.0,), (9.0,)])


def test_what_cannot_be_compared_is_never_kept(empty_project: Make) -> None:
    secret = PIPELINE.replace("factor: 2", "factor: ${env:FACTOR}").replace(
        "{factor: ${env:FACTOR}}", "\n  factor: ${env:FACTOR}"
    )
    project = empty_project(files(**{"conf/pipelines/job.yml": secret}))
    why = "the param factor came through ${...}, so that it is in no fingerprint\n"
    assert fails(project, FACTOR="2").startswith(f"node joined of pipeline job is not kept: {why}")
    assert kept(project) == []


@pytest.mark.parametrize("kind", ["eager", "lazy"])
def test_no_room(empty_project: Make, tmp_path: Path, kind: str) -> None:
    """A disk of its own where that may be mounted."""
    project = empty_project(files(kind))
    disk = project.path / ".flowpipe/dev/checkpoints"
    disk.mkdir(parents=True)
    project.write({"data/numbers.csv": "n\n" + "".join(f"{n * 7919 % 1_000_003}\n" for n in range(200_000))})
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        disk.rmdir()
        disk.write_text("a file where the folder should be")
    try:
        (project.path / "broken").unlink()
        done = project.flowpipe("run")
        assert done.code == 0, done.err
        assert done.err.startswith("node joined of pipeline job is not kept: ")
        assert disk.is_file() or kept(project) == []
        assert len(rows(project)) == 200_000
    finally:
        if disk.is_dir():
            subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("kind", ["lazy", "eager", "relation"])
@pytest.mark.parametrize("adapter", ["files", "delta"])
def test_in_a_store_that_machines_share(
    empty_project: Make, s3_server: servers.S3Server, tmp_path: Path, kind: str, adapter: str
) -> None:
    url = f"s3://{s3_server.bucket}/{tmp_path.name}"
    profile = STORES.replace("}}", f'}}, far: {{adapter: {adapter}, url: "{url}"}}}}') + "scratch: far\n"
    project = empty_project(files(kind, **{"conf/profiles/dev.yml": profile}))
    env = dict(s3_server.environment)
    fails(project, **env)
    # Another machine: nothing of the first is there.
    shutil.rmtree(project.path / ".flowpipe")
    runs(project, **env)
    assert (computed(project), rows(project), kept(project)) == (1, [(1, 2), (2, 4), (3, 6)], [])
    told = project.flowpipe("clean", "--all", **env).out
    assert told.startswith(f"checkpoint: {url}/.flowpipe/checkpoints/dev/job/joined/")
    assert "\nremoved 1, " in told
    assert project.flowpipe("clean", "--all", **env).out == "nothing to clean\n"


def test_in_a_folder_of_its_own(empty_project: Make) -> None:
    profile = STORES.replace("}}", "}, near: {adapter: files, url: near}}") + "scratch: near\n"
    project = empty_project(files("lazy", **{"conf/profiles/dev.yml": profile}))
    fails(project)
    assert len(list((project.path / "near/.flowpipe/checkpoints/dev/job/joined").iterdir())) == 1
    runs(project)
    assert (computed(project), rows(project)) == (1, [(1, 2), (2, 4), (3, 6)])


def test_a_store_that_does_not_answer_fails_no_run(empty_project: Make) -> None:
    store = '{adapter: files, url: "s3://b/x", options: {endpoint_url: "http://127.0.0.1:9", key: k, secret: hidden}}'
    profile = STORES.replace("}}", f"}}, far: {store}}}") + "scratch: far\n"
    project = empty_project(files(**{"conf/profiles/dev.yml": profile}))
    (project.path / "broken").unlink()
    done = project.flowpipe("run")
    assert (done.code, rows(project)) == (0, [(1, 2), (2, 4), (3, 6)])
    assert done.err.startswith("old checkpoints cannot be removed: ")
    assert "node joined of pipeline job is not kept: " in done.err
    assert "hidden" not in done.err
    done = project.flowpipe("clean")
    assert done.code == 1
    assert done.err.startswith("error: s3://b/x/.flowpipe/checkpoints/dev/ cannot be read: ")


def test_what_cannot_be_kept_is_refused(empty_project: Make) -> None:
    code = """
        from datetime import datetime

        import polars as pl


        def number(numbers: pl.DataFrame) -> int:
            return 1


        def asked() -> pl.DataFrame:
            return pl.DataFrame({"n": [1]})


        def timed(numbers: pl.DataFrame, run_time: datetime) -> pl.DataFrame:
            return numbers


        def always(numbers: pl.DataFrame) -> pl.DataFrame:
            return numbers


        def out(number: int, asked: pl.DataFrame, timed: pl.DataFrame, always: pl.DataFrame) -> pl.DataFrame:
            return timed
        """
    nodes = "nodes: {number: {checkpoint: true}, asked: {checkpoint: true}, timed: {checkpoint: true}, "
    pipeline = f"modules: [job]\nwrites: [out]\n{nodes}always: {{checkpoint: true, always: true}}}}\n"
    profile = STORES.replace("}}", "}, base: {adapter: duckdb, database: x.duckdb}}") + "scratch: base\n"
    changed = {"pipelines/job.py": code, "conf/pipelines/job.yml": pipeline, "conf/profiles/dev.yml": profile}
    done = empty_project(files(**changed)).flowpipe("check")
    assert done.code == 2
    place = "error: conf/pipelines/job.yml:3:"
    every_run = "made of no dataset, so its value is asked anew in every run"
    assert done.err == (
        f"{place}30: checkpoint: node number is annotated int; only frames can be kept\n"
        "  hint: keep a node that returns a frame\n"
        f"{place}57: checkpoint: node asked is {every_run}\n"
        "  hint: keep a node below it that reads a dataset\n"
        f"{place}84: checkpoint: node timed is made with run_time, which no two runs share\n"
        "  hint: keep a node above that\n"
        f"{place}112: checkpoint: node always is made of node always, which is `always: true`\n"
        "  hint: keep a node above that\n"
        "error: conf/profiles/dev.yml:2:10: scratch: store base is duckdb, which cannot keep the frames of nodes\n"
        "  hint: name a store of one of: delta, files\n"
    )


def test_a_wrong_tag_and_an_unknown_store(empty_project: Make) -> None:
    wrong = TAGGED.replace('checkpoint="true"', 'checkpoint="yes"')
    changed = {"pipelines/job.py": wrong, "conf/profiles/dev.yml": STORES + "scratch: her\n"}
    project = empty_project(files(**changed, **{"conf/pipelines/job.yml": PIPELINE.partition("nodes")[0]}))
    assert project.flowpipe("check").err == (
        'error: conf/profiles/dev.yml:2:10: unknown store "her"\n  hint: did you mean "here"? known: here, lake\n'
        "error: pipelines/job.py:22: checkpoint: node joined is tagged 'yes'\n"
        '  hint: write @tag(checkpoint="true") or "false"\n'
    )


@pytest.mark.parametrize("kind", ["lazy", "pandas"])
def test_on_workers(empty_project: Make, kind: str) -> None:
    profile = STORES + "executor: {type: processes, workers: 1}\n"
    project = empty_project(files(kind, **{"conf/profiles/dev.yml": profile}))
    fails(project)
    assert (computed(project), len(kept(project))) == (1, 1)
    runs(project)
    assert (computed(project), rows(project)) == (1, [(1, 2), (2, 4), (3, 6)])
