"""increments.py FILE URL SIZE: every line's quantity to its article's stock."""

import sys

import psycopg

from lines import batches, read

ADD = ("INSERT INTO stock (stock_code, quantity) VALUES (%s, %s)"
       " ON CONFLICT (stock_code) DO UPDATE SET quantity = stock.quantity + excluded.quantity")

path, url, size = sys.argv[1:4]
with psycopg.connect(url) as connection:
    for batch in batches(read(path), int(size)):
        with connection.cursor() as cursor:
            cursor.executemany(ADD, [(line[2], line[4]) for line in batch])
        connection.commit()
