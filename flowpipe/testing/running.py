"""`flowpipe test`: which of a project's tests are meant, how pytest runs them, and what its end means."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import chdir
from fnmatch import fnmatch
from pathlib import Path

from flowpipe import loading
from flowpipe.errors import Interrupted, Problem, UsageError, unknown
from flowpipe.extras import missing
from flowpipe.roots import find_root

INSTALL = 'pip install "flowpipe-etl[testing]"'
# Pytest would rewrite the assertions of every package that has a plug-in; this one runs already, and needs it not.
_QUIET = "ignore:Module already imported so cannot be rewritten; flowpipe:pytest.PytestAssertRewriteWarning"
_PATTERNS = ("test_*.py", "*_test.py", "test_*.yml")


def run(path: Path, patterns: Sequence[str], flags: Sequence[str]) -> int:
    """Run tests of the project at or above `path`; the exit code of the command.

    Raises:
        UsageError: pytest is not installed, or there are no such tests.
        Interrupted: somebody stopped it.
    """
    if missing(["pytest"]):
        raise UsageError("tests are run by pytest, which is not installed", hint=INSTALL)
    import pytest

    from flowpipe.testing.watching import Watch

    root = find_root(path)
    chosen = [target for pattern in patterns for target in _matching(root, pattern)] or [str(_folder(root))]
    watch = Watch()
    with chdir(root):
        named = [os.path.relpath(target, root) for target in chosen]
        arguments = ["-p", "flowpipe.testing.plugin", "-W", _QUIET, "--rootdir", str(root), *flags, *named]
        code = int(pytest.main(arguments, plugins=[watch]))
    if watch.stopped_by_person:
        raise Interrupted(signal.SIGINT)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise UsageError("no test was run", hint="see which there are: flowpipe test -- --collect-only")
    return code


def _folder(root: Path) -> Path:
    """The folder of a project's tests, as `conf/project.yml` names it.

    Raises:
        UsageError: it is not there, or has no tests.
    """
    configuration = loading.load_valid(root, resolve=False)
    name, where = configuration.project.tests, configuration.where("project", "tests")
    if not (root / name).is_dir():
        hint = f"make it and write {name}/test_NAME.yml or {name}/test_NAME.py"
        raise UsageError(f"there are no tests: the project has no folder {name}", where=where, hint=hint)
    if not _files(root / name):
        hint = f"write {name}/test_NAME.yml or {name}/test_NAME.py"
        raise UsageError(f"there are no tests: the folder {name} has no test_*.yml and no test_*.py", hint=hint)
    return root / name


def _files(folder: Path) -> list[Path]:
    return sorted({path for pattern in _PATTERNS for path in folder.rglob(pattern)})


def _matching(root: Path, pattern: str) -> list[str]:
    """What a pattern means: a path (with `::NAME` maybe), or all files of tests whose names have it or fit it.

    Raises:
        UsageError: there is no such file.
    """
    path, separator, name = pattern.partition("::")
    if Path(path).exists():
        return [str(Path(path).resolve()) + separator + name]
    if (root / path).exists():
        return [str(root / path) + separator + name]
    folder = _folder(root)
    files = _files(folder)
    found = [file for file in files if fnmatch(str(file.relative_to(folder)), f"*{path}*")]
    if not found:
        problem: Problem = unknown("test file", path, [str(file.relative_to(folder)) for file in files])
        raise UsageError(problem.message, hint=problem.hint)
    return [f"{file}{separator}{name}" for file in found]
