"""A project whose files all live in S3, through the command: credentials come from the environment and go nowhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import s3fs

from flowpipe.testing import servers
from tests.conftest import Finished, ProjectFolder

PROJECT = {
    "conf/project.yml": "name: far\n",
    "conf/profiles/dev.yml": """
        stores:
          landing: {adapter: files, url: "s3://ROOT/landing"}
          reports: {adapter: files, url: "s3://ROOT/reports"}
        executor: {type: sync}
        """,
    "conf/catalog.yml": """
        sales: {store: landing, path: "sales/{partition:%Y-%m}.csv", partition: {every: month},
                options: {schema_overrides: {city: String}}}
        cities: {store: landing, path: cities.json}
        totals: {store: reports, path: "totals/{partition:%Y-%m}.parquet", mode: replace, partition: {every: month}}
        lines: {store: reports, path: "lines/{partition:%Y-%m}.csv", mode: replace, partition: {every: month}}
        """,
    "conf/pipelines/sales.yml": """
        modules: [sales]
        writes: {total: totals, line: lines}
        partitions: {every: month, start: 2013-01, end: 2013-02}
        """,
    "pipelines/sales.py": """
        import polars as pl


        def line(sales: pl.LazyFrame, cities: pl.LazyFrame) -> pl.LazyFrame:
            return sales.join(cities, on="city").select("city", "country", pl.col("amount").cast(pl.Int16))


        def total(line: pl.LazyFrame) -> pl.LazyFrame:
            return line.group_by("country").agg(pl.col("amount").sum()).sort("country")
        """,
}
CITIES = [{"city": "01", "country": "x"}, {"city": "02", "country": "y"}]


@dataclass(frozen=True)
class Far:
    """The project, and its bucket as somebody else sees it."""

    project: ProjectFolder
    server: servers.S3Server
    fs: Any
    root: str

    def flowpipe(self, *arguments: str) -> Finished:
        done = self.project.flowpipe(*arguments, **self.server.environment)
        for said in (done.out, done.err):
            assert self.server.secret not in said
            assert "Traceback" not in said
        return done

    def put(self, path: str, text: str) -> None:
        self.fs.pipe_file(f"{self.root}/{path}", text.encode())

    def plan(self) -> dict[str, tuple[str, str]]:
        """What happens to each window, and why."""
        planned = self.flowpipe("plan", "--json")
        assert planned.code == 0, planned.err
        return {row["step"].split()[-1]: (row["action"], row["reason"]) for row in json.loads(planned.out)}

    def run(self) -> dict[str, str]:
        """How each window ended."""
        done = self.flowpipe("run", "--json")
        assert done.code == 0, done.err
        records = [json.loads(line) for line in done.out.splitlines()]
        return {record["slice"]: record["outcome"] for record in records if record["record"] == "StepEnded"}


@pytest.fixture
def far(tmp_path: Path, s3_server: servers.S3Server) -> Iterator[Far]:
    fs = s3fs.S3FileSystem(
        key=s3_server.key, secret=s3_server.secret, endpoint_url=s3_server.endpoint, use_listings_cache=False
    )
    root = f"{s3_server.bucket}/{tmp_path.name}"
    project = ProjectFolder(tmp_path).write({name: text.replace("ROOT", root) for name, text in PROJECT.items()})
    far = Far(project, s3_server, fs, root)
    far.put("landing/cities.json", json.dumps(CITIES))
    for month in ("2013-01", "2013-02"):
        far.put(f"landing/sales/{month}.csv", "city,amount\n01,5\n02,6\n01,7\n")
    yield far
    fs.rm(far.root, recursive=True)


BOTH = {"2013-01": "done", "2013-02": "done"}
CURRENT = {"2013-01": ("skip", "up to date"), "2013-02": ("skip", "up to date")}


def read(far: Far, path: str) -> pl.DataFrame:
    content = far.fs.cat_file(f"{far.root}/reports/{path}")
    return pl.read_parquet(content) if path.endswith("parquet") else pl.read_csv(content)


def test_what_is_in_s3_is_run_and_skipped(far: Far) -> None:
    checked = far.flowpipe("check")
    assert (checked.code, checked.out) == (0, "ok: 1 pipeline, 4 datasets, profile dev\n")
    assert far.run() == BOTH
    assert read(far, "totals/2013-01.parquet").rows() == [("x", 12), ("y", 6)]
    assert read(far, "lines/2013-02.csv").height == 3
    objects = sorted(path.removeprefix(f"{far.root}/reports/") for path in far.fs.find(f"{far.root}/reports"))
    assert objects == [
        "lines/.2013-01.csv.flowpipe.json",
        "lines/.2013-02.csv.flowpipe.json",
        "lines/2013-01.csv",
        "lines/2013-02.csv",
        "totals/2013-01.parquet",
        "totals/2013-02.parquet",
    ]
    assert far.plan() == CURRENT
    before = {path: far.fs.info(path)["LastModified"] for path in far.fs.find(far.root)}
    assert far.run() == {"2013-01": "skipped", "2013-02": "skipped"}
    assert {path: far.fs.info(path)["LastModified"] for path in far.fs.find(far.root)} == before
    # What was forgotten here is known there.
    shutil.rmtree(far.project.path / ".flowpipe")
    assert far.plan() == CURRENT


def test_a_changed_object_makes_its_window_stale_and_no_other(far: Far) -> None:
    assert far.run() == BOTH
    far.put("landing/sales/2013-02.csv", "city,amount\n02,1\n")
    assert far.plan() == CURRENT | {"2013-02": ("run", "sales: version changed")}
    assert far.run() == {"2013-01": "skipped", "2013-02": "done"}
    assert read(far, "totals/2013-02.parquet").rows() == [("y", 1)]
    assert far.plan() == CURRENT


def test_what_others_did_to_an_output_is_noticed_and_repaired(far: Far) -> None:
    assert far.run() == BOTH
    far.put("reports/lines/2013-01.csv", "city,country,amount\n")
    read(far, "totals/2013-02.parquet").head(1).write_parquet(far.project.path / "foreign")
    far.fs.put_file(str(far.project.path / "foreign"), f"{far.root}/reports/totals/2013-02.parquet")
    planned = far.plan()
    assert planned["2013-01"] == ("run", "the file was changed by somebody else")
    assert planned["2013-02"] == ("run", "the file was replaced")
    assert far.run() == BOTH
    assert read(far, "totals/2013-02.parquet").rows() == [("x", 12), ("y", 6)]
    assert read(far, "lines/2013-01.csv").height == 3
    assert far.plan() == CURRENT
    far.fs.rm_file(f"{far.root}/reports/lines/2013-02.csv")
    assert far.plan()["2013-02"] == ("run", "the file is gone")


def test_a_missing_object_and_wrong_credentials_are_told_apart(far: Far) -> None:
    far.fs.rm_file(f"{far.root}/landing/cities.json")
    missing = far.flowpipe("run")
    assert missing.code == 2
    assert f"s3://{far.root}/landing/cities.json" in missing.err
    wrong = far.project.flowpipe("run", **far.server.environment | {"AWS_SECRET_ACCESS_KEY": "wrong-but-secret"})
    assert wrong.code == 1
    assert "cannot be reached: PermissionError: Forbidden" in wrong.err
    assert "wrong-but-secret" not in wrong.err + wrong.out


def test_the_secret_is_nowhere_but_in_the_environment(far: Far) -> None:
    assert far.run() == BOTH
    far.put("landing/cities.json", '[{"city"')
    assert far.flowpipe("run", "--verbose").code == 3
    assert far.flowpipe("--debug", "plan").code == 0
    for command in (("list", "--json"), ("plan", "--json"), ("runs", "--json"), ("show", "last", "--json")):
        assert far.flowpipe(*command).code == 0
    kept = [path for path in far.project.path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" or "ledger" in path.name for path in kept)
    secret = far.server.secret.encode()
    assert [path for path in kept if secret in path.read_bytes()] == []
    assert [path for path in far.fs.find(far.root) if secret in far.fs.cat_file(path)] == []


def test_maintain_tidies_what_is_in_s3(far: Far) -> None:
    assert far.run() == BOTH
    bucket, _, folder = far.root.partition("/")
    far.fs.call_s3("create_multipart_upload", Bucket=bucket, Key=f"{folder}/reports/totals/2013-01.parquet")
    assert "totals: nothing to do" in far.flowpipe("maintain").out
    assert "totals: 1 upload that never ended was aborted" in far.flowpipe("maintain", "--retention", "0s").out
    assert far.plan() == CURRENT
