"""The lines of a CSV file as the drivers want them: texts, and None for nothing."""

import csv
from itertools import islice

INSERT = ("INSERT INTO line (line_id, invoice_no, stock_code, description, quantity, unit_price,"
          " sold_at, customer_id, country) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)")
UPSERT = INSERT + (
    " ON CONFLICT (line_id) DO UPDATE SET invoice_no = excluded.invoice_no,"
    " stock_code = excluded.stock_code, description = excluded.description,"
    " quantity = excluded.quantity, unit_price = excluded.unit_price,"
    " sold_at = excluded.sold_at, customer_id = excluded.customer_id, country = excluded.country")


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        next(lines)
        for line in lines:
            yield tuple(field or None for field in line)


def batches(items, size):
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch
