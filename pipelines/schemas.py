"""What the rows of the published tables must be."""

from typing import Annotated

import pandera.polars as pa
import polars as pl

Instant = Annotated[pl.Datetime, "us", "UTC"]


class Flights(pa.DataFrameModel):
    """One scheduled flight, with its aircraft and the weather at its origin.

    Rejects 414 of the 336,776 flights of 2013:

    - 410 name a helicopter (`aircraft_type` "Rotorcraft"), such as JetBlue's Robinson R66: the tail number is wrong;
    - 4 averaged more than 600 mph, such as New York to Atlanta in 65 minutes: the air time is wrong.
    """

    date: pl.Date
    carrier: str
    flight: pl.Int32
    tailnum: str = pa.Field(nullable=True)
    origin: str = pa.Field(isin=["EWR", "JFK", "LGA"])
    dest: str
    scheduled_departure: Instant
    departure: Instant = pa.Field(nullable=True)
    departure_delay: pl.Int32 = pa.Field(nullable=True)
    arrival_delay: pl.Int32 = pa.Field(nullable=True)
    cancelled: bool
    diverted: bool
    distance: pl.Int32 = pa.Field(gt=0)
    air_time: pl.Int32 = pa.Field(nullable=True, gt=0)
    speed: float = pa.Field(nullable=True, le=600)
    aircraft_type: str = pa.Field(nullable=True, isin=["Fixed wing multi engine", "Fixed wing single engine"])
    manufacturer: str = pa.Field(nullable=True)
    seats: pl.Int32 = pa.Field(nullable=True)
    year_built: pl.Int32 = pa.Field(nullable=True)
    temperature: float = pa.Field(nullable=True)
    wind_speed: float = pa.Field(nullable=True)
    precipitation: float = pa.Field(nullable=True)
    visibility: float = pa.Field(nullable=True)

    class Config:
        strict = True


class DailyDelays(pa.DataFrameModel):
    """One carrier's day: `expect: unique` in the catalog says that there is one row of each."""

    date: pl.Date
    carrier: str
    flights: pl.Int32 = pa.Field(gt=0)
    cancelled: pl.Int32 = pa.Field(ge=0)
    mean_delay: float = pa.Field(nullable=True)
    median_delay: float = pa.Field(nullable=True)
    p95_delay: float = pa.Field(nullable=True)
    late_share: float = pa.Field(nullable=True, ge=0, le=1)

    class Config:
        strict = True
