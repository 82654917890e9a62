"""A project whose two pipelines write every adapter in every mode, and what its stores hold, row for row."""

from __future__ import annotations

from pathlib import Path

import polars as pl

FILES = {
    "conf/project.yml": "name: faults\n",
    "conf/profiles/dev.yml": """
stores:
  landing: {adapter: files, url: data/landing}
  folder: {adapter: files, url: data/folder}
  lake: {adapter: delta, url: data/lake}
  base: {adapter: duckdb, database: data/base.duckdb}
executor: {type: threads, workers: 2}
""",
    "conf/catalog.yml": """
events: {store: landing, path: "events/{partition:%Y-%m}.parquet", partition: {every: month}}
rates: {store: landing, path: rates.csv}

f_replace: {store: folder, path: "replace/{partition:%Y-%m}.parquet", mode: replace, partition: {every: month}}
f_append: {store: folder, path: "append/{partition}.csv", mode: append, partition: {every: month}}
f_over: {store: folder, path: over.parquet, mode: overwrite}
f_csv: {store: folder, path: over.csv, mode: overwrite}

d_replace: {store: lake, table: replaced, mode: replace, partition: {every: month, column: day}SCHEMA}
d_append: {store: lake, table: appended, mode: append}
d_merge: {store: lake, table: merged, mode: merge, key: [id]}
d_over: {store: lake, table: over, mode: overwrite}

b_replace: {store: base, table: replaced, mode: replace, partition: {every: month, column: day}SCHEMA}
b_append: {store: base, table: appended, mode: append}
b_merge: {store: base, table: merged, mode: merge, key: [id]}
b_over: {store: base, table: over, mode: overwrite}
""",
    "conf/pipelines/monthly.yml": """
modules: [monthly]
writes: {all_events: d_replace, file_events: f_replace, more_events: f_append, delta_more: d_append,
         delta_latest: d_merge, base_events: b_replace, base_more: b_append, base_latest: b_merge}
partitions: {every: month, start: 2024-01, end: 2024-03}
""",
    "conf/pipelines/whole.yml": """
modules: [whole]
reads: {events_table: d_replace}
writes: {totals: d_over, totals_file: f_over, totals_csv: f_csv, totals_base: b_over}
""",
    "pipelines/monthly.py": """
import polars as pl


def all_events(events: pl.LazyFrame) -> pl.LazyFrame:
    return events


def file_events(all_events: pl.LazyFrame) -> pl.LazyFrame:
    return all_events.sort("id")


def more_events(all_events: pl.LazyFrame) -> pl.DataFrame:
    return all_events.collect()


def delta_more(all_events: pl.LazyFrame) -> pl.LazyFrame:
    return all_events.select("id", "amount")


def latest(all_events: pl.LazyFrame) -> pl.LazyFrame:
    return all_events.group_by(id=pl.col("id") % 50).agg(pl.col("amount").sum(), pl.col("day").max())


def delta_latest(latest: pl.LazyFrame) -> pl.LazyFrame:
    return latest


def base_events(events: pl.LazyFrame) -> pl.LazyFrame:
    return events


def base_more(all_events: pl.LazyFrame) -> pl.LazyFrame:
    return all_events


def base_latest(latest: pl.LazyFrame) -> pl.DataFrame:
    return latest.collect()
""",
    "pipelines/whole.py": """
import polars as pl


def totals(events_table: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    by_kind = events_table.group_by("kind").agg(pl.col("amount").sum(), pl.len().cast(pl.Int64).alias("events"))
    return by_kind.join(rates, on="kind").sort("kind")


def totals_file(totals: pl.LazyFrame) -> pl.LazyFrame:
    return totals


def totals_csv(totals: pl.LazyFrame) -> pl.LazyFrame:
    return totals


def totals_base(totals: pl.LazyFrame) -> pl.LazyFrame:
    return totals
""",
    "pipelines/schemas.py": """
import pandera.polars as pa
import polars as pl


class Event(pa.DataFrameModel):
    id: int
    day: pl.Date
    kind: str = pa.Field(isin=["a", "b", "c"])
    amount: int = pa.Field(ge=0)
""",
}
ROWS = 400


def make(project: Path, *, quarantine: bool) -> None:
    """The project with a first state of its inputs; a schema rejects some rows if there is to be a quarantine."""
    schema = ', schema: "schemas:Event", on_invalid: quarantine' if quarantine else ""
    for name, text in FILES.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n").replace("SCHEMA", schema))
    (project / "data/landing/events").mkdir(parents=True)
    (project / "data/landing/rates.csv").write_text("kind,rate\na,1\nb,2\nc,3\n")
    for month in (1, 2, 3):
        _events(project, month, seed=month)


def move_on(project: Path) -> None:
    """A second state of the inputs: February is corrected, and so are the rates."""
    _events(project, 2, seed=22)
    (project / "data/landing/rates.csv").write_text("kind,rate\na,10\nb,20\nc,30\n")


def passed(rows: pl.DataFrame, *, quarantine: bool) -> pl.DataFrame:
    """The rows that the schema lets through."""
    return rows.filter(pl.col("kind") != "oops") if quarantine else rows


def _events(project: Path, month: int, seed: int) -> None:
    _frame(month, seed).write_parquet(project / f"data/landing/events/2024-{month:02}.parquet")


def _frame(month: int, seed: int) -> pl.DataFrame:
    numbers = pl.int_range(ROWS, eager=True)
    return pl.DataFrame(
        {
            "id": numbers + month * ROWS,
            "day": pl.Series([f"2024-{month:02}-{1 + n % 28:02}" for n in range(ROWS)]).str.to_date(),
            "kind": ["oops" if n % (40 + seed) == 7 else "abc"[n % 3] for n in range(ROWS)],
            "amount": (numbers * seed) % 97,
        }
    )


def tables(project: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all outputs, sorted, by dataset; read without flowpipe. A rejected row's run is left out."""
    import duckdb
    from deltalake import DeltaTable

    found: dict[str, pl.DataFrame] = {}
    data = project / "data"
    for path in sorted(p for p in (data / "folder").rglob("*") if p.is_file()):
        name = str(path.relative_to(data))
        if path.suffix == ".parquet":
            found[name] = pl.read_parquet(path, hive_partitioning=False)
        elif path.suffix == ".csv" and not path.name.startswith("."):
            found[name] = pl.read_csv(path)
    for folder in sorted((data / "lake").iterdir()):
        table = DeltaTable(folder)
        found[f"lake/{folder.name}"] = pl.from_arrow(table.to_pyarrow_table())
    with duckdb.connect(str(data / "base.duckdb")) as connection:
        for (name,) in connection.sql("select table_name from duckdb_tables() order by 1").fetchall():
            if not name.startswith("_flowpipe"):
                found[f"base/{name}"] = connection.sql(f'select * from "{name}"').pl()
    return {name: as_rows(frame.drop("run", strict=False)) for name, frame in sorted(found.items())}


def as_rows(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    """The rows of a frame in one order."""
    return sorted(frame.rows(), key=repr)


def appended_ids(*, quarantine: bool) -> list[int]:
    """Keys of what the appended tables hold in the end: February as it was first, for it is never appended again."""
    ids = []
    for month, seed in ((1, 1), (2, 2), (3, 3)):
        ids += passed(_frame(month, seed), quarantine=quarantine)["id"].to_list()
    return ids
