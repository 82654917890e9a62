"""How late each carrier left on each day."""

import polars as pl
from polars import col


def daily_delays(flights: pl.LazyFrame, late_minutes: int) -> pl.LazyFrame:
    """One row per carrier and day, in the order of date and carrier.

    Delays are minutes, over the flights that departed: NULL on a day without one. Quantiles are interpolated linearly.

    Columns: date (Date), carrier (String), flights and cancelled (Int32), mean_delay, median_delay, p95_delay, and
    late_share, the share that departed more than `late_minutes` late (Float64).
    """
    delay = col("departure_delay")
    return (
        flights.group_by("date", "carrier")
        .agg(
            flights=pl.len().cast(pl.Int32),
            cancelled=col("cancelled").sum().cast(pl.Int32),
            mean_delay=delay.mean(),
            median_delay=delay.quantile(0.5, "linear"),
            p95_delay=delay.quantile(0.95, "linear"),
            late_share=(delay > late_minutes).mean(),
        )
        .sort("date", "carrier")
    )
