"""The page of every command: its sentence, arguments, options and examples, as the command itself tells them."""

from __future__ import annotations

from typing import Any

import typer

from flowpipe.cli import app

_HEAD = """# Commands

Each command ends with an [exit code](errors.md) that scripts can rely on; `flowpipe COMMAND --help` prints this.

"""


def page() -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    found = _leaves(root, "flowpipe")
    rows = [f"| [`{name}`](#{_anchor(name)}) | {_told(command)[0]} |" for name, command in found]
    table = "\n".join(("| command | |", "|---|---|", *rows))
    options = _table("option, before or after any command", _options(root, "flowpipe"))
    return "".join((_HEAD, f"{table}\n\n", options, *(_section(name, command) for name, command in found)))


def _leaves(command: Any, name: str) -> list[tuple[str, Any]]:
    """Commands that do something, in the order of `--help`; groups are only their names."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(name, command)]
    return [leaf for word, each in inner.items() if not each.hidden for leaf in _leaves(each, f"{name} {word}")]


def _section(name: str, command: Any) -> str:
    """One command."""
    text, examples = _told(command)
    usage = " ".join(command.collect_usage_pieces(_context(command, name)))
    shown = "\n".join(f"- `{example}`" for example in examples)
    parts = [f"## {name}\n\n{text}\n\n`{name} {usage}`\n\n"]
    parts.append(_table("argument", [record for record in _arguments(command, name) if record[1]]))
    parts.append(_table("option", _options(command, name)))
    return "".join((*parts, f"For example:\n\n{shown}\n\n" if examples else ""))


def _told(command: Any) -> tuple[str, list[str]]:
    """What a command's help says: its text in one line, and its examples."""
    blocks = [" ".join(block.split()) for block in (command.help or "").split("\n\n")]
    examples = [block.removeprefix("Example: ") for block in blocks if block.startswith("Example: ")]
    return " ".join(block for block in blocks if not block.startswith("Example: ")), examples


def _arguments(command: Any, name: str) -> list[tuple[str, str]]:
    ctx = _context(command, name)
    given = [each for each in command.params if each.param_type_name == "argument"]
    return [record for each in given if (record := each.get_help_record(ctx))]


def _options(command: Any, name: str) -> list[tuple[str, str]]:
    ctx = _context(command, name)
    given = [each for each in command.params if each.param_type_name == "option"]
    return [record for each in given if (record := each.get_help_record(ctx))]


def _context(command: Any, name: str) -> Any:
    return command.context_class(command, info_name=name)


def _table(head: str, records: list[tuple[str, str]]) -> str:
    rows = [f"| `{names}` | {' '.join(text.split())} |" for names, text in map(_escaped, records)]
    return "\n".join((f"| {head} | |", "|---|---|", *rows, "\n")) if rows else ""


def _escaped(record: tuple[str, str]) -> tuple[str, str]:
    names, text = (part.replace("|", "\\|") for part in record)
    return names, text


def _anchor(name: str) -> str:
    return name.replace(" ", "-")
