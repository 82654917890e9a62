"""The pages that are made from the code are current."""

from __future__ import annotations

from reference.__main__ import stale


def test_every_page_is_current() -> None:
    assert stale() == "", "run python -m reference"
