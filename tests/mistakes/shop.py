"""The small project in which the mistakes are made: orders and visits in, a Delta and a DuckDB table out."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from tests.conftest import ProjectFolder

FILES = {
    "conf/project.yml": "name: shop\n",
    "conf/profiles/dev.yml": """
        stores:
          landing: {adapter: files, url: data/landing}
          lake: {adapter: delta, url: data/lake}
          warehouse: {adapter: duckdb, database: data/warehouse.duckdb}
        """,
    "conf/catalog.yml": """
        orders:
          store: landing
          path: orders.csv
        visits:
          store: landing
          path: "visits/*.parquet"
        sales:
          store: lake
          table: sales
          mode: replace
          partition: {column: day, every: month}
          schema: "schemas:Sales"
        totals:
          store: warehouse
          table: totals
          mode: merge
          key: [shop]
        """,
    "conf/pipelines/monthly.yml": """
        modules: [monthly]
        params: {discount: 10}
        writes: [sales]
        partitions: {every: month, start: 2024-01, end: 2024-02}
        """,
    "conf/pipelines/ranking.yml": """
        modules: [ranking]
        writes: [totals]
        """,
    "pipelines/monthly.py": """
        import polars as pl
        from hamilton.function_modifiers import tag


        def priced(orders: pl.LazyFrame, discount: int) -> pl.LazyFrame:
            return orders.with_columns(pl.col("day").str.to_date(), pl.col("amount") * (100 - discount) / 100)


        @tag(owner="shop")
        def sales(priced: pl.LazyFrame, partition: str) -> pl.LazyFrame:
            return priced.filter(pl.col("day").dt.strftime("%Y-%m") == partition)
        """,
    "pipelines/ranking.py": """
        import polars as pl


        def visitors(visits: pl.LazyFrame) -> pl.LazyFrame:
            return visits.group_by("shop").agg(pl.col("visitors").sum())


        def totals(sales: pl.LazyFrame, visitors: pl.LazyFrame) -> pl.LazyFrame:
            return sales.group_by("shop").agg(pl.col("amount").sum()).join(visitors, on="shop")
        """,
    "pipelines/schemas.py": """
        import pandera.polars as pa
        import polars as pl


        class Sales(pa.DataFrameModel):
            shop: str
            day: pl.Date
            amount: float = pa.Field(ge=0)
        """,
    "data/landing/orders.csv": """
        shop,day,amount
        Bonn,2024-01-03,12.5
        Mainz,2024-01-07,4.0
        Bonn,2024-02-10,8.0
        Mainz,2024-02-11,20.0
        """,
}


def open_the_shop(folder: Path) -> ProjectFolder:
    """The project, and its inputs."""
    project = ProjectFolder(folder).write(FILES)
    for day, visitors in ((date(2024, 1, 31), [120, 40]), (date(2024, 2, 29), [95, 61])):
        path = folder / f"data/landing/visits/{day:%Y-%m}.parquet"
        path.parent.mkdir(exist_ok=True)
        pl.DataFrame({"shop": ["Bonn", "Mainz"], "day": day, "visitors": visitors}).write_parquet(path)
    return project
