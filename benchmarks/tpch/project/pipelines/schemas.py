"""The rules that by_hand.py writes as expressions."""

import pandera.polars as pa
import polars as pl


class Sales(pa.DataFrameModel):
    """Every item."""

    quantity: float = pa.Field(ge=1, le=50)
    revenue: float = pa.Field(gt=0)
    mode: str = pa.Field(isin=["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"])


class LateItems(pa.DataFrameModel):
    """Late items."""

    days_late: pl.Int32 = pa.Field(gt=0)


class Customers(pa.DataFrameModel):
    """What each customer bought."""

    items: int = pa.Field(gt=0)
    revenue: float = pa.Field(gt=0)
