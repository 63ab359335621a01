"""executemany.py FILE URL SIZE [upsert|isolate]: so many lines a transaction.

With `isolate`, a batch that is refused is done again line by line, and what is
refused then is put aside.
"""

import sys

import psycopg

from lines import INSERT, UPSERT, batches, read

path, url, size = sys.argv[1:4]
how = sys.argv[4] if len(sys.argv) > 4 else ""
statement = UPSERT if how == "upsert" else INSERT
failed = []


def one_by_one(connection, batch):
    for line in batch:
        try:
            with connection.transaction():
                connection.execute(statement, line)
        except psycopg.Error as error:
            failed.append((line, str(error)))
    connection.commit()


with psycopg.connect(url) as connection:
    for batch in batches(read(path), int(size)):
        try:
            with connection.cursor() as cursor:
                cursor.executemany(statement, batch)
            connection.commit()
        except psycopg.Error:
            connection.rollback()
            if how != "isolate":
                raise
            one_by_one(connection, batch)
