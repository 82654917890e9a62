"""The pipelines of this repository from end to end, on a few rows: cleaned, summarised, ranked."""

from __future__ import annotations

import polars as pl
import pytest

from flowpipe.testing import TestProject, assert_frames_equal, table

FLIGHTS = """
    year|month|day|carrier|flight|tailnum|origin|dest|dep_delay|arr_delay|air_time|distance|minute|time_hour
    2013|1    |1  |UA     |1545  |N14228 |EWR   |IAH |2        |11       |227     |1400    |15    |2013-01-01T10:00:00Z
    2013|1    |1  |UA     |1714  |N24211 |LGA   |IAH |40       |20       |227     |1416    |29    |2013-01-01T10:00:00Z
    2013|1    |2  |AA     |1141  |NULL   |JFK   |MIA |NULL     |NULL     |NULL    |1089    |40    |2013-01-02T10:00:00Z
    2013|1    |2  |AA     |1141  |NULL   |JFK   |MIA |-2       |1        |160     |1089    |40    |2013-01-02T11:00:00Z
"""
PLANES = "tailnum,type,manufacturer,seats,year\nN14228,Fixed wing multi engine,BOEING,149,1999\n"
WEATHER = "origin,time_hour,temp,wind_speed,precip,visib\nEWR,2013-01-01T10:00:00Z,39.02,12.65858,0.0,10.0\n"
AIRLINES = "carrier,name\nUA,United Air Lines Inc.\nAA,American Airlines Inc.\n"


@pytest.fixture
def landed(flowpipe_project: TestProject) -> TestProject:
    """The project with one month's files in its landing."""
    flowpipe_project.write("raw_flights", FLIGHTS, partition="2013-01")
    flowpipe_project.write("planes", PLANES)
    flowpipe_project.write("weather", WEATHER)
    flowpipe_project.write("airlines", AIRLINES)
    return flowpipe_project


def test_from_landing_to_report(landed: TestProject) -> None:
    landed.run("clean_flights", partition="2013-01")
    landed.run("daily_delays", partition="2013-01")
    landed.run("carrier_rank")
    assert_frames_equal(
        landed.read("flights"),
        """
        date       | flight | departure            | cancelled | speed  | seats | temperature
        2013-01-01 | 1545   | 2013-01-01T10:17:00Z | false     | 370.04 | 149   | 39.02
        2013-01-01 | 1714   | 2013-01-01T11:09:00Z | false     | 374.27 | NULL  | NULL
        2013-01-02 | 1141   | NULL                 | true      | NULL   | NULL  | NULL
        2013-01-02 | 1141   | 2013-01-02T11:38:00Z | false     | 408.38 | NULL  | NULL
        """,
        columns="expected",
        approx=1e-4,
    )
    assert_frames_equal(
        landed.read("carrier_report"),
        """
        rank | name                   | flights | cancelled_percent | late_percent | mean_delay
        1    | American Airlines Inc. | 2       | 50.0              | 0.0          | -2.0
        2    | United Air Lines Inc.  | 2       | 0.0               | 50.0         | 21.0
        """,
    )


def test_a_flight_that_is_too_fast_is_rejected(landed: TestProject) -> None:
    month = pl.concat([table(FLIGHTS)] * 100)
    fast = month.head(1).with_columns(air_time=pl.lit(60))
    landed.write("raw_flights", pl.concat([month, fast], how="vertical_relaxed"), partition="2013-01")
    landed.run("clean_flights", partition="2013-01")
    assert landed.read("flights").height == 400
    assert_frames_equal(
        landed.rejected("flights"),
        [{"flight": 1545, "speed": 1400.0, "checks": "speed: less_than_or_equal_to(600)"}],
        columns="expected",
    )


def test_what_was_published_is_up_to_date_until_a_param_is_another(landed: TestProject) -> None:
    landed.run("clean_flights", partition="2013-01")
    landed.run("daily_delays", partition="2013-01")
    assert [step.action for step in landed.plan("daily_delays", partition="2013-01").steps] == ["skip"]
