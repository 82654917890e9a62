"""The sample data of the templates: an online shop, the same on every machine, made anew each time."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

Row = Sequence[object]

_FIRST_DAY = date(2024, 1, 1)
_PRODUCTS = (
    ("Espresso beans 1 kg", "coffee", 18.90),
    ("Filter coffee 500 g", "coffee", 9.50),
    ("Hand grinder", "equipment", 64.00),
    ("Moka pot", "equipment", 32.50),
    ("Gooseneck kettle", "equipment", 79.00),
    ("Paper filters, 100", "supplies", 4.20),
    ("Descaler 500 ml", "supplies", 7.80),
    ("Assam tea 250 g", "tea", 11.40),
    ("Sencha 100 g", "tea", 14.60),
)
_FIRST_NAMES = ("Ada", "Ben", "Chidi", "Dora", "Emil", "Fatima", "Grace", "Hugo", "Ines", "Jun", "Kofi", "Lena")
_LAST_NAMES = ("Abel", "Berg", "Costa", "Diaz", "Endo", "Fischer", "Gupta", "Haas", "Ito", "Jones")
_CITIES = ("Berlin", "Lisbon", "Lyon", "Oslo", "Porto", "Turin")
_CUSTOMERS = 40


@dataclass(frozen=True)
class Table:
    """Rows under their columns."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def csv(self) -> str:
        """The table as a CSV file; None is an empty field."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()


def products() -> Table:
    """What the shop sells."""
    rows = ((number, *product) for number, product in enumerate(_PRODUCTS, 1))
    return Table(("product_id", "product", "category", "list_price"), tuple(rows))


def customers() -> Table:
    """Who buys there."""
    dice = random.Random(1)  # noqa: S311 - no secret, and the same everywhere
    rows = []
    for number in range(1, _CUSTOMERS + 1):
        name = f"{_pick(dice, _FIRST_NAMES)} {_pick(dice, _LAST_NAMES)}"
        tier = _pick(dice, ("standard", "standard", "standard", "plus"))
        since = datetime(2023, 1, 1) + timedelta(days=int(dice.random() * 365))  # noqa: DTZ001 - of the shop's wall
        rows.append((number, name, _pick(dice, _CITIES), tier, since))
    return Table(("customer_id", "name", "city", "tier", "updated_at"), tuple(rows))


def orders(days: int) -> Table:
    """What was ordered from the first of January 2024 on, in the order of time; about seven orders a day."""
    dice = random.Random(2)  # noqa: S311 - no secret, and the same everywhere
    rows: list[Row] = []
    for day in range(days):
        moments = sorted(int(dice.random() * 15 * 3600) for _ in range(4 + int(dice.random() * 7)))
        for moment in moments:
            product = int(dice.random() * len(_PRODUCTS))
            at = datetime.combine(_FIRST_DAY, datetime.min.time()) + timedelta(days=day, hours=7, seconds=moment)
            status = "cancelled" if dice.random() < 0.08 else "paid"
            customer, quantity = 1 + int(dice.random() ** 2 * _CUSTOMERS), 1 + int(dice.random() ** 3 * 5)
            rows.append((len(rows) + 1001, at, customer, product + 1, quantity, _PRODUCTS[product][2], status))
    columns = ("order_id", "ordered_at", "customer_id", "product_id", "quantity", "unit_price", "status")
    return Table(columns, tuple(rows))


def daily(table: Table) -> Iterator[tuple[date, Table]]:
    """A file of orders for each day, as a shop delivers them: some rows are wrong, and some come twice."""
    by_day: dict[date, list[Row]] = {}
    for row in table.rows:
        by_day.setdefault(_moment(row).date(), []).append(_damaged(row))
    before: Sequence[Row] = ()
    for day, rows in by_day.items():
        again = before[-1:] if day.day % 10 == 0 else ()
        yield day, Table(table.columns, (*again, *rows))
        before = rows


def _damaged(row: Row) -> Row:
    """One row in eighty is wrong, in one of four ways."""
    number, at, customer, product, quantity, price, status = row
    wrong: Mapping[int, Row] = {
        17: (number, at, None, product, quantity, price, status),
        97: (number, at, customer, product, f"-{quantity}", price, status),
        177: (number, at, customer, product, quantity, "n/a", status),
        257: (number, at, customer, product, quantity, price, "payed"),
    }
    return wrong.get(int(str(number)) % 320, row)


def _moment(row: Row) -> datetime:
    at = row[1]
    assert isinstance(at, datetime)
    return at


def _pick(dice: random.Random, options: Sequence[str]) -> str:
    return options[int(dice.random() * len(options))]


def named(table: Table) -> Table:
    """The orders with the names of their products, for those who have one file only."""
    rows: Iterable[Row] = ((*row[:3], _PRODUCTS[int(str(row[3])) - 1][0], *row[4:]) for row in table.rows)
    return Table(("order_id", "ordered_at", "customer_id", "product", *table.columns[4:]), tuple(rows))


def shop(days: int) -> Mapping[str, Table]:
    """The tables of the shop's database; an order was changed last when it came."""
    ordered = orders(days)
    changing = Table((*ordered.columns, "updated_at"), tuple((*row, _moment(row)) for row in ordered.rows))
    return {"products": products(), "customers": customers(), "orders": changing}


@dataclass(frozen=True)
class Database:
    """A DuckDB file of tables: a new file, told from another by its rows, since its bytes differ each time."""

    path: str
    tables: Mapping[str, Table]

    def is_at(self, place: Path) -> bool:
        """Whether the file at `place` has these tables."""
        import duckdb

        with TemporaryDirectory() as folder:
            own = Path(folder, "own.duckdb")
            self.write(own)
            try:
                return self._rows(own) == self._rows(place)
            except duckdb.Error:
                return False

    def write(self, place: Path) -> None:
        """Make it at `place`, where nothing is."""
        import duckdb

        with TemporaryDirectory() as folder, duckdb.connect(str(place)) as connection:
            for name, table in self.tables.items():
                text = Path(folder, f"{name}.csv")
                text.write_text(table.csv(), encoding="utf-8")
                connection.execute(f"CREATE TABLE {name} AS FROM read_csv('{text}')")

    def _rows(self, place: Path) -> list[list[tuple[Any, ...]]]:
        import duckdb

        with duckdb.connect(str(place), read_only=True) as connection:
            return [connection.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in self.tables]
