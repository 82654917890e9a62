import polars as pl


def doubled(numbers: pl.LazyFrame) -> pl.LazyFrame:
    return numbers.select(pl.col("n") * 2)
