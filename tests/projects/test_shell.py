"""What a person at a terminal sees: completion, quiet runs, colours, narrow windows, Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ
from typing import Any

import pytest

from flowpipe.cli import app
from tests.conftest import ProjectFolder

Complete = Callable[[str], list[str]]


@pytest.fixture
def monthly(project: ProjectFolder) -> ProjectFolder:
    return project.write(
        {
            "conf/catalog.yml": """
                numbers: {store: here, path: numbers.csv}
                doubled:
                  {store: here, path: "{partition:%Y-%m}.parquet", mode: replace, partition: {every: month}}
                """,
            "conf/pipelines/double.yml": """
                modules: [double]
                params: {factor: 2}
                writes: [doubled]
                partitions: {every: month, start: 2024-01, end: 2024-03}
                """,
        }
    )


@pytest.fixture
def complete(monthly: ProjectFolder, tmp_path: Path) -> Complete:
    """What bash offers for a line that stands before the cursor, by the script that the command prints."""
    script = monthly.flowpipe("completion", "bash").out
    (tmp_path / "flowpipe").write_text(f'#!/bin/sh\nexec {sys.executable} -m flowpipe "$@"\n')
    (tmp_path / "flowpipe").chmod(0o755)

    def offered(line: str) -> list[str]:
        words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
        asked = (
            f"{script}\nCOMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}\n"
            f'_flowpipe_completion flowpipe\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
        )
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", asked], cwd=monthly.path, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return done.stdout.split()

    return offered


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("flowpipe pl", ["plan"]),
        ("flowpipe run ", ["double"]),
        ("flowpipe run --profile ", ["dev"]),
        ("flowpipe run double --partition 2024-0", ["2024-03", "2024-02", "2024-01"]),
        ("flowpipe run --from ", ["2024-03", "2024-02", "2024-01"]),
        ("flowpipe run --select ", ["doubled"]),
        ("flowpipe completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_a_shell_completes(complete: Complete, line: str, offers: list[str]) -> None:
    assert complete(line) == offers


def test_runs_are_completed_and_what_is_broken_offers_nothing(complete: Complete, monthly: ProjectFolder) -> None:
    run = monthly.flowpipe("run").out.split()[1]
    assert complete("flowpipe show ") == ["last", run]
    monthly.write({"conf/pipelines/double.yml": "partitions: [\n"})
    assert complete("flowpipe run --partition ") == []
    monthly.write({"conf/pipelines/double.yml": "partitions: {every: fortnight, start: 1}\n"})
    assert complete("flowpipe run --partition ") == []
    assert complete("flowpipe run -C / ") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_zsh_and_fish_are_answered(monthly: ProjectFolder, shell: str) -> None:
    assert f"_FLOWPIPE_COMPLETE=complete_{shell}" in monthly.flowpipe("completion", shell).out
    asked = {"_FLOWPIPE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "flowpipe run --profile "}
    done = monthly.flowpipe(**asked, _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert (done.code, done.err) == (0, "")
    assert "dev" in done.out


def test_an_unknown_shell(project: ProjectFolder) -> None:
    done = project.flowpipe("completion", "tcsh")
    assert done.code == 2
    assert "tcsh" in done.err


def test_a_quiet_run_says_nothing_but_what_to_look_at(project: ProjectFolder) -> None:
    assert (project.flowpipe("run", "-q").out, project.flowpipe("check", "--quiet").out) == ("", "")
    catalog = (project.path / "conf/catalog.yml").read_text()
    strict = catalog.replace("doubled.parquet}", 'doubled.parquet, schema: "schemas:Doubled", on_invalid: warn}')
    project.write(
        {
            "conf/catalog.yml": strict,
            "pipelines/schemas.py": """
                import pandera.polars as pa


                class Doubled(pa.DataFrameModel):
                    n: int = pa.Field(lt=5)
                """,
        }
    )
    done = project.flowpipe("run", "--quiet", "--force")
    assert (done.code, done.err) == (0, "")
    assert done.out == "warning: double: warned 1 row of doubled: n: less_than(5)\n"
    unfit = project.flowpipe("run", "-q", "-v")
    told = "error: --quiet, --verbose and --json exclude one another\n  hint: give one of them\n"
    assert (unfit.code, unfit.err) == (2, told)


class Terminal:
    """A command on a terminal of so many columns."""

    def __init__(self, project: ProjectFolder, *arguments: str, columns: int = 60, **env: str) -> None:
        ours, theirs = pty.openpty()
        ioctl(theirs, TIOCSWINSZ, pack("HHHH", 30, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flowpipe", *arguments],
            cwd=project.path,
            env=environment | {"TERM": "xterm-256color"} | env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._ours = ours

    def rest(self) -> str:
        """All that it prints, to its end."""
        return "".join(self._chunks())

    def _chunks(self) -> Iterator[str]:
        while True:
            try:
                chunk = os.read(self._ours, 10_000)
            except OSError:  # how Linux says that the other end is closed
                break
            if not chunk:
                break
            yield chunk.decode(errors="replace")
        os.close(self._ours)
        self.process.wait(30)


ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_tables_fit_a_narrow_terminal_and_keep_their_names_whole(project: ProjectFolder) -> None:
    run = project.flowpipe("run").out.split()[1]
    for arguments, name in ((("runs",), run), (("list",), "doubled"), (("plan",), "double")):
        lines = ESCAPES.sub("", Terminal(project, *arguments).rest()).splitlines()
        assert max(len(line.rstrip()) for line in lines) <= 60
        assert any(line.startswith(f"{name} ") for line in lines)
    assert "just now" in Terminal(project, "runs", columns=80).rest()


@pytest.mark.parametrize("arguments", [("plan",), ("run", "--force"), ("show", "last")])
def test_no_color(project: ProjectFolder, arguments: tuple[str, ...]) -> None:
    project.flowpipe("run")
    colour = re.compile(r"\x1b\[[0-9;]*3[1-7]m")
    assert colour.search(Terminal(project, *arguments).rest()) or arguments == ("plan",)
    assert not colour.search(Terminal(project, *arguments, NO_COLOR="1").rest())


SLOW = """
import time
from pathlib import Path

import polars as pl


def doubled(numbers: pl.LazyFrame, factor: int) -> pl.LazyFrame:
    Path("here").touch()
    time.sleep(30)
    return numbers
"""


def test_ctrl_c_is_answered_at_once(project: ProjectFolder) -> None:
    project.write({"pipelines/double.py": SLOW})
    run = Terminal(project, "run")
    deadline = time.monotonic() + 60
    while not (project.path / "here").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pressed = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    told = ESCAPES.sub("", run.rest())
    assert run.process.returncode == 130
    assert "error: interrupted; nothing is half published" in told
    assert "Traceback" not in told
    assert time.monotonic() - pressed < 20  # the node sleeps longer


def test_every_command_has_an_example_that_it_takes() -> None:
    import typer.main

    for path, command in commands(typer.main.get_command(app), ["flowpipe"]):
        examples = re.findall(r"Example: (.*)", command.help or "")
        assert examples, path
        for example in examples:
            words = shlex.split(example.partition(" > ")[0].removeprefix('eval "$(').removesuffix(')"'))
            assert words[: len(path)] == path
            command.make_context(path[-1], words[len(path) :]).close()


def commands(group: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    """Every command, also those of groups, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, [*path, name])
        else:
            yield [*path, name], command
