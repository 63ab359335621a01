"""What both scripts for the invoices do to an item before it is stored."""

import csv
from decimal import Decimal
from typing import NamedTuple

NO_MERCHANDISE = {"POST", "DOT", "M", "D", "C2", "S", "B", "BANK CHARGES", "AMAZONFEE", "CRUK",
                  "PADS"}


class Item(NamedTuple):
    invoice_no: str
    code: str
    name: str | None
    quantity: int
    price: Decimal
    sold_at: str
    line: int


def items(path):
    """The items of the file that are merchandise, with their lines."""
    with open(path, newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        next(lines)
        for fields in lines:
            invoice_no, code, name, quantity, sold_at, price = fields[:6]
            code = code.strip().upper()
            if code not in NO_MERCHANDISE:
                yield Item(invoice_no, code, name.strip() or None, int(quantity), Decimal(price),
                           sold_at, lines.line_num)


def failed_price(item):
    return ValueError(f"line {item.line}: no price")
