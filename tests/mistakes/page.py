r"""How the pages of this folder are written: a mistake is a heading, what it changes, and what the user sees.

    ## A tab indents a line

    - `conf/catalog.yml`: `  store` becomes `\tstore`
    - given: the disk of data/lake is full

    ```yaml conf/profiles/other.yml
    extends: dev
    ```

    ```console
    $ flowpipe check
    error: conf/catalog.yml:2:1: a tab cannot indent
      hint: indent with spaces
    exit 2
    ```

What is changed is one text that stands in a file of the shop, `\n`, `\t` and `\x07` as in Python; a fenced block is a
whole file. `given:` names a function of `given.py`. The console shows all that goes to stderr.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_CHANGE = re.compile(r"^- `(?P<file>[^`]+)`: `(?P<old>[^`]+)` becomes `(?P<new>[^`]*)`$", re.MULTILINE)
_GIVEN = re.compile(r"^- given: (?P<what>.+)$", re.MULTILINE)
_FILE = re.compile(r"^```\w+ (?P<file>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_ALL = re.MULTILINE | re.DOTALL
_CONSOLE = re.compile(r"^```console\n\$ flowpipe(?P<command>[^\n]*)\n(?P<err>.*?)exit (?P<code>\d+)\n```$", _ALL)


@dataclass(frozen=True)
class Change:
    """One text of a file that is another one now."""

    file: str
    old: str
    new: str

    def make(self, project: Path) -> None:
        """Change the file; the old text must stand in it exactly once."""
        path = project / self.file
        text = path.read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.file} has {text.count(self.old)} of {self.old!r}"
        path.write_bytes(text.replace(self.old, self.new).encode("utf-8", "surrogateescape"))


@dataclass(frozen=True)
class Mistake:
    """One mistake, and what comes of it."""

    page: Path
    name: str
    changes: tuple[Change, ...]
    files: tuple[tuple[str, str], ...]
    given: tuple[str, ...]
    command: str
    err: str
    code: int

    @property
    def touched(self) -> set[str]:
        """The files that hold the mistake, as far as it is in one."""
        return {change.file for change in self.changes} | {file for file, _ in self.files}

    def rewrite(self, err: str, code: int) -> None:
        """Put what is seen now into the page."""
        before, head, section = self.page.read_text(encoding="utf-8").partition(f"## {self.name}\n")
        console = f"```console\n$ flowpipe{self.command}\n{err}exit {code}\n```"
        section = _CONSOLE.sub(lambda _: console, section, count=1)
        self.page.write_text(before + head + section, encoding="utf-8")


def read(page: Path) -> list[Mistake]:
    """The mistakes of a page, in their order."""
    _, *sections = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [_mistake(page, *section.split("\n", 1)) for section in sections]


def _mistake(page: Path, name: str, text: str) -> Mistake:
    console = _CONSOLE.search(text)
    assert console, f"{page.name}, {name}: there is no console"
    instructions = len(re.findall("^- (?:`|given)", text, re.MULTILINE))
    changes = tuple(Change(m["file"], _escaped(m["old"]), _escaped(m["new"])) for m in _CHANGE.finditer(text))
    given = tuple(match["what"] for match in _GIVEN.finditer(text))
    assert instructions == len(changes) + len(given), f"{page.name}, {name}: a line is not understood"
    files = tuple((match["file"], match["text"]) for match in _FILE.finditer(text))
    return Mistake(page, name, changes, files, given, console["command"], console["err"], int(console["code"]))


def _escaped(text: str) -> str:
    named = text.replace("\\n", "\n").replace("\\t", "\t")
    return re.sub(r"\\x(..)", lambda match: bytes([int(match[1], 16)]).decode("utf-8", "surrogateescape"), named)
