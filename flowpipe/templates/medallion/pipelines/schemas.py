"""What the rows of the published tables must be."""

import pandera.polars as pa
import polars as pl


class Orders(pa.DataFrameModel):
    """One order. Text becomes the type of its column; a row where that fails is rejected."""

    order_id: int
    ordered_at: pl.Datetime
    customer_id: int
    product_id: int
    quantity: int = pa.Field(gt=0)
    unit_price: float = pa.Field(gt=0)
    status: str = pa.Field(isin=["paid", "cancelled"])

    class Config:
        coerce = True
        strict = True
