"""Flights as they were reported, typed and joined to their aircraft and to the weather at departure."""

import polars as pl
from polars import col


def hourly_weather(weather: pl.LazyFrame) -> pl.LazyFrame:
    """The weather by `origin` and `time_hour` (UTC).

    The local hour would not do as a key: 01:00 comes twice when daylight saving ends.
    """
    return weather.select(
        "origin",
        "time_hour",
        temperature="temp",
        wind_speed="wind_speed",
        precipitation="precip",
        visibility="visib",
    )


def aircraft(planes: pl.LazyFrame) -> pl.LazyFrame:
    """The registry by `tailnum`."""
    return planes.select(
        "tailnum",
        aircraft_type="type",
        manufacturer="manufacturer",
        seats=col("seats").cast(pl.Int32),
        year_built=col("year").cast(pl.Int32),
    )


def timed_flights(raw_flights: pl.LazyFrame) -> pl.LazyFrame:
    """One row per scheduled flight: instants in UTC, delays and air time in minutes, distance in miles, speed in mph.

    A cancelled flight never departed; a diverted one departed and has no arrival delay.
    """
    scheduled = col("time_hour") + pl.duration(minutes="minute")
    cancelled = col("dep_delay").is_null()
    return raw_flights.select(
        "carrier",
        "tailnum",
        "origin",
        "dest",
        "time_hour",
        col("flight", "distance", "air_time").cast(pl.Int32),
        date=pl.date("year", "month", "day"),
        scheduled_departure=scheduled,
        departure=scheduled + pl.duration(minutes="dep_delay"),
        departure_delay=col("dep_delay").cast(pl.Int32),
        arrival_delay=col("arr_delay").cast(pl.Int32),
        cancelled=cancelled,
        diverted=~cancelled & col("arr_delay").is_null(),
        speed=col("distance") / (col("air_time") / 60),
    )


def flights(timed_flights: pl.LazyFrame, aircraft: pl.LazyFrame, hourly_weather: pl.LazyFrame) -> pl.LazyFrame:
    """Every flight once, with NULL where the aircraft or the hour's weather is not known.

    Columns, in no order of rows: date, carrier, flight, tailnum, origin, dest, scheduled_departure, departure,
    departure_delay, arrival_delay, cancelled, diverted, distance, air_time, speed, aircraft_type, manufacturer, seats,
    year_built, temperature (°F), wind_speed (mph), precipitation (inches), visibility (miles); `schemas.Flights` has
    the types.
    """
    return (
        timed_flights.join(aircraft, on="tailnum", how="left", validate="m:1")
        .join(hourly_weather, on=["origin", "time_hour"], how="left", validate="m:1")
        .select(
            "date",
            "carrier",
            "flight",
            "tailnum",
            "origin",
            "dest",
            "scheduled_departure",
            "departure",
            "departure_delay",
            "arrival_delay",
            "cancelled",
            "diverted",
            "distance",
            "air_time",
            "speed",
            "aircraft_type",
            "manufacturer",
            "seats",
            "year_built",
            "temperature",
            "wind_speed",
            "precipitation",
            "visibility",
        )
    )
