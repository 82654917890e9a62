"""The names that `--help` gives to arguments: Typer itself puts brackets around what may be left out."""

from __future__ import annotations

import typer

from flowpipe.cli import app


def test_no_argument_brings_brackets_of_its_own() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # the app has several commands
    names = [each.metavar for command in commands.values() for each in command.params if each.metavar]
    assert "PIPELINE" in names
    assert not [name for name in names if set(name) & set("[].")]
