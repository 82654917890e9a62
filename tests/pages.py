"""A page is a script: its files are written, its commands run from top to bottom, and what they print is compared.

A block with a title, or with a path in a comment as its first line, is that file. `bash` runs, and so does `python`
without a title; a `text` block right after is what it prints, errors too. Lines of `...` stand for any lines; run ids,
times and durations may be any.
`python -m tests.pages PAGE...` puts into a page what its commands print now: read the difference before you keep it.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>\w+) -->\n)?```(?P<kind>\w+)(?P<attributes>(?: \w+=\"[^\"]*\")*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FENCE = re.compile(r"^\s*(?:>\s*)?(?:```|~~~)", re.MULTILINE)
_NAMED = re.compile(r"# ((?:[\w.-]+/)*[\w.-]+\.\w+)\n")
_FILES = {"yaml", "python", "sql", "csv", "toml", "json"}
# What differs from run to run, and the blanks that fill a column.
_VARIES = (
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "RUN"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:\+00:00|Z| UTC)?"), "TIME"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:seconds?|minutes?|hours?|s|min|h) ago|\bjust now\b"), "AGO"),
    (re.compile(r"\b(?:\d+h \d+m|\d+m \d+s|\d+(?:\.\d+)? ?m?s)\b(?!/)(?: \(\d+:\d\d:\d\d\))?"), "TOOK"),
    (re.compile(r"(?<=\S) {2,}|\s+$"), "  "),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language and attributes, and the mark in a comment before it."""

    page: Path
    line: int
    kind: str
    text: str
    mark: str | None = None
    title: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order; one that is indented, quoted or left open would escape, and is refused."""
    text = page.read_text(encoding="utf-8")
    found = list(_BLOCK.finditer(text))
    assert len(_FENCE.findall(text)) == 2 * len(found), f"{page.name}: a block that nothing sees"
    return [_block(page, text, match) for match in found]


def _block(page: Path, text: str, match: re.Match[str]) -> Block:
    attributes = dict(re.findall(r'(\w+)="([^"]*)"', match["attributes"]))
    line = text.count("\n", 0, match.start()) + 1
    named = _NAMED.match(match["text"]) if match["kind"] in _FILES else None
    title = attributes.get("title", named[1] if named else None)
    return Block(page, line, match["kind"], match["text"], match["mark"], title)


def play(page: Path, folder: Path, told: Callable[[Block, str], None] | None = None) -> None:
    """Do what a page says in an empty folder; `told` takes what is shown and what is printed, instead of a comparison.

    Raises:
        AssertionError: a command fails or prints something else, or nothing runs a block.
    """
    environment, printed = _environment(folder.parent / f"{folder.name}-python"), None
    place = folder
    for block in blocks(page):
        if block.title:
            assert block.kind in _FILES, f"{block.place}: a file of language {block.kind}"
            _write(place / block.title, block.text)
            printed = None
        elif block.kind == "text":
            assert printed is not None, f"{block.place}: the output of nothing"
            (told or _compare)(block, printed)
            printed = None
        else:
            assert block.kind in {"bash", "python"}, f"{block.place}: nothing runs {block.kind}"
            printed, place = _run(block, place, environment)


def rewrite(page: Path) -> None:
    """Put into a page what its commands print now, where that is not what it shows."""
    text = page.read_text(encoding="utf-8")

    def told(block: Block, printed: str) -> None:
        nonlocal text
        if not _fits(*_lines(block, printed)):
            text = text.replace(f"```text\n{block.text}```", f"```text\n{printed.rstrip()}\n```", 1)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "reader").mkdir()
        play(page, Path(folder) / "reader", told)
    page.write_text(text, encoding="utf-8")


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def _run(block: Block, folder: Path, environment: dict[str, str]) -> tuple[str, Path]:
    """What a block prints, and the folder that it leaves the reader in."""
    left = Path(environment["VIRTUAL_ENV"]) / "folder"
    left.write_text(str(folder))
    bash = ["bash", "-euo", "pipefail", "-c", f"trap 'pwd > {left}' EXIT\n{block.text}"]
    done = subprocess.run(
        bash if block.kind == "bash" else ["python", "-c", block.text],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{block.place}: exit code {done.returncode}\n{block.text}\n{done.stdout[-3000:]}"
    return done.stdout, Path(left.read_text().strip())


def _environment(home: Path) -> dict[str, str]:
    """A Python of the page's own: what it installs with pip, from its own folder, is there and nowhere else."""
    venv.create(home, symlinks=True)
    (site,) = (home / "lib").glob("python*/site-packages")
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for name, module in {"flowpipe": "flowpipe", "pytest": "pytest", "pip": "pip"}.items():
        (home / "bin" / name).write_text(f'#!/bin/sh\nexec "{home}/bin/python" -m {module} "$@"\n')
        (home / "bin" / name).chmod(0o755)
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FLOWPIPE_"))}
    path = os.pathsep.join([str(home / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return kept | offline | {"VIRTUAL_ENV": str(home), "PATH": path, "COLUMNS": "100"}


def _compare(block: Block, printed: str) -> None:
    shown, real = _lines(block, printed)
    if not _fits(shown, real):
        difference = "\n".join(difflib.unified_diff(shown, real, "the page", "the command", lineterm=""))
        raise AssertionError(f"{block.place}: another output\n{difference}\n\nas printed:\n{printed}")


def _lines(block: Block, printed: str) -> tuple[list[str], list[str]]:
    shown, real = ([without_times(line) for line in text.rstrip().splitlines()] for text in (block.text, printed))
    return shown, real


def _fits(shown: list[str], real: list[str]) -> bool:
    if not shown:
        return not real
    if shown[0].strip() == "...":
        return any(_fits(shown[1:], real[start:]) for start in range(len(real) + 1))
    return bool(real) and shown[0] == real[0] and _fits(shown[1:], real[1:])


def without_times(line: str) -> str:
    """A line that commands print, without what differs from run to run.

    >>> without_times("run 20261122-160759-df43  profile dev"), without_times("  a   done  3 rows   602 ms")
    ('run RUN  profile dev', '  a  done  3 rows  TOOK')
    >>> without_times("done: 1 done in 1m 3s"), without_times("2 passed in 62.50s (0:01:02)")
    ('done: 1 done in TOOK', '2 passed in TOOK')
    """
    for pattern, mark in _VARIES:
        line = pattern.sub(mark, line)
    return line.rstrip()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        rewrite(Path(name))
