"""The page of every exit code and error, made of the words that `flowpipe explain` prints."""

from __future__ import annotations

from flowpipe.meanings import MEANINGS, Meaning

_HEAD = """# Exit codes and errors

`flowpipe explain CODE` prints what is here. How messages look and what a run leaves behind: [Errors](../errors.md).

| exit code | error | means |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = "".join(f"| {each.code} | {_names(each)} | {each.means} |\n" for each in MEANINGS)
    return f"{_HEAD}{rows}\n" + "\n".join(_section(each) for each in MEANINGS)


def _names(meaning: Meaning) -> str:
    return ", ".join(f"`{name}`" for name in meaning.names)


def _section(meaning: Meaning) -> str:
    """One way in which a command ends."""
    title = f"{', '.join(meaning.names)} (exit code {meaning.code})" if meaning.names else f"Exit code {meaning.code}"
    parts = [f"## {title}\n", meaning.means, f"\n**Published:** {meaning.published}\n"]
    for head, lines in (("Causes, the commonest first", meaning.causes), ("What to do", meaning.mend)):
        if lines:
            parts += [f"**{head}:**\n", *(f"- {line}" for line in lines), ""]
    return "\n".join(parts)
