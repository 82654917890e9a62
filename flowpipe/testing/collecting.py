"""Files of YAML tests as pytest has them: one item for each test, and failures told as flowpipe tells all else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from flowpipe.errors import FlowpipeError, Problem, Where
from flowpipe.testing import cases
from flowpipe.testing.belonging import loading

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo


class CaseFile(pytest.File):
    """One `test_*.yml`."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its tests, if all of it is right."""
        found = cases.read(self.path, self.nodeid)
        for number, case in enumerate(found.config.tests):
            yield CaseItem.from_parent(self, name=case.name, cases=found, number=number)

    def repr_failure(self, excinfo: ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]  # texts are no TerminalRepr
        """What is wrong with it, a line and a hint for each mistake."""
        return _told(excinfo.value) or super().repr_failure(excinfo)


class CaseItem(pytest.Item):
    """One test of a file."""

    def __init__(self, *, cases: cases.Cases, number: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._cases, self._number = cases, number

    def runtest(self) -> None:
        """Run it in a folder that is gone afterwards."""
        from flowpipe.testing.judging import Judge

        how = loading(self.config, self.path)
        with TemporaryDirectory(prefix="flowpipe-test-", ignore_cleanup_errors=True) as folder:
            Judge(self._cases, self._number, how.root, Path(folder), how.profile, how.sets).run()

    def repr_failure(self, excinfo: ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]  # texts are no TerminalRepr
        """What is expected and what came, and where that is; a traceback only of what flowpipe did not foresee."""
        told = _told(excinfo.value)
        if told is None:
            return super().repr_failure(excinfo)
        place = self._cases.where(self._number)
        return told if place and told.startswith(place.file) else f"{place}: {self.name}\n{told}"

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Where it is written."""
        where = self._cases.where(self._number)
        return self.path, where.line - 1 if where and where.line else None, self.name


def _told(error: BaseException) -> str | None:
    """An error in its own words; None: it has none."""
    if isinstance(error, FlowpipeError):
        return "\n".join(str(each) for each in error.problems)
    where: Where | None = getattr(error, "where", None)
    return str(Problem(str(error), where)) if isinstance(error, AssertionError) and where else None
