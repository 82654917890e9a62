"""Rules of items."""

import pandera.polars as pa
import polars as pl

MODES = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]


class Sound(pa.DataFrameModel):
    """Five checks that all rows pass."""

    line: pl.Int32 = pa.Field(ge=1)
    quantity: float = pa.Field(in_range={"min_value": 1, "max_value": 50})
    revenue: float = pa.Field(gt=0)
    tax: float = pa.Field(le=0.08)
    mode: str = pa.Field(isin=MODES)


class Cheap(Sound):
    """One more, which some rows fail."""

    price: float = pa.Field(le=100_000)


class Unique(pa.DataFrameModel):
    """A key."""

    class Config:
        """Of the frame."""

        unique = ("order", "line")
