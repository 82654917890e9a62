"""The functions are plain: a test calls them with a small frame."""

from datetime import date, datetime

import polars as pl
from polars.testing import assert_frame_equal

from daily_sales import daily_sales, paid_orders


def test_a_day_adds_up_what_was_paid():
    orders = pl.LazyFrame(
        {
            "ordered_at": [datetime(2024, 1, 1, 9), datetime(2024, 1, 1, 17), datetime(2024, 1, 2, 8)],
            "status": ["paid", "paid", "cancelled"],
            "quantity": [1, 2, 5],
            "unit_price": [30.0, 60.0, 10.0],
        }
    )
    expected = pl.DataFrame({"date": [date(2024, 1, 1)], "orders": [2], "big_orders": [1], "revenue": [150.0]})
    found = daily_sales(paid_orders(orders), big_order=100).collect()
    assert_frame_equal(found, expected, check_dtypes=False)
