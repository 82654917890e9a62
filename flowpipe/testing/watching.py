"""How loud pytest is when `flowpipe test` runs it, and whether it was a person who stopped it."""

from __future__ import annotations

import pytest


class Watch:
    """A plug-in of one run."""

    def __init__(self) -> None:
        self.stopped_by_person = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """As loud as by `-q`, where nobody says anything else; given twice it would leave out the last line."""
        config.option.verbose = config.option.verbose or -1

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Pytest also stops so by itself, with an exception that it derives from this one."""
        self.stopped_by_person |= excinfo.type is KeyboardInterrupt
