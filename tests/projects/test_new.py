"""What `flowpipe new` adds is right at once, asked for on a terminal, and checked before anything is written."""

from __future__ import annotations

import os
import pty
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import polars as pl
import pytest

from flowpipe.cli import run_command
from tests.conftest import MINIMAL, ProjectFolder, killed_before_rename

Said = Callable[..., tuple[int, str, str]]
CATALOG = """\
# What is read
numbers: {store: here, path: numbers.csv}   # by hand

doubled:
  store: here
  path: doubled.parquet
orders: {store: here, path: orders.csv, options: {try_parse_dates: true}}
months: {store: here, path: "m/{partition:%Y-%m}.csv", partition: {every: month, column: at}}
"""
ORDERS = "at,n\n2024-01-05,1\n2024-02-06,2\n2024-02-07,3\n"


@pytest.fixture
def shop(project: ProjectFolder) -> ProjectFolder:
    project.write({"data/orders.csv": ORDERS})
    (project.path / "conf/catalog.yml").write_text(CATALOG)
    return project


@pytest.fixture
def said(shop: ProjectFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """The command, in the project's folder: its exit code, what it prints, and its errors."""
    monkeypatch.chdir(shop.path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = run_command(list(arguments), debug=False)
        return code, *capsys.readouterr()

    return run


def files(folder: Path) -> dict[str, bytes]:
    """All that a person wrote, or might have written."""
    parts = [path for part in ("conf", "pipelines") for path in (folder / part).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in parts if path.suffix != ".pyc"}


def test_a_pipeline_of_the_whole(said: Said, shop: ProjectFolder) -> None:
    assert said("new", "pipeline", "totals", "--reads", "orders", "--store", "lake") == (
        0,
        (
            "added totals to conf/catalog.yml\nmade pipelines/totals.py\nmade conf/pipelines/totals.yml\n\nnext:\n"
            "  flowpipe run --select totals  # looks at its rows, publishes nothing\n"
            "  flowpipe run totals           # publishes them\n"
        ),
        "",
    )
    assert (shop.path / "conf/catalog.yml").read_text() == CATALOG + "totals: {store: lake, table: totals}\n"
    assert (shop.path / "conf/pipelines/totals.yml").read_text() == (
        "# yaml-language-server: $schema=../schema/pipeline.json\nmodules: [totals]\nwrites: [totals]\n"
    )
    assert (shop.path / "pipelines/totals.py").read_text() == (
        '"""What totals makes of orders."""\n\nimport polars as pl\n\n\n'
        "def totals(orders: pl.LazyFrame) -> pl.LazyFrame:\n"
        '    """One row for each row of orders, so far."""\n    return orders\n'
    )
    assert said("check")[:2] == (0, "ok: 2 pipelines, 5 datasets, profile dev\n")
    assert said("run", "totals")[0] == 0
    assert pl.read_delta("data/lake/totals").height == 3


def test_a_pipeline_by_month(said: Said, shop: ProjectFolder) -> None:
    windows = ("--every", "month", "--start", "2024-01", "--end", "2024-02")
    assert said("new", "pipeline", "load", "--reads", "orders", "--writes", "kept", "--store", "lake", *windows) == (
        2,
        "",
        "error: --column is missing\n  hint: flowpipe new pipeline load --column COLUMN\n",
    )
    asked = ("new", "pipeline", "load", "--reads", "orders", "--writes", "kept", "--store", "lake", *windows)
    code, out, err = said(*asked, "--column", "at")
    assert (code, err) == (0, "")
    assert out.endswith(
        "  flowpipe run --select kept --partition 2024-01  # looks at its rows, publishes nothing\n"
        "  flowpipe run load                               # publishes them\n"
    )
    kept = "kept: {store: lake, table: kept, mode: replace, partition: {every: month, column: at}}\n"
    assert (shop.path / "conf/catalog.yml").read_text() == CATALOG + kept
    assert (
        b"\npartitions: {every: month, start: 2024-01, end: 2024-02}\n" in files(shop.path)["conf/pipelines/load.yml"]
    )
    assert said("run", "load")[0] == 0
    assert sorted(pl.read_delta("data/lake/kept")["n"]) == [1, 2, 3]
    # What is kept by month already is cut by flowpipe; files of a month are told apart by their names.
    windows = ("--every", "year", "--start", "2024", "--end", "2024")
    assert said("new", "pipeline", "again", "--reads", "kept", "--store", "here", *windows)[0] == 0
    assert b"def again(kept: pl.LazyFrame) -> pl.LazyFrame:" in files(shop.path)["pipelines/again.py"]
    assert said("run", "again")[0] == 0
    assert pl.read_parquet("data/again/2024.parquet").height == 3


def test_all_mistakes_of_a_pipeline_at_once(said: Said, shop: ProjectFolder) -> None:
    before = files(shop.path)
    assert said(
        "new", "pipeline", "to-do", "--reads", "order", "--writes", "class", "--store", "lak", "--end", "9"
    ) == (
        2,
        "",
        (
            'error: NAME: "to-do" is not a name\n'
            "  hint: a name is letters, digits and _, begins with no digit, and is no word of Python's\n"
            'error: --writes: "class" is not a name\n'
            "  hint: a name is letters, digits and _, begins with no digit, and is no word of Python's\n"
            'error: unknown dataset "order"\n'
            '  hint: did you mean "orders"? known: doubled, months, numbers, orders\n'
            "error: --end goes with --every\n  hint: such as --every month\n"
            'error: unknown store "lak"\n  hint: did you mean "lake"? known: base, here, lake\n'
        ),
    )
    assert said("new", "pipeline", "double", "--every", "mont", "--start", "2024-01-05") == (
        2,
        "",
        (
            "error: --reads and --store are missing\n"
            "  hint: flowpipe new pipeline double --reads DATASET --store STORE\n"
            "error: there is already pipelines/double.py\n  hint: choose another name, or change that file\n"
            "error: there is already conf/pipelines/double.yml\n  hint: choose another name, or change that file\n"
            'error: --every: unknown grain "mont"\n  hint: did you mean "month"? known: day, month, year\n'
        ),
    )
    assert said(
        "new", "pipeline", "load", "--reads", "months", "--every", "day", "--store", "here", "--start", "2024-1"
    ) == (
        2,
        "",
        'error: --start: "2024-1" is not the start of a day\n  hint: write it like 2013-02-01\n',
    )
    assert said("new", "pipeline", "orders", "--reads", "orders", "--store", "lake") == (
        2,
        "",
        (
            "error: orders would read what it writes: orders\n  hint: write another dataset\n"
            "error: conf/catalog.yml:7:1: dataset orders is there already, in store here\n  hint: choose another name\n"
        ),
    )
    # Two pipelines that write the same: only the whole shows it.
    code, out, err = said("new", "pipeline", "load", "--reads", "orders", "--writes", "doubled")
    assert (code, out) == (2, "")
    assert "doubled" in err
    assert files(shop.path) == before


def test_a_dataset(said: Said, shop: ProjectFolder) -> None:
    assert said("new", "dataset", "visits", "--store", "here", "--path", "visits/*.csv") == (
        0,
        "added visits to conf/catalog.yml\n",
        "",
    )
    more = (
        "--mode",
        "merge",
        "--key",
        "id",
        "--key",
        "day,shop",
        "--partition",
        "month:day",
        "--schema",
        "schemas:Sales",
    )
    assert said("new", "dataset", "sales", "--store", "base", "--table", "main.sales", *more)[0] == 0
    assert said("new", "dataset", "plain", "--store", "lake")[0] == 0
    assert (shop.path / "conf/catalog.yml").read_text() == CATALOG + (
        'visits: {store: here, path: "visits/*.csv", options: {try_parse_dates: true}}\n'
        "sales:\n  store: base\n  table: main.sales\n  mode: merge\n  key: [id, day, shop]\n"
        '  partition: {every: month, column: day}\n  schema: "schemas:Sales"\n'
        "plain: {store: lake, table: plain}\n"
    )


def test_all_mistakes_of_a_dataset_at_once(said: Said, shop: ProjectFolder) -> None:
    before = files(shop.path)
    assert said("new", "dataset", "orders", "--store", "her", "--partition", "hourly:at") == (
        2,
        "",
        (
            'error: unknown store "her"\n  hint: did you mean "here"? known: base, here, lake\n'
            "error: conf/catalog.yml:7:1: dataset orders is there already, in store here\n  hint: choose another name\n"
            'error: --partition: unknown grain "hourly"\n  hint: known: day, month, year\n'
        ),
    )
    told = "error: --path is missing\n  hint: flowpipe new dataset visits --path FILE\n"
    assert said("new", "dataset", "visits", "--store", "here") == (2, "", told)
    told = "error: --store is missing\n  hint: flowpipe new dataset visits --store STORE\n"
    assert said("new", "dataset", "visits") == (2, "", told)
    told = "error: merge needs a key\n  hint: add key: [COLUMN]\n"
    assert said("new", "dataset", "visits", "--store", "lake", "--mode", "merge") == (2, "", told)
    assert files(shop.path) == before


@pytest.mark.parametrize(
    ("catalog", "added"),
    [
        ("", "x: {store: lake, table: x}\n"),
        ("# nothing yet", "# nothing yet\nx: {store: lake, table: x}\n"),
        ("numbers: {store: here, path: n.csv}", "numbers: {store: here, path: n.csv}\nx: {store: lake, table: x}\n"),
        ("n: {store: here, path: n.csv}\r\n", "n: {store: here, path: n.csv}\r\nx: {store: lake, table: x}\r\n"),
        ("\ufeffn: {store: here, path: n.csv}\n", "\ufeffn: {store: here, path: n.csv}\nx: {store: lake, table: x}\n"),
        ("{n: {store: here, path: n.csv}}\n", None),
        ("  n: {store: here, path: n.csv}\n", None),
        ("n: {store: here, path: n.csv}\n...\n", None),
    ],
)
def test_any_catalog_keeps_its_form(said: Said, shop: ProjectFolder, catalog: str, added: str | None) -> None:
    place = shop.path / "conf/catalog.yml"
    (shop.path / "conf/pipelines/double.yml").unlink()
    place.write_bytes(catalog.encode())
    place.chmod(0o640)
    code, _, err = said("new", "dataset", "x", "--store", "lake")
    assert (code, place.read_bytes()) == ((0, added.encode()) if added else (2, catalog.encode()))
    assert place.stat().st_mode & 0o777 == 0o640
    told = (
        "error: nothing can be added at the end of conf/catalog.yml, which is not a list of names\n"
        "  hint: add it by hand: x: {store: lake, table: x}\n"
    )
    assert err == ("" if added else told)


def test_a_profile(said: Said, shop: ProjectFolder) -> None:
    dev = """
        stores:
          here: {adapter: files, url: data}
          far: {adapter: files, url: "${env:FAR}", options: {key: k}}
          base: {adapter: postgres, dsn: "${env:DSN}", schema: a}
          own: {adapter: postgres, password: geheim}
        """
    shop.write({"conf/profiles/dev.yml": dev})
    assert said("new", "profile", "prod", "--executor", "processes") == (0, "made conf/profiles/prod.yml\n", "")
    assert (shop.path / "conf/profiles/prod.yml").read_text() == (
        "# yaml-language-server: $schema=../schema/profile.json\n"
        "extends: dev\n"
        "# A store that is named here is laid over the one of dev; with another adapter it replaces it.\n"
        "# stores:\n"
        "#   here: {adapter: files, url: data}\n"
        '#   far: {adapter: files, url: "${env:FAR}"}\n'
        '#   base: {adapter: postgres, dsn: "${env:DSN}", schema: a}\n'
        "#   own: {adapter: postgres}\n"
        "executor: {type: processes}\n"
    )
    assert said("check", "--profile", "prod", "--offline")[0] == 0
    assert said("new", "profile", "prod", "--executor", "process") == (
        2,
        "",
        (
            "error: there is already conf/profiles/prod.yml\n  hint: choose another name, or change that file\n"
            'error: unknown executor "process"\n'
            '  hint: did you mean "processes"? known: dask, processes, ray, sync, threads\n'
        ),
    )
    assert said("new", "profile", "test", "--extends", "prod")[0] == 0
    assert "extends: prod\n" in (shop.path / "conf/profiles/test.yml").read_text()


def test_where_there_is_no_project(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = said("new", "profile", "prod")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: no flowpipe project at {tmp_path} or above it")


def test_a_project_that_is_wrong_is_told_first(said: Said, shop: ProjectFolder) -> None:
    shop.write({"conf/pipelines/double.yml": "modules: [double]\nwrite: [doubled]\n"})
    before = files(shop.path)
    code, out, err = said("new", "dataset", "x", "--store", "lake")
    assert (code, out) == (2, "")
    assert "conf/pipelines/double.yml:2:1" in err
    assert files(shop.path) == before


@pytest.mark.parametrize("renamed", [1, 2])
def test_killed_in_the_middle_the_project_is_whole_and_the_same_command_goes_on(
    said: Said, shop: ProjectFolder, renamed: int
) -> None:
    asked = ["new", "pipeline", "totals", "--reads", "orders", "--store", "lake"]
    killed_before_rename(renamed + 1, f"from flowpipe.cli import run_command; run_command({asked}, debug=False)")
    assert said("check")[1].startswith("ok: 1 pipeline, 5 datasets")
    made = ["pipelines/totals.py", "conf/pipelines/totals.yml"][renamed - 1 :]
    assert said(*asked)[1].startswith("".join(f"made {path}\n" for path in made) + "\nnext:\n")
    assert said("check")[1].startswith("ok: 2 pipelines, 5 datasets")
    assert list(shop.path.rglob("*.flowpipe-new")) == []


def on_a_terminal(folder: Path, *arguments: str, answers: list[str]) -> str:
    """What a person sees who types these answers, each when the command waits for one."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "flowpipe", *arguments])
    seen: list[str] = []

    def listen() -> None:
        while chunk := _read(terminal):
            seen.append(chunk.decode())

    listener = Thread(target=listen)
    listener.start()
    for answer in answers:
        length, deadline = len("".join(seen)), time.monotonic() + 60
        while not ("".join(seen).endswith(": ") and len("".join(seen)) >= length):
            assert time.monotonic() < deadline, "".join(seen)
            time.sleep(0.02)
        seen.append("<")
        os.write(terminal, f"{answer}\n".encode())
    listener.join(60)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "".join(seen)
    return "".join(seen).replace("\r\n", "\n").replace("<", "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the command has ended
        return b""


def test_asked_on_a_terminal(shop: ProjectFolder) -> None:
    answers = ["order", "orders", "kept", "y", "month", "2024-01", "lake", "at"]
    seen = on_a_terminal(shop.path, "new", "pipeline", "load", "--end", "2024-02", answers=answers)
    assert seen.startswith(
        "It reads the dataset (numbers, doubled, orders, months): order\n"
        'unknown name "order"\n  hint: did you mean "orders"? known: doubled, months, numbers, orders\n'
        "It reads the dataset (numbers, doubled, orders, months): orders\n"
        "It writes the dataset [load]: kept\n"
        "Does it run once for each day, month or year? [y/N]: y\n"
        "Which (day, month, year): month\n"
        "The first month, like 2024-01: 2024-01\n"
        "kept is new: it is kept in the store (here, lake, base): lake\n"
        "The column of kept that tells the month of a row: at\n"
    )
    assert "made conf/pipelines/load.yml" in seen
    assert shop.flowpipe("run", "load").code == 0
    assert sorted(pl.read_delta(str(shop.path / "data/lake/kept"))["n"]) == [1, 2, 3]
    seen = on_a_terminal(shop.path, "new", "dataset", "visits", answers=["here", ""])
    assert seen.startswith("It is kept in the store (here, lake, base): here\nIts path there [visits.parquet]: \n")
    seen = on_a_terminal(shop.path, "new", "profile", "prod", answers=["n"])
    assert seen.startswith("Do functions run elsewhere than there? [y/N]: n\nmade conf/profiles/prod.yml")
    assert MINIMAL["conf/project.yml"] == (shop.path / "conf/project.yml").read_text()
