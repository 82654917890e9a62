"""One project of one mode of one store: its generations, its runs in children that may be killed, and its table."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.faults.job import Rows, Target
from flowpipe.testing.kills import NEVER, At, Ended, Instants, boundary_calls, in_child

FILES = (f"{os.sep}flowpipe{os.sep}adapters{os.sep}", f"{os.sep}flowpipe{os.sep}intents.py")
VERBS = ("publish", "publish_all", "save", "remove", "discard", "held", "is_staged")


Work = Callable[[str, tuple[str, ...], Instants], int]


def command(
    project: str,
    arguments: tuple[str, ...],
    instants: Instants,
    *,
    whole: bool = False,
    decided: Callable[[], None] | None = None,
) -> int:
    """Run the command in this process; its exit code.

    It is watched while it decides, publishes and recovers; when it is killed by the clock, from its beginning if
    `whole`. `decided` is called once the first rows are staged and nothing is decided yet.
    """
    from flowpipe.cli import run_command
    from flowpipe.publishing import Publisher
    from flowpipe.reading import Reading
    from flowpipe.staging import StagingPass

    os.chdir(project)
    first = [decided] if decided else []

    def watched(verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def run(*given: Any, **named: Any) -> Any:
            if first and verb.__name__ == "decide":
                first.pop()()
            with instants.watching():
                return verb(*given, **named)

        return run

    for name in ("decide", "publish", "recover"):
        setattr(Publisher, name, watched(getattr(Publisher, name)))
    for owner, name in ((Reading, "hold"), (Reading, "frame"), (StagingPass, "finish"), (Reading, "moved")):
        verb = vars(owner)[name]
        of_class = isinstance(verb, classmethod)
        counted = boundary_calls(instants, verb.__func__ if of_class else verb)
        setattr(owner, name, classmethod(counted) if of_class else counted)
    if whole:
        instants.tell()
    return run_command(list(arguments), debug=False)


class Life:
    """One project from its first generation on; projects at one place share their tables, and nothing else."""

    def __init__(self, target: Target, mode: str, folder: Path, place: str, *, copy: str = "") -> None:
        self.project, self.generation = folder / f"{place}{copy}", 0
        self._target, self._mode, self._place = target, mode, place
        self._job = target.job(mode, place)
        self._job.make(self.project)

    def move_on(self, variant: int = 0) -> tuple[str, ...]:
        """The inputs of the next generation, in one of several variants; the arguments of its run."""
        self.generation += 1
        return self._job.move_on(self.project, self.generation, variant)

    def run(
        self,
        arguments: tuple[str, ...],
        at: At = NEVER,
        *,
        work: Work = command,
        strike: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """The command in a child; `work` may do something around it, `strike` comes instead of the kill."""
        return in_child(
            functools.partial(work, str(self.project), arguments),
            at=at,
            strike=strike,
            files=FILES,
            verbs=VERBS,
            output=self._output,
            environment={**self._target.environment, **(environment or {})},
        )

    def rows(self) -> Rows:
        """What the table holds."""
        return self._target.rows(self.project.parent, self._place, self._mode)

    def told(self, ended: Ended | None = None) -> str:
        """What the last run printed, or why it did not end."""
        return (ended and ended.error) or self._output.read_text(errors="replace").strip()[-6000:]

    def mended(self, arguments: tuple[str, ...], wanted: Rows) -> str | None:
        """Run to the end; what is wrong after it."""
        ended = self.run(arguments)
        if ended.value != 0:
            return f"the next run failed: {self.told(ended)}"
        if found := difference(self.rows(), wanted):
            return found
        left = [path.name for path in self.project.glob(".flowpipe/*/intents/*.json")]
        return f"a manifest is left: {left}" if left else None

    def end(self) -> None:
        """Remove the project and its tables, but what is on servers."""
        for path in self.project.parent.glob(f"{self._place}*"):
            shutil.rmtree(path, ignore_errors=True)

    @property
    def _output(self) -> Path:
        return self.project / "output"


def difference(found: Rows, wanted: Rows) -> str | None:
    """How rows differ from those that should be there; None: not at all."""
    for mine, theirs in itertools.zip_longest(found, wanted):
        if mine != theirs:
            return f"{len(found)} rows, {len(wanted)} expected; the first that differs is {mine}, not {theirs}"
    return None
