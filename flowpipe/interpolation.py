"""What `${env:NAME}`, `${env:NAME:-default}` and `${file:/path}` in a text stand for; `$${` is a literal `${`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowpipe.errors import ConfigError, Problem, Where

_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_SOURCE = re.compile(r"env:(?P<env>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>.*))?|file:(?P<file>/.+)", re.DOTALL)
_FORMS = "write ${env:NAME}, ${env:NAME:-default} or ${file:/path}; $${ is a literal ${"


@dataclass(frozen=True)
class Interpolated:
    """A text after interpolation; the text as it was when it was not to be resolved or could not be.

    `found` says that it held an interpolation, `known` that all of them are resolved, `whole` that the text was one
    interpolation and nothing else. `secrets` are the texts brought in, but for defaults written in the YAML.
    """

    text: str
    found: bool
    known: bool
    whole: bool
    secrets: frozenset[str]
    problems: tuple[Problem, ...]


def without(text: str) -> str:
    """The text with each interpolation left out: what of it is known where nothing is looked up.

    >>> without("s3://${env:BUCKET}/lake")
    's3:///lake'
    """
    return _TOKEN.sub("", text)


def interpolate(text: str, where: Where, *, resolve: bool) -> Interpolated:
    """A text with its interpolations replaced; with `resolve=False` only their form is looked at."""
    problems: list[Problem] = []
    secrets: set[str] = set()
    sources = 0

    def replaced(token: re.Match[str]) -> str:
        nonlocal sources
        if token[0] == "$${":
            return "${"
        sources += 1
        source = _SOURCE.fullmatch(token[1] or "")
        try:
            if source is None:
                raise ConfigError([_formless(token, where)])
            found, is_default = _look_up(source, where) if resolve else ("", True)
        except ConfigError as error:
            problems.extend(error.problems)
            return ""
        if found and not is_default:
            secrets.add(found)
        return found

    result = _TOKEN.sub(replaced, text)
    known = not problems and (resolve or not sources)
    only = _TOKEN.fullmatch(text)
    return Interpolated(
        text=result if resolve and known else text,
        found=sources > 0,
        known=known,
        whole=bool(only and only[1]),
        secrets=frozenset(secrets),
        problems=tuple(problems),
    )


def _formless(token: re.Match[str], where: Where) -> Problem:
    if (token[1] or "").startswith("file:"):
        hint = "write the whole path, like ${file:/run/secrets/NAME}"
        return Problem(f'"{token[0]}": the path must be absolute', where, hint)
    return Problem(f'"{token[0]}" is not an interpolation', where, _FORMS)


def variables(text: str) -> Iterator[str]:
    """The environment variables that a text names.

    >>> list(variables("${env:HOST}:${env:PORT:-5432} $${env:NOT} ${file:/run/pw}"))
    ['HOST', 'PORT']
    """
    for token in _TOKEN.finditer(text):
        source = _SOURCE.fullmatch(token[1] or "")
        if source and source["env"]:
            yield source["env"]


def _look_up(source: re.Match[str], where: Where) -> tuple[str, bool]:
    """The text an interpolation stands for, and whether it is the default written in the YAML.

    Raises:
        ConfigError: there is no such variable or file, or it holds no text.
    """
    name, default, file = source["env"], source["default"], source["file"]
    if file:
        return _file_text(file, where), False
    text = os.environ.get(name)
    if not text and default is not None:
        return default, True
    if text is None:
        hint = f"export {name}=... or write ${{env:{name}:-default}}"
        raise ConfigError([Problem(f"the environment variable {name} is not set", where, hint)])
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigError([Problem(f"the environment variable {name} is not UTF-8", where, "export it as UTF-8")])
    return text, False


def _file_text(file: str, where: Where) -> str:
    try:
        return Path(file).read_text("utf-8").removesuffix("\n")
    except OSError as error:
        hint = "the file must be there and readable"
        raise ConfigError([Problem(f"{file} cannot be read: {error.strerror}", where, hint)]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(f"{file} is not UTF-8", where, "save the file as UTF-8")]) from None
