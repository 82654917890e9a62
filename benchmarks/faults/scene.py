"""One mode of one store is killed again and again, mended by the next run, and compared with an undisturbed life."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.faults.job import LAST, Rows, Target
from benchmarks.faults.life import Life, command
from flowpipe.testing.kills import At

# The run after a kill is killed, too: at most so often, before one is let run to its end.
IN_A_ROW = 3


@dataclass(frozen=True)
class Difference:
    """A table that is not that of the undisturbed run."""

    generation: int
    kills: tuple[str, ...]
    problem: str

    def __str__(self) -> str:
        return f"generation {self.generation}, killed at {', '.join(self.kills)}: {self.problem}"


@dataclass
class Score:
    """What came of one mode of one store."""

    target: str
    mode: str
    kills: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class _Calm:
    """One generation undisturbed: the rows after it, and what its run counted."""

    rows: Rows
    instants: int
    boundaries: tuple[int, ...]
    seconds: float


class Scene:
    """A project of one mode of one store, with a folder for all its lives."""

    def __init__(self, target: Target, mode: str, folder: Path) -> None:
        self._target, self._mode, self._folder = target, mode, folder
        self._calm: list[_Calm] = []

    def play(self, kills: int, chosen: random.Random) -> Score:
        """Kill so often, in as many lives as that takes."""
        score = Score(self._target.name, self._mode)
        life: Life | None = None
        for first in _stretches(kills, chosen):
            if score.kills >= kills:
                break
            if life is None or life.generation == LAST:
                life = self._new(life)
            score.kills += self._disturb(life, first, min(IN_A_ROW, kills - score.kills), chosen, score)
        if life:
            life.end()
        return score

    def _disturb(self, life: Life, first: float, most: int, chosen: random.Random, score: Score) -> int:
        """One generation of a life, killed at most so often; how often it was."""
        calm, arguments = self._generation(life.generation + 1), life.move_on()
        done: list[str] = []
        for number in range(most):
            share = first if number == 0 else chosen.random()
            at, whole = _instant(calm, share, number, chosen)
            ended = life.run(arguments, at, work=partial(command, whole=whole))
            if ended.killed:
                done.append(str(at))
            elif ended.value != 0:
                break  # told by the run that comes now
            elif number:
                break  # nothing was left to be done
        problem = life.mended(arguments, calm.rows)
        if problem:
            score.differences.append(Difference(life.generation, tuple(done), problem))
        return len(done)

    def _generation(self, number: int) -> _Calm:
        """What a generation comes to undisturbed; made when first asked for."""
        if not self._calm:
            self._undisturbed = self._new(None)
        while len(self._calm) < number:
            arguments = self._undisturbed.move_on()
            ended = self._undisturbed.run(arguments)
            if ended.value != 0:
                raise RuntimeError(f"{self._target.name}, {self._mode}: {self._undisturbed.told(ended)}")
            self._calm.append(_Calm(self._undisturbed.rows(), ended.instants, ended.boundaries, ended.seconds))
        return self._calm[number - 1]

    def _new(self, old: Life | None) -> Life:
        if old:
            old.end()
        return Life(self._target, self._mode, self._folder, f"k{uuid.uuid4().hex[:12]}")


def _stretches(kills: int, chosen: random.Random) -> Iterator[float]:
    """Shares of all instants, each from a stretch of its own, in random order; then any."""
    spread = [(number + chosen.random()) / kills for number in range(kills)]
    chosen.shuffle(spread)
    yield from spread
    yield from iter(chosen.random, None)


def _instant(calm: _Calm, share: float, number: int, chosen: random.Random) -> tuple[At, bool]:
    """When to kill, and whether that is counted from the beginning of the run.

    Mostly at an instant, else at a boundary, inside of native calls, or anywhere. A run after a kill has less to do.
    """
    kind = chosen.choices(["instant", "boundary", "inside", "anywhere"], [5, 2, 2, 1])[0]
    left = 1.0 if number == 0 else 0.4
    if kind == "instant" or not calm.boundaries:
        return At(instant=1 + int(share * left * calm.instants)), False
    if kind == "boundary":
        return At(instant=calm.boundaries[int(share * left * len(calm.boundaries))]), False
    if kind == "inside":
        return At(seconds=share * calm.seconds), False
    return At(seconds=chosen.uniform(0.02, 0.6)), True
