"""What a killed or failed run had decided is finished by the next one, without computing it again."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.conftest import Finished, ProjectFolder

PROJECT = {
    "conf/project.yml": "name: small\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
          base: {adapter: duckdb, database: data/base.duckdb}
        """,
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        file: {store: here, path: file.parquet}
        text: {store: here, path: text.csv}
        delta: {store: lake, table: numbers}
        base: {store: base, table: numbers}
        """,
    "conf/pipelines/job.yml": "modules: [job]\nwrites: [delta, file, text, base]\n",
    "pipelines/job.py": """
        from pathlib import Path

        import polars as pl


        def counted(numbers: pl.DataFrame) -> pl.DataFrame:
            with Path("computed").open("a") as computed:
                computed.write("x")
            return numbers


        def delta(counted: pl.DataFrame) -> pl.DataFrame:
            return counted


        def file(counted: pl.DataFrame) -> pl.DataFrame:
            return counted


        def text(counted: pl.DataFrame) -> pl.DataFrame:
            return counted


        def base(counted: pl.DataFrame) -> pl.DataFrame:
            return counted
        """,
    "data/numbers.csv": "n\n1\n2\n",
}
OUTPUTS = ("delta", "file", "text", "base")

# Dies before the publication of this number, the manifest being saved.
KILLED = """
import os, signal, sys
from flowpipe.cli import main
from flowpipe.publishing import Publisher

at, *arguments = sys.argv[1:]
publish = Publisher._publish


def killed(publisher, intent, **keywords):
    adapter = publisher.catalog.adapter
    calls = []

    def counting(dataset):
        calls.append(dataset)
        if len(calls) > int(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return adapter(dataset)

    publisher.catalog.adapter = counting
    publish(publisher, intent, **keywords)


Publisher._publish = killed
sys.argv = ["flowpipe", *arguments]
main()
"""


# Another process opens the database when the step is published.
LOCKED_OUT = """
import subprocess, sys
from flowpipe.cli import main
from flowpipe.publishing import Publisher

HOLD = "import duckdb, sys; held = duckdb.connect('data/base.duckdb'); print(flush=True); sys.stdin.read()"
publish = Publisher._publish


def locked_out(publisher, intent, **keywords):
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    print(holder.pid, file=sys.stderr, flush=True)
    try:
        publish(publisher, intent, **keywords)
    finally:
        holder.communicate(b"")


Publisher._publish = locked_out
sys.argv = ["flowpipe", "run"]
main()
"""


@pytest.fixture
def job(empty_project) -> ProjectFolder:
    project: ProjectFolder = empty_project(PROJECT)
    return project


def run_killed(project: ProjectFolder, publications: int) -> None:
    """A run that is killed when it has published so many of its four outputs."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(publications), "run"]
    killed = subprocess.run(command, cwd=project.path, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def computed(project: ProjectFolder) -> int:
    """How often the pipeline's rows have been computed."""
    return len((project.path / "computed").read_text())


def published(project: ProjectFolder) -> dict[str, list[int] | None]:
    """The rows of every output; None where there is none."""
    data = project.path / "data"
    found: dict[str, list[int] | None] = dict.fromkeys(OUTPUTS)
    if (data / "lake/numbers/_delta_log").exists():
        found["delta"] = pl.read_delta(str(data / "lake/numbers"))["n"].to_list()
    if (data / "file.parquet").exists():
        found["file"] = pl.read_parquet(data / "file.parquet")["n"].to_list()
    if (data / "text.csv").exists():
        found["text"] = pl.read_csv(data / "text.csv")["n"].to_list()
    if (data / "base.duckdb").exists():
        with duckdb.connect(str(data / "base.duckdb"), read_only=True) as connection:
            if connection.sql("FROM duckdb_tables() WHERE table_name = 'numbers'").fetchall():
                found["base"] = [n for (n,) in connection.sql("FROM numbers").fetchall()]
    return found


def outcomes(project: ProjectFolder) -> list[str]:
    """The outcomes of all runs as `runs` shows them, newest first."""
    return [line.split("  dev ")[1].split()[0] for line in project.flowpipe("runs").out.splitlines()[1:]]


def manifests(project: ProjectFolder) -> list[Path]:
    return sorted((project.path / ".flowpipe/dev/intents").glob("*"))


def lines_of(done: Finished) -> list[str]:
    """What a run printed, without names and times of runs."""
    return [" ".join(line.split()[:-2]) for line in done.out.splitlines()[1:-1]]


@pytest.mark.parametrize("publications", [0, 2])
def test_a_killed_run_is_finished_without_computing(job: ProjectFolder, publications: int) -> None:
    run_killed(job, publications)
    seen = [name for name, rows in published(job).items() if rows is not None]
    assert (seen, computed(job)) == (list(OUTPUTS[:publications]), 1)
    assert outcomes(job) == ["crashed"]
    (manifest,) = manifests(job)

    # The inputs move on meanwhile: what was decided is published first, what is stale runs then.
    (job.path / "data/numbers.csv").write_text("n\n3\n")
    (job.path / "pipelines/job.py").rename(job.path / "pipelines/gone.py")
    broken = job.flowpipe("run")
    assert (broken.code, broken.out, manifests(job)) == (2, "", [manifest])
    (job.path / "pipelines/gone.py").rename(job.path / "pipelines/job.py")
    done = job.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    assert lines_of(done) == [
        *(f"job recovered: {name}" for name in OUTPUTS),
        "job done delta 1 row, file 1 row, text 1 row, base 1 row",
    ]
    assert published(job) == {key: [3] for key in OUTPUTS}
    assert (computed(job), manifests(job), outcomes(job)) == (2, [], ["done", "crashed"])
    assert job.flowpipe("run").out.count("skipped") == 2


def test_nothing_is_computed_when_nothing_moved(job: ProjectFolder) -> None:
    run_killed(job, 1)
    done = job.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    assert lines_of(done)[-1] == "job skipped up to date"
    assert published(job) == {key: [1, 2] for key in OUTPUTS}
    assert (computed(job), manifests(job)) == (1, [])
    shown = job.flowpipe("show", "last").out.splitlines()
    assert [line.split()[-1] for line in shown if line.startswith("  output")] == ["recovered"] * 4


def test_staged_files_that_are_gone_are_made_again(job: ProjectFolder) -> None:
    run_killed(job, 1)
    for staged in (job.path / "data").glob("*.flowpipe-*"):
        staged.unlink()
    done = job.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    assert lines_of(done) == ["job done file 2 rows, text 2 rows, base 2 rows"]
    assert published(job) == {key: [1, 2] for key in OUTPUTS}
    assert (computed(job), manifests(job)) == (2, [])


def test_a_decided_dataset_or_store_that_is_gone_is_named(job: ProjectFolder) -> None:
    run_killed(job, 1)
    (manifest,) = manifests(job)
    for name, old, new, what in (
        ("conf/catalog.yml", "delta: {", "renamed: {", "dataset delta"),
        ("conf/profiles/dev.yml", "  lake: {", "  pond: {", "dataset delta to store lake"),
    ):
        files = {name: (job.path / name).read_text(), "conf/pipelines/job.yml": "modules: [job]\nwrites: [file]\n"}
        job.write({**files, name: files[name].replace(old, new)})
        if what != "dataset delta":
            catalog = (job.path / "conf/catalog.yml").read_text()
            job.write({"conf/catalog.yml": catalog.replace("lake", "pond")})
        stopped = job.flowpipe("run")
        assert (stopped.code, stopped.err) == (
            2,
            (
                f"error: {manifest}: a run that was killed had decided to publish {what}, "
                "which is not configured any more\n"
                "  hint: put it back and run again, or delete this file to give those rows up\n"
            ),
        )
        job.write(files)
    job.write({name: text for name, text in PROJECT.items() if name.startswith("conf")})
    assert job.flowpipe("run").code == 0
    assert (published(job), computed(job)) == ({key: [1, 2] for key in OUTPUTS}, 1)


def test_a_failed_publish_is_published_by_the_next_run(job: ProjectFolder) -> None:
    failed = subprocess.run(
        [sys.executable, "-c", LOCKED_OUT], cwd=job.path, capture_output=True, text=True, check=False
    )
    holder, *told = failed.stderr.split("\n", 1)
    assert (failed.returncode, told) == (
        4,
        [
            (
                f"error: conf/profiles/dev.yml:4:3: data/base.duckdb is held open by process {holder}\n"
                "  hint: close it there, then run again\n"
            )
        ],
    )
    assert published(job) == {key: [1, 2] for key in OUTPUTS} | {"base": None}
    assert outcomes(job) == ["failed"]
    with duckdb.connect(str(job.path / "data/base.duckdb")):
        again = job.flowpipe("run")
    (manifest,) = (job.path / ".flowpipe/dev/intents").glob("*.json")
    way_out = f"or delete .flowpipe/dev/intents/{manifest.name} to give these rows up"
    assert again.code == 4
    assert again.err.splitlines()[1] == f"  hint: close it there, then run again, {way_out}"
    done = job.flowpipe("run")
    assert (done.code, done.err) == (0, "")
    assert lines_of(done)[-1] == "job skipped up to date"
    assert (published(job), computed(job)) == ({key: [1, 2] for key in OUTPUTS}, 1)
