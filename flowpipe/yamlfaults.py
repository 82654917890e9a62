"""What PyYAML says of a text that is not YAML, in plain words, and where the mistake was made."""

from __future__ import annotations

import yaml

from flowpipe.errors import Problem, Where

# What libyaml and PyYAML say, and what a person can do about it.
_SAID = (
    ("mapping values are not allowed", 'a ":" cannot stand here', 'quote a text that holds ": ", and check the indent'),
    ("another document", "a second document begins here", 'one file is one document: remove the "---"'),
    ("undefined alias", "this alias has no anchor", "write &NAME before the value that *NAME repeats"),
    ("alphabetic or numeric", "a text cannot begin with * or &", "put the text in quotes"),
    ("tab character", "a tab cannot indent", "indent with spaces"),
    ("cannot start any token", "a tab cannot indent", "indent with spaces"),
    ("unexpected end of stream", "the quote is never closed", "close it"),
    ("expected ',' or", 'a "," or the closing bracket is missing', 'in brackets, texts as "${env:NAME}" need quotes'),
    ("node content", "a value is missing here", "write it, and close every bracket"),
    ("unknown escape", "unknown escape", "write the text in single quotes"),
    ("did not find expected", "this does not fit what is above it", "check the indent"),
)


def syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """A syntax error where a person would look for it: PyYAML tells the place where it could not go on."""
    mark, opened, said = error.problem_mark, error.context_mark, error.problem or ""
    where = _where(file, mark)
    begun = _where(file, opened) if opened and mark and opened.line < mark.line else None
    if "cannot start any token" in said and mark and text[mark.index] != "\t":
        return Problem(f"a text cannot begin with {text[mark.index]}", where, "put the text in quotes")
    if "could not find expected ':'" in said:
        return Problem("this is neither KEY: VALUE nor a list", begun or where, 'write a ":" and a space after the key')
    if "expected ',' or" in said and begun and opened:
        bracket = text[opened.index]
        hint = f"write {']' if bracket == '[' else '}'} at its end, and a comma between two values"
        return Problem(f'this "{bracket}" is never closed, or a comma is missing in it', begun, hint)
    if begun and opened and mark and (quote := _open_quote(text, opened.line, mark.line)):
        return Problem("the quote that begins here may never be closed", Where(file, *quote), "close it")
    since = f"; what it belongs to begins at line {begun.line}" if begun else ""
    unforeseen = f"not YAML: {said}", "check the indent, the quotes and the brackets around it"
    message, hint = next(((told, todo) for sign, told, todo in _SAID if sign in said), unforeseen)
    return Problem(message + since, where, hint)


def _where(file: str, mark: yaml.Mark | None) -> Where:
    return Where(file, mark.line + 1, mark.column + 1) if mark else Where(file)


def _open_quote(text: str, first: int, last: int) -> tuple[int, int] | None:
    """Line and column of the first double quote, from one line to another, that its own line does not close."""
    lines = text.splitlines()
    for number in range(first, min(last, len(lines))):
        if lines[number].replace('\\"', "").count('"') % 2:
            return number + 1, lines[number].rindex('"') + 1
    return None
