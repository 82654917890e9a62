"""Write modes, changing columns, windows and formats, through runs over files, Delta and DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable
from openpyxl import Workbook

from flowpipe.errors import DataError
from flowpipe.project import Project
from flowpipe.run import RunResult
from tests.conftest import ProjectFolder

Make = Callable[[dict[str, str]], ProjectFolder]
Rows = list[tuple[object, ...]]
CONF = {
    "conf/project.yml": "name: tables\n",
    "conf/profiles/dev.yml": """
        stores:
          here: {adapter: files, url: data}
          lake: {adapter: delta, url: data/lake}
          base: {adapter: duckdb, database: data/base.duckdb}
        """,
    "pipelines/same.py": """
        import polars as pl


        def out(rows: pl.LazyFrame) -> pl.LazyFrame:
            return rows
        """,
}
PLACES = {
    "files": 'store: here, path: "out/{partition}.parquet"',
    "delta": "store: lake, table: out",
    "duckdb": "store: base, table: out",
}


def run(project: ProjectFolder, *pipelines: str, partitions: tuple[str, ...] = ()) -> RunResult:
    """A run in this process, which is faster than the command."""
    return Project.load(project.path).run(*pipelines, partitions=partitions)


def done(project: ProjectFolder, *pipelines: str, partitions: tuple[str, ...] = ()) -> list[str]:
    """The steps that were run, not skipped."""
    result = run(project, *pipelines, partitions=partitions)
    assert result.error is None, result.error
    return [name for name, outcome in result.outcomes.items() if outcome == "done"]


def messages(result: RunResult) -> list[str]:
    assert isinstance(result.error, DataError), result.error
    return [problem.message for problem in result.error.problems]


def table(project: ProjectFolder, store: str, name: str = "out") -> pl.DataFrame:
    """All rows of a table in a stable order; a Delta table is read by all three libraries, which must agree."""
    data = project.path / "data"
    if store == "files":
        return pl.read_parquet(data / f"{name}/*.parquet").sort(pl.all())
    if store == "duckdb":
        with duckdb.connect(str(data / "base.duckdb")) as connection:
            frame: pl.DataFrame = connection.sql(f"FROM {name}").pl()
        return frame.sort(pl.all())
    path = str(data / "lake" / name)
    frame = pl.read_delta(path).sort(pl.all())
    dataset = DeltaTable(path).to_pyarrow_dataset()
    for other in (dataset.to_table(), duckdb.connect().from_arrow(dataset).to_arrow_table()):
        assert pl.DataFrame(other).select(frame.columns).sort(pl.all()).rows() == frame.rows()
    return frame


def windows(store: str, settings: str, january: str, february: str) -> dict[str, str]:
    """Rows of two months, one file a month, copied into a dataset with settings."""
    return CONF | {
        "conf/catalog.yml": f"""
            rows: {{store: here, path: "in/{{partition:%Y-%m}}.csv", partition: {{every: month}},
                    options: {{try_parse_dates: true}}}}
            out: {{{PLACES[store]}, partition: {{every: month, column: day}}, {settings}}}
            """,
        "conf/pipelines/copy.yml": """
            modules: [same]
            writes: [out]
            partitions: {every: month, start: 2024-01, end: 2024-02}
            """,
        "data/in/2024-01.csv": january,
        "data/in/2024-02.csv": february,
    }


JAN, FEB = date(2024, 1, 5), date(2024, 2, 5)


@pytest.mark.parametrize("store", PLACES)
def test_replace_and_append_of_windows(empty_project: Make, store: str) -> None:
    january, february = "id,day\n1,2024-01-05\n", "id,day\n2,2024-02-05\n"
    changed = "id,day\n10,2024-01-05\n11,2024-01-05\n"
    project = empty_project(windows(store, "mode: replace", january, february))
    assert done(project) == ["copy 2024-01", "copy 2024-02"]
    assert table(project, store).rows() == [(1, JAN), (2, FEB)]
    project.write({"data/in/2024-01.csv": changed})
    assert done(project) == ["copy 2024-01"]
    assert table(project, store).rows() == [(2, FEB), (10, JAN), (11, JAN)]
    project.write({"data/in/2024-01.csv": "id,day\n1,2024-01-05\n2,2024-02-01\n3,\n4,2023-12-31\n"})
    assert messages(run(project)) == ["dataset out 2024-01 (node out): 3 rows have a day outside 2024-01, or none"]
    assert table(project, store).rows() == [(2, FEB), (10, JAN), (11, JAN)]


@pytest.mark.parametrize("store", PLACES)
def test_append_once_for_each_window(empty_project: Make, store: str) -> None:
    january, february = "id,day\n1,2024-01-05\n", "id,day\n2,2024-02-05\n"
    project = empty_project(windows(store, "mode: append", january, february))
    assert done(project) == ["copy 2024-01", "copy 2024-02"]
    project.write({"data/in/2024-01.csv": "id,day\n10,2024-01-05\n"})
    assert done(project) == []
    assert table(project, store).rows() == [(1, JAN), (2, FEB)]
    assert "appended once" in project.flowpipe("plan").out


def whole(settings: str, rows: str, store: str) -> dict[str, str]:
    """Rows of one CSV file copied into a dataset with settings."""
    place = PLACES[store].replace("out/{partition}", "out/one")
    return CONF | {
        "conf/catalog.yml": f"""
            rows: {{store: here, path: rows.csv, options: {{try_parse_dates: true}}}}
            out: {{{place}, {settings}}}
            """,
        "conf/pipelines/copy.yml": "modules: [same]\nwrites: [out]\n",
        "data/rows.csv": rows,
    }


@pytest.mark.parametrize("store", PLACES)
def test_overwrite(empty_project: Make, store: str) -> None:
    project = empty_project(whole("mode: overwrite", "id\n1\n2\n", store))
    assert done(project) == ["copy"]
    project.write({"data/rows.csv": "id\n3\n"})
    assert done(project) == ["copy"]
    assert done(project) == []
    assert table(project, store).rows() == [(3,)]


@pytest.mark.parametrize("store", ["delta", "duckdb"])
def test_merge(empty_project: Make, store: str) -> None:
    settings = "mode: merge, key: [id, part], order_by: at"
    head = "id,part,at,value\n"
    first = head + "1,a,5,one\n1,b,5,two\n2,a,5,three\n"
    project = empty_project(whole(settings, first, store))
    assert done(project) == ["copy"]
    # An older row never overwrites a newer one, one of the same age does.
    project.write({"data/rows.csv": head + "1,a,4,older\n1,b,5,same\n2,a,6,newer\n2,a,5,not the newest\n3,a,1,new\n"})
    assert done(project) == ["copy"]
    merged: Rows = [(1, "a", 5, "one"), (1, "b", 5, "same"), (2, "a", 6, "newer"), (3, "a", 1, "new")]
    assert table(project, store).rows() == merged

    project.write({"data/rows.csv": head + ",a,1,x\n7,,1,x\n8,a,1,w\n8,a,2,x\n8,a,2,y\n"})
    command = project.flowpipe("run")
    assert command.code == 3
    head, again = (
        "error: pipelines/same.py:4: dataset out (node out)",
        "  hint: nothing was published; mend the data or its schema and run again",
    )
    assert command.err.splitlines() == [
        f"{head}: key id, part is NULL, as in id=None, part='a'; id=7, part=None",
        f"{head}: key id, part is not unique, as in id=8, part='a'",
        again,
    ]
    assert table(project, store).rows() == merged

    project.write(whole(settings.replace("id,", "idd,").replace(": at", ": att"), first, store))
    known = "known: at, id, part, value"
    assert messages(run(project)) == [
        f'dataset out (node out): key: unknown column "idd"; did you mean "id"? {known}',
        f'dataset out (node out): order_by: unknown column "att"; did you mean "at"? {known}',
    ]


@pytest.mark.parametrize("store", ["delta", "duckdb"])
def test_changing_columns(empty_project: Make, store: str) -> None:
    strict = "mode: merge, key: [id]"
    project = empty_project(whole(strict, "id,a,b\n1,1,x\n", store))
    assert done(project) == ["copy"]
    project.write({"data/rows.csv": "id,a,c,d\n2,1.5,y,1\n"})
    assert messages(run(project)) == [
        f"dataset out (node out): {text}"
        for text in (
            "column a is Int64 in the table and Float64 in the new rows",
            "column c is not in the table",
            "column d is not in the table",
            "column b of the table is not in the new rows",
        )
    ]
    project.write(whole(strict + ", schema_change: add", "id,a,c,d\n2,1.5,y,1\n", store))
    assert messages(run(project)) == [
        "dataset out (node out): column a is Int64 in the table and Float64 in the new rows"
    ]
    project.write({"data/rows.csv": "id,a,c\n2,2,y\n"})
    assert done(project) == ["copy"]
    assert table(project, store).select("id", "a", "b", "c").rows() == [(1, 1, "x", None), (2, 2, None, "y")]
    project.write({"data/rows.csv": "id,a,b,c,d\n1,3,z,w,2024-01-05\n"})
    assert done(project) == ["copy"]
    found = table(project, store).select("id", "a", "b", "c", "d").rows()
    assert found == [(1, 3, "z", "w", JAN), (2, 2, None, "y", None)]


def test_columns_that_the_settings_name(empty_project: Make) -> None:
    project = empty_project(windows("delta", "mode: replace, partition_by: [dey]", "id\n1\n", "id\n2\n"))
    assert messages(run(project)) == [
        'dataset out 2024-01 (node out): partition_by: unknown column "dey"; known: id',
        'dataset out 2024-01 (node out): partition: unknown column "day"; known: id',
    ]
    project.write({"data/in/2024-01.csv": "id,day,dey\n1,January,a\n"})
    assert messages(run(project)) == [
        "dataset out 2024-01 (node out): partition: column day is String; a window needs a Date or Datetime"
    ]


def test_hive_partitions_of_a_delta_table(empty_project: Make) -> None:
    head = "id,day,city\n"
    january = head + "1,2024-01-05,New York\n2,2024-01-06,\n3,2024-01-07,a/b=c%\n"
    settings = "mode: replace, partition_by: [city]"
    project = empty_project(windows("delta", settings, january, head + "4,2024-02-05,New York\n"))
    assert done(project) == ["copy 2024-01", "copy 2024-02"]
    everything: Rows = [
        (1, JAN, "New York"),
        (2, date(2024, 1, 6), None),
        (3, date(2024, 1, 7), "a/b=c%"),
        (4, FEB, "New York"),
    ]
    assert table(project, "delta").rows() == everything
    assert DeltaTable(str(project.path / "data/lake/out")).metadata().partition_columns == ["city"]
    project.write({"data/in/2024-01.csv": head + "5,2024-01-05,Boston\n"})
    assert done(project) == ["copy 2024-01"]
    assert table(project, "delta").rows() == [(4, FEB, "New York"), (5, JAN, "Boston")]


FORMATS = {
    "csv": ("rows.csv", "{separator: ';', null_values: [none]}", b"id;word\n1;one\n2;none\n"),
    "ndjson": ("rows.jsonl", "{}", b'{"id": 1, "word": "one"}\n{"id": 2, "word": null}\n'),
    "json": ("rows.json", "{schema_overrides: {id: Int64}}", b'[{"id": 1, "word": "one"}, {"id": 2, "word": null}]'),
}


def test_formats(empty_project: Make) -> None:
    """Each is read and written again in the same format."""
    frame = pl.DataFrame({"id": [1, 2], "word": ["one", None]})
    names = [*FORMATS, "ipc", "parquet", "excel"]
    paths = {name: FORMATS[name][0] for name in FORMATS} | {
        "ipc": "rows.arrow",
        "parquet": "rows.pq",
        "excel": "rows.xlsx",
    }
    options = {name: FORMATS[name][1] for name in FORMATS} | {"excel": "{sheet_name: Orders}"}
    out = {name: f"out/{path}" for name, path in paths.items() if name != "excel"}
    catalog = "".join(
        f"in_{name}: {{store: here, path: {path}, options: {options.get(name, '{}')}}}\n"
        for name, path in paths.items()
    )
    catalog += "".join(f"out_{name}: {{store: here, path: {out.get(name, 'out/excel.csv')}}}\n" for name in names)
    project = empty_project(
        CONF
        | {
            "conf/catalog.yml": catalog,
            "conf/pipelines/job.yml": f"modules: [job]\nwrites: [{', '.join(f'out_{name}' for name in names)}]\n",
            "pipelines/job.py": "import polars as pl\n"
            + "".join(f"\n\ndef out_{n}(in_{n}: pl.LazyFrame) -> pl.LazyFrame:\n    return in_{n}\n" for n in names),
        }
    )
    data = project.path / "data"
    data.mkdir()
    for path, _, content in FORMATS.values():
        (data / path).write_bytes(content)
    frame.write_ipc(data / "rows.arrow")
    frame.write_parquet(data / "rows.pq")
    book = Workbook()
    sheet = book.create_sheet("Orders")
    for row in [frame.columns, *frame.rows()]:
        sheet.append(row)
    book.save(data / "rows.xlsx")
    assert done(project) == ["job"]
    read = {
        "csv": pl.read_csv(data / "out/rows.csv"),
        "ndjson": pl.read_ndjson(data / "out/rows.jsonl"),
        "json": pl.read_json(data / "out/rows.json"),
        "ipc": pl.read_ipc(data / "out/rows.arrow"),
        "parquet": pl.read_parquet(data / "out/rows.pq"),
        "excel": pl.read_csv(data / "out/excel.csv"),
    }
    for name, rows in read.items():
        assert rows.rows() == frame.rows(), name
    assert done(project) == []


def test_grains_finer_and_coarser_than_kept(empty_project: Make) -> None:
    """Rows kept by month in files, Delta and DuckDB, read by day, year and as a whole."""
    months = {
        f"data/in/2024-{month:02}.csv": f"id,day\n{month},2024-{month:02}-01\n{month * 100},2024-{month:02}-02\n"
        for month in range(1, 13)
    }
    nodes = "".join(
        f"\n\ndef {name}(rows: pl.LazyFrame) -> pl.LazyFrame:\n    return rows\n" for name in ("lake", "base", "here")
    )
    sums = "".join(
        f"\n\ndef sums_{every}(here: pl.LazyFrame, lake: pl.LazyFrame, base: pl.LazyFrame) -> pl.LazyFrame:\n"
        "    total = lambda name, frame: frame.select(pl.col('id').sum().alias(name))\n"
        "    return pl.concat([total('here', here), total('lake', lake), total('base', base)], how='horizontal')\n"
        for every in ("day", "year", "all")
    )
    pipelines = {
        f"conf/pipelines/sums_{every}.yml": f"modules: [sums]\nwrites: [sums_{every}]\n{window}"
        for every, window in {
            "day": "partitions: {every: day, start: 2024-03-01, end: 2024-03-03}\n",
            "year": "partitions: {every: year, start: 2024, end: 2024}\n",
            "all": "",
        }.items()
    }
    kept = "partition: {every: month, column: day}, mode: replace"
    project = empty_project(
        CONF
        | months
        | pipelines
        | {
            "conf/catalog.yml": f"""
                rows: {{store: here, path: "in/{{partition:%Y-%m}}.csv", partition: {{every: month}},
                        options: {{try_parse_dates: true}}}}
                here: {{store: here, path: "kept/{{partition:%Y-%m}}.parquet", {kept}}}
                lake: {{store: lake, table: kept, {kept}}}
                base: {{store: base, table: kept, {kept}}}
                sums_day: {{store: here, path: "day/{{partition}}.pq", partition: {{every: day}}, mode: replace}}
                sums_year: {{store: here, path: "year/{{partition}}.pq", partition: {{every: year}}, mode: replace}}
                sums_all: {{store: here, path: all.parquet}}
                """,
            "conf/pipelines/keep.yml": """
                modules: [keep]
                writes: [lake, base, here]
                partitions: {every: month, start: 2024-01, end: 2024-12}
                """,
            "pipelines/keep.py": "import polars as pl\n" + nodes,
            "pipelines/sums.py": "import polars as pl\n" + sums,
        }
    )
    assert len(done(project)) == 12 + 3 + 1 + 1
    data = project.path / "data"
    by_day = [pl.read_parquet(path).row(0) for path in sorted((data / "day").iterdir())]
    assert by_day == [(3, 3, 3), (300, 300, 300), (0, 0, 0)]
    everything = sum(range(1, 13)) * 101
    assert pl.read_parquet(data / "year/2024.pq").row(0) == (everything,) * 3
    assert pl.read_parquet(data / "all.parquet").row(0) == (everything,) * 3

    project.write({"data/in/2024-07.csv": "id,day\n0,2024-07-01\n"})
    # A month that nobody reads by day leaves those days as they are.
    assert done(project) == ["keep 2024-07", "sums_all", "sums_year 2024"]
    assert pl.read_parquet(data / "all.parquet").row(0) == (everything - 7 * 101,) * 3
    assert done(project) == []


def test_a_grain_that_no_column_can_cut(empty_project: Make) -> None:
    project = empty_project(windows("files", "mode: replace", "id,day\n", "id,day\n"))
    project.write(
        {
            "conf/pipelines/copy.yml": """
        modules: [same]
        writes: [out]
        partitions: {every: day, start: 2024-01-01, end: 2024-01-02}
        """
        }
    )
    command = project.flowpipe("check")
    assert command.code == 2
    assert command.err.splitlines() == [
        "error: conf/catalog.yml:3:99: dataset out: mode replace is kept by month (UTC)",
        "  hint: pipeline copy runs by day (UTC); make the two the same",
        "error: conf/pipelines/copy.yml:3:13: pipeline copy runs by day, but dataset rows is kept by month",
        "  hint: give the dataset `partition: {every: month, column: COLUMN}` to cut it by rows",
    ]


def test_queries_and_globs(empty_project: Make) -> None:
    query = (
        "SELECT city, sum(n)::BIGINT AS n FROM sales WHERE sold >= $start AND sold < $end GROUP BY city ORDER BY city"
    )
    project = empty_project(
        CONF
        | {
            "conf/catalog.yml": f"""
                sold: {{store: base, query: "{query}", partition: {{every: month}}}}
                parts: {{store: here, path: "parts/*.csv"}}
                out: {{store: here, path: "out/{{partition}}.parquet", partition: {{every: month}}, mode: replace}}
                """,
            "conf/pipelines/job.yml": """
                modules: [job]
                writes: [out]
                partitions: {every: month, start: 2024-01, end: 2024-02}
                """,
            "pipelines/job.py": """
                import polars as pl


                def out(sold: pl.LazyFrame, parts: pl.LazyFrame) -> pl.LazyFrame:
                    return sold.join(parts, on="city", maintain_order="left")
                """,
            "data/parts/a.csv": "city,land\nBonn,DE\n",
            "data/parts/b.csv": "city,land\nGent,BE\n",
        }
    )
    with duckdb.connect(str(project.path / "data/base.duckdb")) as base:
        base.execute(
            "CREATE TABLE sales AS FROM (VALUES ('Bonn', 1, DATE '2024-01-31'), ('Gent', 2, DATE '2024-01-01'),"
            "('Bonn', 4, DATE '2024-02-01')) AS t(city, n, sold)"
        )
    assert done(project) == ["job 2024-01", "job 2024-02"]
    out = project.path / "data/out"
    assert pl.read_parquet(out / "2024-01.parquet").rows() == [("Bonn", 1, "DE"), ("Gent", 2, "BE")]
    assert pl.read_parquet(out / "2024-02.parquet").rows() == [("Bonn", 4, "DE")]
    # A query has no version, so its steps run always, and say so.
    assert project.flowpipe("plan").out.count("sold has no version") == 2
    project.write({"data/parts/c.csv": "city,land\nBonn,EU\n"})
    assert done(project) == ["job 2024-01", "job 2024-02"]
    assert sorted(pl.read_parquet(out / "2024-02.parquet").rows()) == [("Bonn", 4, "DE"), ("Bonn", 4, "EU")]

    project.write({"conf/pipelines/job.yml": "modules: [job]\nwrites: {out: sold}\n"})
    command = project.flowpipe("check")
    assert command.code == 2
    assert command.err.splitlines() == [
        "error: conf/catalog.yml:1:28: dataset sold: a query is only read",
        "  hint: write `table: NAME`",
    ]


@pytest.mark.parametrize("store", PLACES)
def test_a_renamed_dataset_stays_published(empty_project: Make, store: str) -> None:
    schema = {
        "pipelines/schemas.py": """
            import pandera.polars as pa


            class Low(pa.DataFrameModel):
                id: int = pa.Field(lt=9)
            """
    }
    settings = 'mode: overwrite, schema: "schemas:Low", on_invalid: quarantine'
    project = empty_project(whole(settings, "id\n1\n9\n", store) | schema)
    assert done(project) == ["copy"]
    catalog = project.path / "conf/catalog.yml"
    catalog.write_text(catalog.read_text().replace("out: {", "new: {was: out, "))
    project.write({"conf/pipelines/copy.yml": "modules: [same]\nwrites: {out: new}\n"})
    assert done(project) == []
    project.write({"data/rows.csv": "id\n1\n2\n"})
    assert done(project) == ["copy"]
    assert table(project, store).rows() == [(1,), (2,)]
    assert done(project) == []


def test_types_that_a_format_cannot_hold_are_found_before_anything_is_published(empty_project: Make) -> None:
    project = empty_project(
        CONF
        | {
            "conf/catalog.yml": "a: {store: lake, table: a}\nb: {store: here, path: b.csv}\n",
            "conf/pipelines/job.yml": "modules: [job]\nwrites: [a, b]\n",
            "pipelines/job.py": """
                import polars as pl


                def a() -> pl.LazyFrame:
                    return pl.LazyFrame({"n": [1]})


                def b(a: pl.LazyFrame) -> pl.LazyFrame:
                    return a.select(ns=pl.concat_list("n"))
                """,
        }
    )
    assert messages(run(project)) == ['dataset b (node b): column "ns" is List(Int64), which csv cannot hold']
    assert not (project.path / "data/lake/a/_delta_log").exists()
