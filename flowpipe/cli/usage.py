"""What Typer says of a command line that it does not understand, in the form of all other errors."""

# Annotations are no texts here: Typer would compile each of every command at every start.
import re
from typing import Any

from typer.core import TyperGroup
from typer.exceptions import TyperException

from flowpipe.errors import Problem, UsageError, nearest, unknown


def told(error: TyperException) -> UsageError | None:
    """The error as flowpipe tells it; None: it is the help that Typer prints where no command is named."""
    found: Any = error  # Typer's own classes of it are private
    call = getattr(found, "ctx", None)
    text = found.format_message().strip()
    if text.startswith("Usage:"):
        return None
    name = _path(call)
    see = f"flowpipe {name or 'COMMAND'} --help shows what it takes"
    if call and text.startswith("No such option"):
        return UsageError.of([_option(found.option_name, name, call.command)])
    if call and (match := re.match("No such command '(.*?)'", text)):
        return UsageError.of([unknown("command", match[1], call.command.commands)])
    if match := re.match(r"Got unexpected extra argument\S* \((.*)\)", text):
        text = f'{name} takes no argument "{match[1]}"'
    elif parameter := getattr(found, "param", None):
        missing = f"an argument is missing: {(parameter.metavar or parameter.name).upper()}"
        text = f"{parameter.opts[0]}: {_sentence(found.message)}" if found.message else missing
    return UsageError(_sentence(text), hint=see)


def _path(call: Any) -> str:
    """The command as it is typed, without `flowpipe`."""
    return f"{_path(call.parent)} {call.info_name}".strip() if call and call.parent else ""


def _option(option: str, name: str, command: Any) -> Problem:
    """An option that a command does not know; before a command stands what belongs behind it."""
    if isinstance(command, TyperGroup):
        of = [key for key, each in command.commands.items() if option in _options(each)]
        if of:
            first = "run" if "run" in of else of[0]
            behind = f"write it behind: flowpipe {f'{name} {first}'.lstrip()} {option}"
            return Problem(f"{option} stands before the command", None, behind)
    kind = f"option of {name}:" if name else "option"
    known = {each.removeprefix("--") for each in _options(command)}
    close = nearest(option.lstrip("-"), known)
    hint = f"did you mean --{close}?" if close else f"known: --{', --'.join(sorted(known))}"
    return Problem(f'unknown {kind} "{option}"', None, hint)


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}


def _sentence(text: str) -> str:
    """Typer's words without its full stop, beginning small, and without those of the library below it."""
    said = re.sub(r"^Input should be (.*?)(, unable to .*)?$", r"this must be \1", text.rstrip("."))
    said = said.removeprefix("Value error, ")
    return said[:1].lower() + said[1:]
