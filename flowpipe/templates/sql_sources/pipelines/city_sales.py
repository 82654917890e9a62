"""Sales by month and city, in SQL: a node may be annotated a DuckDB relation."""

import duckdb
import pyarrow as pa


def city_sales(orders: duckdb.DuckDBPyRelation, customers: pa.Table) -> duckdb.DuckDBPyRelation:
    """One row for each month and city, where the customer lived when they ordered.

    SQL finds the relation by the name it is given, and `customers` by the name of the parameter.
    """
    return orders.query(
        "orders",
        """
        SELECT
            CAST(date_trunc('month', ordered_at) AS DATE) AS month,
            city,
            count(*) AS orders,
            round(sum(revenue), 2) AS revenue
        FROM orders JOIN customers USING (customer_id)
        WHERE status = 'paid' AND ordered_at >= valid_from AND (valid_to IS NULL OR ordered_at < valid_to)
        GROUP BY ALL
        ORDER BY ALL
        """,
    )
