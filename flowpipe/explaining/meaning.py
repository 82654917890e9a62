"""An exit code or an error as an explanation."""

from __future__ import annotations

from flowpipe.explaining.facts import Explanation, Fact
from flowpipe.meanings import meanings_of


def explanations(word: str) -> list[Explanation]:
    """What an exit code or an error's name means; nothing where it is neither."""
    return [
        Explanation(
            "error",
            meaning.title,
            (
                Fact("means", (meaning.means,)),
                Fact("published", (meaning.published,)),
                Fact("causes", meaning.causes),
                Fact("next", meaning.mend),
            ),
        )
        for meaning in meanings_of(word)
    ]
