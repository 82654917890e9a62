"""Loading the shop's tables bit by bit, with temporary databases in place of both stores."""

from flowpipe.testing import TestProject, assert_frames_equal

ORDERS = """
    order_id | ordered_at          | customer_id | quantity | unit_price | status | updated_at
    1        | 2024-01-05T10:00:00 | 7           | 2        | 30.0       | paid   | 2024-01-05T10:00:00
"""
NEXT_ORDERS = f"""{ORDERS.rstrip()}
    2        | 2024-02-03T12:00:00 | 7           | 1        | 30.0       | paid   | 2024-02-03T12:00:00
"""
CUSTOMERS = """
    customer_id | city | tier | updated_at
    7           | Oslo | plus | 2023-05-01T00:00:00
"""


def test_only_what_is_new_is_loaded_and_history_is_kept(flowpipe_project: TestProject) -> None:
    flowpipe_project.write("shop_orders", ORDERS)
    flowpipe_project.write("shop_customers", CUSTOMERS)
    flowpipe_project.run()
    assert {step.action for step in flowpipe_project.plan().steps} == {"skip"}

    # The customer moves on the first of February, and orders again.
    flowpipe_project.write("shop_customers", CUSTOMERS.replace("Oslo", "Turin").replace("2023-05-01", "2024-02-01"))
    flowpipe_project.write("shop_orders", NEXT_ORDERS)
    flowpipe_project.run()
    assert_frames_equal(
        flowpipe_project.read("city_sales"),
        """
        month      | city  | orders | revenue
        2024-01-01 | Oslo  | 1      | 60.0
        2024-02-01 | Turin | 1      | 30.0
        """,
    )
