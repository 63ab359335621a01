"""invoices_batched.py FILE URL: the same by 500, as one writes it when it must be faster.

The articles are kept in memory, a batch is written with a few executemany; a
batch that is refused is done again item by item.
"""

import sys
from collections import Counter

import psycopg

from invoices import failed_price, items
from lines import batches

SIZE = 500
TRANSACTION = "INSERT INTO transactions VALUES (%s, %s, %s, %s, %s, %s)"
STOCK = ("INSERT INTO inventory VALUES (%s, %s)"
         " ON CONFLICT (item_id) DO UPDATE SET quantity = inventory.quantity + excluded.quantity")

path, url = sys.argv[1:3]
failed, ids = [], {}


def create_articles(cursor, batch):
    new = {item.code: item.name for item in reversed(batch) if item.code not in ids}
    for code, name in reversed(new.items()):
        cursor.execute("INSERT INTO items (code, name) VALUES (%s, %s) RETURNING id", (code, name))
        ids[code] = cursor.fetchone()[0]


def store(cursor, batch):
    create_articles(cursor, batch)
    cursor.executemany(TRANSACTION, [(i.invoice_no, ids[i.code], i.quantity, i.price, i.sold_at,
                                      i.line) for i in batch])
    stock = Counter()
    for item in batch:
        stock[ids[item.code]] += item.quantity
    cursor.executemany(STOCK, sorted(stock.items()))


def attempt(connection, batch):
    """Stores a batch whole, or nothing of it."""
    known = dict(ids)
    try:
        with connection.cursor() as cursor:
            store(cursor, batch)
        connection.commit()
        return None
    except psycopg.Error as error:
        connection.rollback()
        ids.clear()
        ids.update(known)
        return error


def good(item):
    if item.price > 0:
        return True
    failed.append((item, str(failed_price(item))))
    return False


with psycopg.connect(url) as connection:
    for batch in batches(filter(good, items(path)), SIZE):
        if attempt(connection, batch) is not None:
            for item in batch:
                if (error := attempt(connection, [item])) is not None:
                    failed.append((item, str(error)))
