"""A project that writes one table in one mode, and the states its inputs go through, one generation after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

ROWS = 60
LAST = 10
MONTHLY = "partition: {every: month, column: day}"
# What the catalog says of the table, by the mode's name in the report.
TABLE_MODES = {
    "overwrite": "mode: overwrite",
    "replace": f"mode: replace, {MONTHLY}",
    "append": f"mode: append, {MONTHLY}",
    "merge": "mode: merge, key: [id], order_by: at",
    "merge, delete_when": 'mode: merge, key: [id], order_by: at, delete_when: "kind = gone"',
    "merge, missing: delete": 'mode: merge, key: [id], missing: delete, max_deleted: "100%"',
    "snapshot": "mode: snapshot, key: [id], effective: at, track: [kind, amount]",
    "schema_change: add": "mode: merge, key: [id], schema_change: add",
}
FILE_MODES = {
    "overwrite": "path: over.parquet, mode: overwrite",
    "overwrite, csv": "path: over.csv, mode: overwrite",
    "replace": 'path: "replaced/{partition:%Y-%m}.parquet", mode: replace, partition: {every: month}',
    "append": 'path: "appended/{partition:%Y-%m}.parquet", mode: append, partition: {every: month}',
}
WINDOWED = {"replace", "append"}


@dataclass(frozen=True)
class Job:
    """One mode of one store: `store` and `dataset` are lines of YAML."""

    mode: str
    store: str
    dataset: str

    def make(self, project: Path) -> None:
        """The project without inputs."""
        windows = "partitions: {every: month, start: 2024-01, end: 2024-12}\n" if self.mode in WINDOWED else ""
        files = {
            "conf/project.yml": "name: faults\n",
            "conf/profiles/dev.yml": "stores:\n"
            "  landing: {adapter: files, url: data/landing}\n"
            f"  target: {self.store}\n"
            "executor: {type: threads, workers: 2}\n",
            "conf/catalog.yml": f"events: {{store: landing, {self._events}}}\nout: {{store: target, {self.dataset}}}\n",
            "conf/pipelines/load.yml": f"modules: [load]\nwrites: [out]\n{windows}",
            "pipelines/load.py": "import polars as pl\n\n\n"
            "def out(events: pl.LazyFrame) -> pl.LazyFrame:\n    return events\n",
        }
        for name, text in files.items():
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def move_on(self, project: Path, generation: int, variant: int = 0) -> tuple[str, ...]:
        """Put the inputs of a generation into the project; the arguments of the run that takes them."""
        landing = project / "data/landing"
        landing.mkdir(parents=True, exist_ok=True)
        if self.mode not in WINDOWED:
            _frame(generation, generation + 1000 * variant).pipe(self._widened, generation).write_parquet(
                landing / "events.parquet"
            )
            return ("run",)
        # A new month, and a correction of the one before it.
        _frame(generation, 100 + generation + 1000 * variant).write_parquet(landing / f"2024-{generation:02}.parquet")
        if generation > 1:
            _frame(generation - 1, 200 + generation).write_parquet(landing / f"2024-{generation - 1:02}.parquet")
        return ("run", "--to", f"2024-{generation:02}")

    @property
    def _events(self) -> str:
        if self.mode in WINDOWED:
            return 'path: "{partition:%Y-%m}.parquet", partition: {every: month}'
        return "path: events.parquet"

    def _widened(self, frame: pl.DataFrame, generation: int) -> pl.DataFrame:
        if self.mode != "schema_change: add":
            return frame
        return frame.with_columns((pl.col("id") + n).alias(f"extra_{n}") for n in range(generation // 2))


def _frame(month: int, seed: int) -> pl.DataFrame:
    """Rows of a month: half of their keys are those of the generation before, some older than what was there."""
    ids = [month * ROWS // 2 + n for n in range(ROWS)]
    at = datetime(2024, month, 1)  # noqa: DTZ001 - a wall clock will do
    return pl.DataFrame(
        {
            "id": ids,
            "day": [date(2024, month, 1 + n % 28) for n in ids],
            "kind": ["gone" if n % 7 == seed % 7 else "abc"[(n + seed) % 3] for n in ids],
            "amount": [n * seed % 97 for n in ids],
            "at": [at - timedelta(days=40 if n % 5 == 0 else 0) for n in ids],
        },
        schema_overrides={"at": pl.Datetime("us")},
    )


Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Target:
    """One kind of store: how its profile names a place of its own, and what the job's table holds there.

    `rows` takes the folder of the projects, the place and the mode; it reads without flowpipe.
    """

    name: str
    modes: dict[str, str]
    store: Callable[[str], str]
    rows: Callable[[Path, str, str], Rows]
    environment: dict[str, str]

    def job(self, mode: str, place: str) -> Job:
        """The job of one mode at a place."""
        dataset = self.modes[mode] if "path:" in self.modes[mode] else f"table: events, {self.modes[mode]}"
        return Job(mode, self.store(place), dataset)


def as_rows(frame: pl.DataFrame) -> Rows:
    """The rows of a frame in one order; columns in one order, too."""
    return sorted(frame.select(sorted(frame.columns)).rows(), key=repr)
