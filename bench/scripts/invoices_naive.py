"""invoices_naive.py FILE URL: the way one writes it first.

Item by item: look up the article or create it, insert the line, change the
stock, commit. What fails is put aside.
"""

import sys

import psycopg

from invoices import failed_price, items

path, url = sys.argv[1:3]
failed = []


def store(cursor, item):
    cursor.execute("SELECT id FROM items WHERE code = %s", (item.code,))
    row = cursor.fetchone()
    if row is None:
        cursor.execute("INSERT INTO items (code, name) VALUES (%s, %s) RETURNING id",
                       (item.code, item.name))
        row = cursor.fetchone()
    cursor.execute("INSERT INTO transactions VALUES (%s, %s, %s, %s, %s, %s)",
                   (item.invoice_no, row[0], item.quantity, item.price, item.sold_at, item.line))
    cursor.execute("UPDATE inventory SET quantity = quantity + %s WHERE item_id = %s",
                   (item.quantity, row[0]))
    if cursor.rowcount == 0:
        cursor.execute("INSERT INTO inventory VALUES (%s, %s)", (row[0], item.quantity))


with psycopg.connect(url) as connection, connection.cursor() as cursor:
    for item in items(path):
        try:
            if item.price <= 0:
                raise failed_price(item)
            store(cursor, item)
            connection.commit()
        except (ValueError, psycopg.Error) as error:
            connection.rollback()
            failed.append((item, str(error)))
