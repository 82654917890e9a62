"""From bronze to silver on temporary stores: what is wrong is set aside, and what comes twice is there once."""

from datetime import date

from flowpipe.testing import TestProject, assert_frames_equal


def order(number: int, quantity: str = "2", unit_price: str = "18.9") -> dict[str, object]:
    """One order as it landed, in text."""
    return {
        "order_id": str(number),
        "ordered_at": "2024-01-05 08:00:00",
        "ordered_on": date(2024, 1, 5),
        "customer_id": "7",
        "product_id": "1",
        "quantity": quantity,
        "unit_price": unit_price,
        "status": "paid",
    }


def test_bad_rows_are_set_aside(flowpipe_project: TestProject) -> None:
    good = [order(number) for number in range(100)]
    bad = [order(100, quantity="-1"), order(101, unit_price="n/a")]
    flowpipe_project.write("bronze_orders", [*good, *bad, order(7)])
    flowpipe_project.run("silver", partition="2024-01")
    assert flowpipe_project.read("orders").height == 100
    assert_frames_equal(
        flowpipe_project.rejected("orders"),
        """
        order_id:str | checks
        100          | quantity: greater_than(0)
        101          | unit_price: coerce Float64
        """,
        columns="expected",
    )
